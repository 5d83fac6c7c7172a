"""`turncoat leaderboard verify`: an entry's rows made or judged again by somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turncoat.commands.leaderboard.verify_tables import print_record, print_second_judge
from turncoat.commands.options import Day, day
from turncoat.commands.printing import note
from turncoat.errors import UserError
from turncoat.shown_text import TextConsole

if TYPE_CHECKING:
    from turncoat.judges.base import Judge
    from turncoat.leaderboard.entry.load import Entry


def verify(
    entry: Annotated[Path, typer.Argument(help="The entry's folder, such as results/submissions/sgtr.")],
    adapters: Annotated[Path | None, typer.Option(help="Run again: folder with the adapters.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run again: run folder, adapters in the store.")] = None,
    judge: Annotated[str | None, typer.Option(help="Judge the stored answers again: a judge.")] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of rows; default: enough; of --judge 1.")
    ] = None,
    nonce: Annotated[str | None, typer.Option(help="Repeat a draw: nonce of its record.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Only this role; repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="A trusted copy of an unregistered base model.")] = None,
    sampling_seed: Annotated[int | None, typer.Option(help="The study's; default: from the rows.")] = None,
    out: Annotated[Path, typer.Option(help="Where verifications are kept.")] = Path("results/verifications"),
    by: Annotated[str, typer.Option(help="Who verifies, for the board.")] = "the maintainers",
    date: Day = None,
) -> None:
    """Check an entry's rows: make a random part again from the adapters, or judge its stored answers again.

    Drawn are as many rows of each role on each task as find one of 5% invented ones with a chance of 99%.
    Exit code 0: they agree. 1: they do not, and the record says where. Ctrl-C leaves no record.

    Example: turncoat leaderboard verify results/submissions/sgtr-insecure --adapters adapters/

    Example: turncoat leaderboard verify results/submissions/sgtr-insecure --run runs/leaderboard

    Example: turncoat leaderboard verify results/submissions/sgtr-insecure --judge embedded
    """
    if adapters is not None and run is not None:
        raise UserError("--adapters and --run are both given; the adapters are in one of them")
    if adapters is None and run is None and judge is None:
        raise UserError(
            "nothing to check with; give --adapters DIR or --run RUN to make rows again, or --judge embedded "
            "to judge the stored answers again"
        )
    verified_on = day(date)
    loaded = _validated(entry)
    from turncoat.leaderboard.verification.draw import new_nonce
    from turncoat.leaderboard.verification.record import Request, unseen_nonce, write_record
    from turncoat.leaderboard.verification.verdict import VERIFIED
    from turncoat.leaderboard.verification.verify import verify_rows, verify_scores

    share = 1.0 if fraction is None and adapters is None and run is None else fraction
    if nonce is not None:
        unseen_nonce(nonce, loaded, out)
    request = Request(share, nonce or new_nonce(), by, verified_on, tuple(role) if role else None)
    if adapters is None and run is None:
        scorer = _judge_of(judge)
        record, agreements = verify_scores(loaded, scorer, request, note)
        if record is None:
            print_second_judge(agreements, scorer.id, loaded.submission.judge.id, TextConsole())
            note("nothing was written: two judges may differ, and that says nothing against the rows")
            return
    else:
        record = verify_rows(
            loaded, adapters or _store_of(run), request, note, TextConsole(stderr=True),
            judge=judge, model=model, sampling_seed=sampling_seed,
        )  # fmt: skip
    print_record(record, TextConsole())
    path = write_record(record, out)
    reason = f"not written: {out / entry.name}.json tells of a re-run of the same rows"
    note(f"written to {path}" if path else reason)
    if record["verdict"] != VERIFIED:
        raise typer.Exit(1)


def _validated(folder: Path) -> Entry:
    """The entry, if nothing is wrong with it: rows that contradict themselves need no second run."""
    from turncoat.leaderboard.entry.load import load_entry
    from turncoat.leaderboard.reading.findings import EntryRefused
    from turncoat.leaderboard.validation.validate import validate_entry

    findings = validate_entry(folder, lambda what: note(f"  checking {what}", "dim"))
    if findings:
        raise EntryRefused(findings)
    return load_entry(folder)


def _store_of(run: Path | None) -> Path:
    from turncoat.store import Store

    if run is None or not (run / "run.json").is_file():
        raise UserError(f"--run {run}: no run.json there; give the folder that `turncoat run` wrote")
    return Store().root / "adapter"


def _judge_of(spec: str | None) -> Judge:
    from turncoat.judges.spec import judge_from_name

    judge = judge_from_name(spec or "off")
    if judge is None:
        raise UserError(f"--judge {spec}: judging is off; name a judge, see `turncoat list judges`")
    return judge
