"""Verifications of an entry: a drawn part of its rows made again, or their answers judged again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from turncoat.errors import UserError
from turncoat.judges.base import Judge
from turncoat.judges.filter import progress_of
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.verification import needs
from turncoat.leaderboard.verification.draw import Tolerances, draw, draw_seed
from turncoat.leaderboard.verification.record import Request, make_record
from turncoat.leaderboard.verification.rejudge import SecondJudge, judge_again, judged_tasks
from turncoat.leaderboard.verification.rerun import RerunSetup, planned_seconds, rerun, with_base_partners
from turncoat.store import Store
from turncoat.study.progress import StudyProgress, duration


def verify_rows(
    entry: Entry, adapters: Path, request: Request, on_note: Callable[[str], None], console: Console, *,
    judge: str | None = None, model: str | None = None, sampling_seed: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The record of rows made again from the adapters in a folder.

    Args:
        on_note: Called with a line for the user; `console` shows the progress.
        judge: Default: the entry's, as is `sampling_seed`.
        model: A trusted copy of an unregistered base model.

    Raises:
        UserError: Adapters, base model, judge or roles are missing or not the entry's.
    """
    submission = entry.submission
    needs.role_problem(list(request.roles or ()), submission)
    chosen = request.roles or tuple(needs.can_rerun(submission))
    left_out = [name for name in submission.own_roles if name not in chosen]
    if left_out and request.roles is None:
        on_note(f"  the defence is not registered here: rows of {', '.join(left_out)} cannot be made again")
    # Wrong adapters are found before anything is loaded.
    trained = needs.find_adapters(submission, adapters, [name for name in chosen if name != "base"])
    drawn = with_base_partners(
        entry, draw(entry, request.fraction, draw_seed(entry, request.nonce), roles=chosen)
    )
    spec = needs.judge_spec(submission, judge)
    base = needs.load_submitted_base(submission, model)
    seed = needs.sampling_seed_of(drawn) if sampling_seed is None else sampling_seed
    uses = {use.task: use for use in entry.track.tasks_for(submission.organism.name)}
    planned = planned_seconds(drawn, uses, base)
    on_note(
        f"  {len(drawn)} rows, drawn with --nonce {request.nonce}; about {duration(planned)} on two idle "
        f"cores; judge: {spec}"
    )
    tolerances = Tolerances.of_precision(submission.model.dtype)
    setup = RerunSetup(base, Store(), spec, seed)
    compared = rerun(entry, drawn, trained, setup, StudyProgress(console, planned), tolerances)
    more = {"roles": list(chosen), "not_checked": left_out, "judge": spec, "sampling_seed": seed}
    return make_record(entry, "rerun", compared, request, tolerances, {**more, "base": base.spec})


def verify_scores(
    entry: Entry, judge: Judge, request: Request, on_note: Callable[[str], None]
) -> tuple[dict[str, Any] | None, list[SecondJudge]]:
    """The record of stored answers judged again; for another judge than the entry's, None and its agreement.

    Raises:
        UserError: There is no answer to judge, or calls to the judge failed.
    """
    seed = draw_seed(entry, request.nonce)
    drawn = draw(entry, request.fraction, seed, roles=request.roles, tasks=judged_tasks(entry))
    total = sum(len(item.row.get("samples") or []) for item in drawn)
    on_note(f"  {total} answers, drawn with --nonce {request.nonce}; judge: {judge.id}")
    tolerances = Tolerances()
    with progress_of(total, f"judging ({judge.id})") as on_done:
        found = judge_again(entry, drawn, judge, tolerances, on_done)
    if found.failed:
        raise UserError(
            f"{found.failed} of {found.answers} calls to {judge.id} failed; run the same command to ask again"
        )
    if not found.same:
        return None, found.second
    roles = list(request.roles or entry.submission.own_roles)
    more = {"roles": roles, "judge": judge.id, "rubric": judge.rubric}
    return make_record(entry, "rejudge", found.compared, request, tolerances, more), []
