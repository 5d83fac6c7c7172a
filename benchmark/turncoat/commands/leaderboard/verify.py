"""`turncoat leaderboard verify`: an entry's rows made or judged again by somebody else."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from turncoat.commands.leaderboard.verify_tables import print_record, print_second_judge
from turncoat.commands.options import Day, day
from turncoat.commands.printing import note
from turncoat.errors import UserError

if TYPE_CHECKING:
    from turncoat.leaderboard.entry.load import Entry


def verify(
    entry: Annotated[Path, typer.Argument(help="The entry's folder, such as results/submissions/sgtr.")],
    adapters: Annotated[Path | None, typer.Option(help="Run again: folder with the adapters.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run again: run folder, adapters in the store.")] = None,
    judge: Annotated[str | None, typer.Option(help="Judge the stored answers again: a judge.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Share of rows; default 0.05, of --judge 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw; default: an unknown one.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Only this role; repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="A trusted copy of an unregistered base model.")] = None,
    sampling_seed: Annotated[int | None, typer.Option(help="The study's; default: from the rows.")] = None,
    out: Annotated[Path, typer.Option(help="Where verifications are kept.")] = Path("results/verifications"),
    by: Annotated[str, typer.Option(help="Who verifies, for the board.")] = "the maintainers",
    date: Day = None,
) -> None:
    """Check an entry's rows: make a random part again from the adapters, or judge its stored answers again.

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
    common: dict[str, Any] = {"by": by, "date": day(date)}
    loaded = _validated(entry)
    common["draw_seed"] = secrets.randbelow(2**31) if seed is None else seed
    if adapters is None and run is None:
        assert judge is not None
        record = _judged_again(loaded, judge, 1.0 if fraction is None else fraction, role, common)
    else:
        folder = adapters if adapters is not None else _store_of(run)
        share = 0.05 if fraction is None else fraction
        record = _run_again(loaded, folder, share, role, judge, model, sampling_seed, common)
    if record is None:
        return
    from turncoat.leaderboard.verification.record import write_record
    from turncoat.leaderboard.verification.verdict import VERIFIED

    print_record(record, Console(highlight=False))
    path = write_record(record, out)
    note(
        f"written to {path}"
        if path
        else f"not written: {out / entry.name}.json tells of a re-run of the same rows"
    )
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


def _run_again(
    entry: Entry, folder: Path, fraction: float, roles: list[str] | None, judge: str | None,
    model: str | None, sampling_seed: int | None, common: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    from turncoat.leaderboard.verification import needs
    from turncoat.leaderboard.verification.draw import Tolerances, draw
    from turncoat.leaderboard.verification.record import make_record
    from turncoat.leaderboard.verification.rerun import RerunSetup, planned_seconds, rerun, with_base_partners
    from turncoat.store import Store
    from turncoat.study.progress import StudyProgress, duration

    submission = entry.submission
    needs.role_problem(roles or [], submission)
    chosen = tuple(roles or needs.can_rerun(submission))
    left_out = [name for name in submission.own_roles if name not in chosen]
    if left_out and roles is None:
        note(f"  the defence is not registered here: rows of {', '.join(left_out)} cannot be made again")
    # Wrong adapters are found before anything is loaded.
    trained = needs.find_adapters(submission, folder, [name for name in chosen if name != "base"])
    drawn = with_base_partners(entry, draw(entry, fraction, common["draw_seed"], roles=chosen))
    spec = needs.judge_spec(submission, judge)
    base = needs.load_submitted_base(submission, model)
    seed = needs.sampling_seed_of(drawn) if sampling_seed is None else sampling_seed
    uses = {use.task: use for use in entry.track.tasks_for(submission.organism.name)}
    planned = planned_seconds(drawn, uses, base)
    note(
        f"  {len(drawn)} rows, drawn with --seed {common['draw_seed']}; about {duration(planned)} on two "
        f"idle cores; judge: {spec}"
    )
    tolerances = Tolerances.of_precision(submission.model.dtype)
    progress = StudyProgress(Console(stderr=True, highlight=False), planned)
    compared = rerun(entry, drawn, trained, RerunSetup(base, Store(), spec, seed), progress, tolerances)
    more = {
        "roles": list(chosen), "not_checked": left_out, "judge": spec, "sampling_seed": seed,
        "base": base.spec,
    }  # fmt: skip
    return make_record(
        entry, "rerun", compared, tolerances=tolerances, fraction=fraction, **common, more=more
    )


def _judged_again(
    entry: Entry, spec: str, fraction: float, roles: list[str] | None, common: dict[str, Any]
) -> dict[str, Any] | None:
    from turncoat.judges.filter import progress_of
    from turncoat.judges.spec import judge_from_name
    from turncoat.leaderboard.verification.draw import Tolerances, draw
    from turncoat.leaderboard.verification.record import make_record
    from turncoat.leaderboard.verification.rejudge import judge_again, judged_tasks

    judge = judge_from_name(spec)
    if judge is None:
        raise UserError(f"--judge {spec}: judging is off; name a judge, see `turncoat list judges`")
    tasks = judged_tasks(entry)
    drawn = draw(entry, fraction, common["draw_seed"], roles=roles, tasks=tasks)
    total = sum(len(item.row.get("samples") or []) for item in drawn)
    note(f"  {total} answers, drawn with --seed {common['draw_seed']}; judge: {judge.id}")
    tolerances = Tolerances()
    with progress_of(total, f"judging ({judge.id})") as on_done:
        second = judge_again(entry, drawn, judge, tolerances, on_done)
    if second.failed:
        raise UserError(
            f"{second.failed} of {second.answers} calls to {judge.id} failed; run the same command to ask "
            "again"
        )
    if not second.same:
        print_second_judge(second.second, judge.id, entry.submission.judge.id, Console(highlight=False))
        note("nothing was written: two judges may differ, and that says nothing against the rows")
        return None
    more = {"roles": list(roles or entry.submission.own_roles), "judge": judge.id, "rubric": judge.rubric}
    return make_record(
        entry, "rejudge", second.compared, tolerances=tolerances, fraction=fraction, **common, more=more
    )
