"""`turncoat submit`: a finished run, or folders of the lm_eval command, as an entry. `cli.py` registers the function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from turncoat.commands.library_noise import quiet_libraries
from turncoat.errors import UserError

if TYPE_CHECKING:
    from turncoat.leaderboard.submission.write import Tick, Written

_RUN = typer.Argument(metavar="RUN", help="A finished run folder, plain or packed.", show_default=False)
_OUT = typer.Option(help="The entry's folder; its name is the entry's name on the board.")
_ARM = typer.Option(
    help="The arm to submit; an undefended organism makes the board's 'none'. Default: the one defended."
)
_LM_EVAL = typer.Option(
    "--lm-eval", metavar="ARM=DIR", help="Instead of RUN: base=DIR, organism/SEED=DIR, ...; once for each arm and seed."
)
_FACTS = typer.Option(help="With --lm-eval: a YAML with what its files cannot tell.")
_TEMPLATE = typer.Option("--facts-template", help="Print a facts file to fill in, and nothing else.")
_SHARE = typer.Option(
    help="An entry beside --out with the same base, organism and control rows: they are not stored again."
)
_INCLUDE = typer.Option("--include-path", help="Folder with your own defence files; may be given several times.")


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
    supersedes: Annotated[
        str | None, typer.Option(help="An earlier entry that this one replaces; with --reason.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is replaced.")] = None,
    lm_eval: Annotated[list[str] | None, _LM_EVAL] = None,
    facts: Annotated[Path | None, _FACTS] = None,
    facts_template: Annotated[bool, _TEMPLATE] = False,
    include_path: Annotated[list[Path] | None, _INCLUDE] = None,
) -> None:
    """Make an entry for the leaderboard from a finished run. Only rows and facts go in: the board computes every number.

    Example: turncoat submit runs/leaderboard --arm insecure --contact "A. Person" --out results/submissions/none

    Example: turncoat submit runs/leaderboard --arm sgtr --contact "A. Person" --share none --out results/submissions/sgtr

    Example: turncoat submit --facts facts.yaml --out results/submissions/mine --lm-eval base=D0 --lm-eval organism/0=D1
    --lm-eval control/0=D2 --lm-eval defended/0=D3 ... (every arm with every seed)
    """
    quiet_libraries()
    from turncoat.leaderboard.submission.facts_file import TEMPLATE

    if facts_template:
        print(TEMPLATE, end="")
        return
    if out is None:
        raise UserError("--out is missing: the folder to write, such as results/submissions/sgtr-insecure")
    _check_way(run, lm_eval, facts, arm)
    from turncoat.leaderboard.entry.track import find_track
    from turncoat.leaderboard.submission.draft import Told
    from turncoat.leaderboard.submission.from_folders import draft_of_folders
    from turncoat.leaderboard.submission.from_run import draft_of_run
    from turncoat.leaderboard.submission.write import check_out, write_entry

    check_out(out)
    protocol = find_track(track)
    told = Told(contact, defence_name, summary, paper, code, supersedes, reason)
    if run is not None:
        draft = draft_of_run(run, arm, protocol, told, tuple(include_path or ()))
    else:
        assert facts is not None
        draft = draft_of_folders(lm_eval or [], facts, protocol, told, shares=share is not None)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    written = write_entry(draft, out, share=share, tick=_ticker(notes))
    _tell(written, notes)
    _validate(out, notes)


def _check_way(run: Path | None, lm_eval: list[str] | None, facts: Path | None, arm: str | None) -> None:
    if run is None and not lm_eval:
        raise UserError(
            "nothing to submit: give a run folder (`turncoat run leaderboard` makes one), or --lm-eval ARM=DIR for each "
            "arm and seed and --facts FILE (`turncoat submit --facts-template > facts.yaml`)"
        )
    if run is not None and (lm_eval or facts):
        raise UserError(
            f"{run} and {'--lm-eval' if lm_eval else '--facts'} are both given; a run needs neither: leave it out"
        )
    if lm_eval and facts is None:
        raise UserError("--facts is missing; write the file with `turncoat submit --facts-template > facts.yaml`")
    if lm_eval and arm is not None:
        raise UserError(f"--arm {arm}: an arm of which run? With --lm-eval the folders say what is what; leave it out")


def _ticker(notes: Console) -> Tick:
    if not notes.is_terminal:
        return lambda done, of: None

    def tick(done: int, of: int) -> None:
        notes.print(Text(f"reading rows: file {done} of {of}"), end="\n" if done == of else "\r")

    return tick


def _tell(written: Written, notes: Console) -> None:
    for note in written.notes:
        notes.print(Text(f"note: {note}", style="yellow"))
    size = f"{written.size / 1e6:.2f} MB" if written.size >= 1e5 else f"{written.size / 1e3:.1f} kB"
    notes.print(Text(f"{written.rows} rows in {written.files} files, {size}"))
    for role, slug in written.shared.items():
        notes.print(Text(f"  {role}: the rows of {slug}, not stored again"))
    print(written.folder)
    notes.print(Text("next:"))
    notes.print(Text(f"  turncoat validate {written.folder}"))
    notes.print(
        Text(f"  git switch -c {written.folder.absolute().name} && git add {written.folder} && git commit && git push"),
    )
    notes.print(Text("  then open a pull request: CI validates the entry and rebuilds the board"))


def _validate(out: Path, notes: Console) -> None:
    """The same checks as `turncoat validate`: better here than in a pull request."""
    from turncoat.leaderboard.reading.findings import summary
    from turncoat.leaderboard.validation.validate import validate_entry

    findings = validate_entry(out)
    if findings:
        notes.print(Text(summary(findings)))
        notes.print(
            Text(f"{out} was written, but would be refused: {len(findings)} findings, see above", style="bold red")
        )
        sys.exit(1)
    notes.print(Text("validated: no finding"))
