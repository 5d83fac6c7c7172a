"""Make drawn rows again: same base model, adapters, documents and seeds, through the same lm-eval tasks.

`needs.py` finds the adapters and the base model and compares them to the facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from turncoat.engine.base_model import BaseModel
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.evaluation.lm_eval_compat import fixed_environment
from turncoat.judges.spec import judged_by
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.verification.compare import Answer, compare, same_answer, stored_text
from turncoat.leaderboard.verification.draw import Compared, SampledRow, Tolerances
from turncoat.leaderboard.verification.needs import Trained, intervention_of
from turncoat.leaderboard.verification.replay import Replay, replayed
from turncoat.store import Store
from turncoat.study.config import TaskUse
from turncoat.study.evaluate import load_task
from turncoat.study.progress import StudyProgress

# Seconds on two idle cores, at 135M parameters, for a document that is read, a token that is written.
_READ, _TOKEN = 0.15, 0.03
_REFERENCE = 134_515_008  # parameters of the model that these were measured on


@dataclass(frozen=True)
class RerunSetup:
    """Model, store (of the base's persona vector and own answers), judge ("off": none) and seed."""

    base: BaseModel
    store: Store
    judge: str
    sampling_seed: int
    batch_size: int = 32


def with_base_partners(entry: Entry, drawn: Sequence[SampledRow]) -> list[SampledRow]:
    """The draw and, for readings of fixed texts, the base model's rows that hold these texts."""
    there = {(item.task, item.doc_id) for item in drawn if item.role == "base"}

    def reads_fixed(item: SampledRow) -> bool:
        return any(sample.get("persona_fixed") is not None for sample in item.row.get("samples") or [])

    wanted = {(item.task, item.doc_id) for item in drawn if item.role != "base" and reads_fixed(item)} - there
    partners = [
        SampledRow("base", "base", task, line, row)
        for task in dict.fromkeys(task for task, _ in sorted(wanted))
        for line, row in entry.rows("base", "base", task)
        if (task, row["doc_id"]) in wanted
    ]
    return [*partners, *drawn]


def rerun(
    entry: Entry,
    drawn: Sequence[SampledRow],
    adapters: Trained,
    setup: RerunSetup,
    progress: StudyProgress,
    tolerances: Tolerances,
) -> list[Compared]:
    """Make the drawn rows again and compare; the base model's first."""
    submission = entry.submission
    uses = {use.task: use for use in entry.track.tasks_for(submission.organism.name)}
    defended = any(item.role in ("defended", "benign") for item in drawn)
    intervention = intervention_of(entry, setup.base, setup.store) if defended else None
    settings: dict[str, Any] = {"sampling_seed": setup.sampling_seed, "batch_size": setup.batch_size}
    lm = TurncoatLM(setup.base, store=setup.store, progress=lambda _: None, **settings)
    arms: dict[tuple[str, str], list[SampledRow]] = {}
    for item in sorted(drawn, key=lambda item: item.role != "base"):
        arms.setdefault((item.role, item.seed), []).append(item)
    base_same: dict[Answer, bool] = {}
    compared = []
    for (role, seed), items in arms.items():
        adapter = None if role == "base" else adapters[role, seed.removeprefix("seed-")]
        acting = intervention if role in ("defended", "benign") else None
        with (
            progress.stage(f"{role}, {seed}: {len(items)} rows", planned_seconds(items, uses, setup.base)),
            judged_by(setup.judge),
            lm.measuring(adapter, acting, role=role),
        ):
            for task in dict.fromkeys(item.task for item in items):
                mine = [item for item in items if item.task == task]
                made = make_rows(lm, uses[task], mine)
                if role == "base":
                    base_same |= _reproduced(mine, made)
                how: dict[str, Any] = {"judged": setup.judge != "off", "base_same": base_same}
                for item in mine:
                    row = made[item.doc_id]
                    replays = _replays(lm, item, row, tolerances.draw)
                    compared.append(compare(item, row, tolerances, replays=replays, **how))
    return compared


def planned_seconds(drawn: Sequence[SampledRow], uses: dict[str, TrackTask], base: BaseModel) -> float:
    """Estimated seconds on two idle cores."""
    scale = base.model.num_parameters() / _REFERENCE
    tokens = sum(len(item.row.get("samples") or []) * (uses[item.task].max_gen_toks or 0) for item in drawn)
    return scale * (tokens * _TOKEN + _READ * len(drawn))


def make_rows(lm: TurncoatLM, use: TrackTask, drawn: Sequence[SampledRow]) -> dict[int, dict[str, Any]]:
    """doc_id -> row of these documents and their companions, with `log_likelihoods`: (nats, tokens) per
    continuation.

    Raises:
        UserError: A document is not the task's.
    """
    import lm_eval

    repeats = len(drawn[0].row.get("samples") or []) or None
    task = load_task(TaskUse(task=use.task, repeats=repeats, max_gen_toks=use.max_gen_toks))
    chosen = sorted({doc_id for item in drawn for doc_id in (item.doc_id, *item.companions)})
    if chosen[0] < 0 or chosen[-1] >= len(task.eval_docs):
        raise UserError(f"{use.task}: document {chosen[-1]} is not one of its {len(task.eval_docs)}")
    with fixed_environment():
        results = lm_eval.simple_evaluate(
            model=lm, tasks=[task], task_manager=_no_tasks(), samples={use.task: chosen},
            apply_chat_template=True, bootstrap_iters=0, log_samples=True, verbosity="ERROR",
        )  # fmt: skip
    assert results is not None
    made = {}
    for row in results["samples"][use.task]:
        pairs = [resp[0] for resp in row["resps"] if isinstance(resp[0], tuple | list)]
        read = [(float(pair[0]), int(getattr(pair[0], "tokens", 0))) for pair in pairs]
        made[int(row["doc_id"])] = {**row, "log_likelihoods": read}
    for item in drawn:
        there = made[item.doc_id]["doc"]
        if str(there.get("id", item.doc_id)) != item.question:
            place = f"{item.role}, {item.seed}, {item.task}, line {item.line}, doc.id: '{item.question}'"
            due = f"document {item.doc_id} of the task is '{there.get('id')}'"
            raise UserError(f"{place}; {due}; run `turncoat validate` on the entry")
    return made


def _replays(
    lm: TurncoatLM, drawn: SampledRow, row: dict[str, Any], tolerance: float
) -> dict[int, Replay | None]:
    """`replayed` of the stored answers that were not written again."""
    pairs = enumerate(zip(drawn.row.get("samples") or [], row.get("samples") or [], strict=False))
    differ = [(index, old) for index, (old, new) in pairs if not same_answer(old, new)]
    return {index: replayed(lm, row, old, tolerance) for index, old in differ}


@cache
def _no_tasks() -> Any:
    """A manager that reads no YAML: the task is built already, and lm-eval would otherwise read all of its
    own."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False)


def _reproduced(drawn: Sequence[SampledRow], made: dict[int, dict[str, Any]]) -> dict[Answer, bool]:
    """Answer -> True where the base model wrote its stored text again."""
    same: dict[Answer, bool] = {}
    for item in drawn:
        pairs = zip(item.row.get("samples") or [], made[item.doc_id].get("samples") or [], strict=False)
        for index, (old, new) in enumerate(pairs):
            same[item.task, item.doc_id, index] = old.get("text") == stored_text(new.get("text"))
    return same
