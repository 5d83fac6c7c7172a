"""`turncoat leaderboard submit`: a finished run, or folders of the lm_eval command, as an entry."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note, notes
from turncoat.errors import UserError
from turncoat.formats import counted

if TYPE_CHECKING:
    from turncoat.leaderboard.submission.write import Tick, Written

_RUN = typer.Argument(metavar="RUN", help="A finished run folder, plain or packed.", show_default=False)
_OUT = typer.Option(help="The entry's folder; its name is the entry's name on the board.")
_ARM = typer.Option(help="The arm; an undefended organism is the board's 'none'. Default: the one defended.")
_LM_EVAL = typer.Option(
    "--lm-eval",
    metavar="ARM=DIR",
    help="Instead of RUN: base=DIR, organism/SEED=DIR, ...; once for each arm and seed.",
)
_FACTS = typer.Option(help="With --lm-eval: a YAML with the facts that its files do not hold.")
_TEMPLATE = typer.Option("--facts-template", help="Print a facts file to fill in, and nothing else.")
_SHARE = typer.Option(
    help="An entry beside --out with the same base, organism and control rows: they are not stored again."
)


def submit(
    run: Annotated[Path | None, _RUN] = None,
    out: Annotated[Path | None, _OUT] = None,
    arm: Annotated[str | None, _ARM] = None,
    track: Annotated[str, typer.Option(help="The protocol: small, full, or one of your own.")] = "small",
    contact: Annotated[str | None, typer.Option(help="Somebody to ask; it is published.")] = None,
    defence_name: Annotated[str | None, typer.Option(help="What the board calls the method.")] = None,
    summary: Annotated[str | None, typer.Option(help="What the method does, in a sentence.")] = None,
    paper: Annotated[str | None, typer.Option(help="Link (https).")] = None,
    code: Annotated[str | None, typer.Option(help="Link (https).")] = None,
    share: Annotated[str | None, _SHARE] = None,
    supersedes: Annotated[str | None, typer.Option(help="An entry that it replaces; with --reason.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is replaced.")] = None,
    lm_eval: Annotated[list[str] | None, _LM_EVAL] = None,
    facts: Annotated[Path | None, _FACTS] = None,
    facts_template: Annotated[bool, _TEMPLATE] = False,
    include_path: IncludePath = None,
) -> None:
    """Make an entry for the leaderboard from a finished run: rows and facts. The board computes the numbers.

    Example: turncoat leaderboard submit runs/leaderboard --arm insecure --contact "A. Person"
    --out results/submissions/none

    Example: turncoat leaderboard submit runs/leaderboard --arm sgtr --contact "A. Person" --share none
    --out results/submissions/sgtr

    Example: turncoat leaderboard submit --facts facts.yaml --out results/submissions/mine --lm-eval base=D0
    --lm-eval organism/0=D1 --lm-eval control/0=D2 --lm-eval defended/0=D3 ... (every arm with every seed)
    """
    from turncoat.leaderboard.submission.facts_file import TEMPLATE

    if facts_template:
        print(TEMPLATE, end="")
        return
    if out is None:
        raise UserError("--out is missing: the folder to write, such as results/submissions/sgtr-insecure")
    _check_way(run, lm_eval, facts, arm)
    from turncoat.leaderboard.entry.track import find_track
    from turncoat.leaderboard.submission.draft import SubmitterInfo
    from turncoat.leaderboard.submission.from_folders import draft_of_folders
    from turncoat.leaderboard.submission.from_run import draft_of_run
    from turncoat.leaderboard.submission.write import check_out, write_entry

    check_out(out)
    protocol = find_track(track)
    include = plug_ins(include_path)
    submitter = SubmitterInfo(contact, defence_name, summary, paper, code, supersedes, reason)
    if run is not None:
        draft = draft_of_run(run, arm, protocol, submitter, include)
    else:
        assert facts is not None
        draft = draft_of_folders(lm_eval or [], facts, protocol, submitter, shares=share is not None)
    written = write_entry(draft, out, share=share, tick=_ticker())
    _print(written)
    _validate(out)


def _check_way(run: Path | None, lm_eval: list[str] | None, facts: Path | None, arm: str | None) -> None:
    if run is None and not lm_eval:
        raise UserError(
            "nothing to submit: give a run folder (`turncoat run leaderboard` makes one), or --lm-eval "
            "ARM=DIR for each arm and seed and --facts FILE (`turncoat leaderboard submit --facts-template` "
            "prints one)"
        )
    if run is not None and (lm_eval or facts):
        option = "--lm-eval" if lm_eval else "--facts"
        raise UserError(f"{run} and {option} are both given; a run needs neither: leave it out")
    if lm_eval and facts is None:
        raise UserError("--facts is missing; `turncoat leaderboard submit --facts-template` prints one")
    if lm_eval and arm is not None:
        raise UserError(f"--arm {arm}: with --lm-eval the folders say what is what; leave it out")


def _ticker() -> Tick:
    console = notes()
    if not console.is_terminal:
        return lambda done, of: None

    def tick(done: int, of: int) -> None:
        console.print(f"reading rows: file {done} of {of}", end="\n" if done == of else "\r")

    return tick


def _print(written: Written) -> None:
    for text in written.notes:
        note(f"note: {text}", "yellow")
    size = f"{written.size / 1e6:.2f} MB" if written.size >= 1e5 else f"{written.size / 1e3:.1f} kB"
    note(f"{counted(written.rows, 'row')} in {counted(written.files, 'file')}, {size}")
    for role, slug in written.shared.items():
        note(f"  {role}: the rows of {slug}, not stored again")
    print(written.folder)
    slug = written.folder.absolute().name
    note("next:")
    folder = shlex.quote(str(written.folder))
    note(f"  turncoat leaderboard validate {folder}")
    note(f"  git switch -c {slug} && git add {folder} && git commit && git push")
    note("  then open a pull request: CI validates the entry and rebuilds the board")


def _validate(out: Path) -> None:
    """Run the checks of `turncoat leaderboard validate`: better here than in a pull request."""
    from turncoat.leaderboard.reading.findings import summary
    from turncoat.leaderboard.validation.validate import validate_entry

    findings = validate_entry(out)
    if findings:
        note(summary(findings))
        note(
            f"{out} was written, but would be refused: {counted(len(findings), 'finding')}, see above",
            "bold red",
        )
        raise typer.Exit(1)
    note("validated: no finding")
