"""Check stored answers without the adapters: all scores by the embedded judge, some by the base model.

Both check the entry's own rows; shared ones are checked with the entry that holds them.
"""

import random
from collections.abc import Callable
from typing import Any

from turncoat.engine.chat import encode
from turncoat.engine.reading.reader import read_texts
from turncoat.judges.spec import judge_from_name
from turncoat.leaderboard.entry.load import Entry, rows_name
from turncoat.leaderboard.reading.findings import Finding, shown
from turncoat.leaderboard.validation.expected import registry_tokenizer
from turncoat.leaderboard.verification.compare import number_difference
from turncoat.leaderboard.verification.draw import Compared, SampledRow, Tolerances, draw
from turncoat.leaderboard.verification.needs import load_submitted_base
from turncoat.leaderboard.verification.rejudge import judge_again, judged_tasks
from turncoat.leaderboard.verification.verdict import VERIFIED, verdict_of

_MOST = 20  # findings of each kind
_NOT_CANONICAL = 0.1  # Share of readings that may differ: a sampled text need not be its own encoding


def judge_all(entry: Entry, on_done: Callable[[int], None] | None = None) -> list[Finding]:
    """Findings on scores that the embedded judge does not give; none where another judge scored.

    Raises:
        UserError: The judge's base model is not here and cannot be fetched.
    """
    facts, rows = entry.submission.judge, _own_rows(entry, judged_tasks(entry))
    if not facts.id.startswith("embedded") or not rows:
        return []
    judge, tolerances = judge_from_name("embedded"), Tolerances()
    assert judge is not None
    compared = judge_again(entry, rows, judge, tolerances, on_done).compared
    findings = _differing(
        compared, "judge-score", f"what {judge.id} gives it", "judge the answers: turncoat judge"
    )
    if not findings and (verdict := verdict_of(compared, tolerances)) != VERIFIED:
        fix = "give the scores as the judge gave them"
        findings = [
            Finding("judge-score", "rows", value=verdict, allowed="differences without a direction", fix=fix)
        ]
    return findings


def read_again(entry: Entry, count: int) -> list[Finding]:
    """Findings on `base_logprob` of some answers that the base model reads again; which, nobody can know.

    None where the base model is not a registry model that is on this machine.

    Raises:
        UserError: The facts name another revision or chat template of it.
    """
    if registry_tokenizer(entry.submission.model.name) is None:
        return []
    base, tolerances = load_submitted_base(entry.submission), Tolerances()
    tasks = [use.task for use in entry.track.tasks if use.samples is not None]
    answers = [
        (row, number, sample) for row in _own_rows(entry, tasks)
        for number, sample in enumerate(row.row.get("samples") or [])
        if sample.get("base_logprob") is not None and row.row.get("arguments")
    ]  # fmt: skip
    random.SystemRandom().shuffle(answers)
    chosen: list[tuple[SampledRow, int, dict[str, Any]]] = []
    items: list[tuple[list[int], list[int]]] = []
    for row, number, sample in answers:
        ids = encode(base.tokenizer, row.row["resps"][0][number])
        if len(ids) == sample["n_tokens"] and len(chosen) < count:
            chosen.append((row, number, sample))
            items.append((encode(base.tokenizer, row.row["arguments"]["gen_args_0"]["arg_0"]), ids))
    readings = read_texts(base.model, base.tokenizer.pad_token_id, items, capture=False)
    compared = []
    for (row, number, sample), reading in zip(chosen, readings, strict=True):
        one = number_difference(
            "log_likelihood", f"samples[{number}].base_logprob", sample["base_logprob"], reading.logprob_mean,
            tolerances.log_likelihood, relative=tolerances.relative,
        )  # fmt: skip
        compared.append(Compared(row, (one,) if one else ()))
    findings = _differing(compared, "base-logprob", "what the base model gives it", "measure again")
    return findings if len(findings) > _NOT_CANONICAL * len(chosen) else []


def _own_rows(entry: Entry, tasks: list[str]) -> list[SampledRow]:
    roles = [role for role in entry.submission.own_roles if role not in entry.submission.shared]
    return draw(entry, 1.0, 0, roles=roles, tasks=tasks)


def _differing(compared: list[Compared], rule: str, allowed: str, fix: str) -> list[Finding]:
    return [
        Finding(
            rule, rows_name(item.drawn.role, item.drawn.seed, item.drawn.task), item.drawn.line,
            one.where, shown(one.stored), f"{allowed}: {one.fresh}", fix,
        )
        for item in compared for one in item.differences if not one.within
    ][:_MOST]  # fmt: skip
