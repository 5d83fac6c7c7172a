"""Recompute every metric of a row from its evidence and compare.

The rows do not say how many tokens a continuation has, which metrics per token divide by. Where the model
is a registry model that is here, they are counted with its tokenizer. Elsewhere one pair of whole numbers,
within bounds that any tokenizer keeps, has to explain the rows of a question in all roles and seeds; the row
that is at odds with the others is the one that is reported.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from turncoat.engine.evidence import Answer, LogLikelihood
from turncoat.evaluation.task_facts import AS_WRITTEN, evidence_fields
from turncoat.judges.surface import surface
from turncoat.leaderboard.reading.findings import Finding
from turncoat.leaderboard.validation.expected import ExpectedRows, continuation_tokens, registry_chat
from turncoat.leaderboard.validation.row_schema import Row
from turncoat.leaderboard.validation.token_counts import (
    TokenCounts,
    fewest_tokens,
    per_token_pair,
    possible_counts,
)

TOLERANCE = 1e-6
_RESTORE = "the number or its evidence was changed after the measurement: restore the row"


def check_numbers(expected: ExpectedRows, rows: Sequence[Row], model: str) -> list[Finding]:
    """Findings about metric values and what they are computed from; the rows are good otherwise."""
    by_doc: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_doc[row.doc_id].append(row)
    check = partial(_likelihoods, model=model) if expected.task else _without_texts
    check = _answers if expected.use.samples is not None else check
    return [one for number, members in sorted(by_doc.items()) for one in check(expected, number, members)]


def _answers(expected: ExpectedRows, number: int, rows: Sequence[Row]) -> Iterator[Finding]:
    doc = expected.docs[number]
    # The task makes them of the raw answer itself: they are never taken from the row.
    derived = {"text", *surface(""), *evidence_fields(expected.use.task)}
    for row in rows:

        def computed(row: Row = row) -> dict[str, Any]:
            answers = [
                Answer(text, {key: value for key, value in sample.items() if key not in derived})
                for text, sample in zip(row.answers, row.samples, strict=True)
            ]
            return dict(expected.task.process_results(doc, [expected.filtered(doc, answers)]))

        yield from _compare(expected, row, computed)


def _likelihoods(
    expected: ExpectedRows, number: int, rows: Sequence[Row], *, model: str
) -> Iterator[Finding]:
    doc, chat = expected.docs[number], registry_chat(model)
    texts = [str(request.second) for request in expected.requests[number]]

    def metrics(values: Sequence[float], tokens: TokenCounts) -> dict[str, Any]:
        results = [(LogLikelihood(value, tokens=n), False) for value, n in zip(values, tokens, strict=True)]
        return dict(expected.task.process_results(doc, results))

    if chat is not None:
        rendered = chat(expected.requests[number][0].messages)
        for row in rows:
            given = (row.content.get("arguments") or {}).get("gen_args_0", {}).get("arg_0", rendered)
            counts = tuple(continuation_tokens(model, str(given), text) or 0 for text in texts)
            yield from _compare(expected, row, partial(metrics, row.log_likelihoods, counts))
        return
    bounds = [(fewest_tokens(text), len(text.encode()) + 2) for text in texts]
    explained: Counter[TokenCounts] = Counter()
    for row in rows:
        explained.update(possible_counts(row.log_likelihoods, row.content, metrics, bounds))
    agreed = explained.most_common(1)[0][0] if explained else tuple(fewest for fewest, _ in bounds)
    for row in rows:
        yield from _compare(expected, row, partial(metrics, row.log_likelihoods, agreed))


def _compare(expected: ExpectedRows, row: Row, computed: Callable[[], dict[str, Any]]) -> Iterator[Finding]:
    try:
        due = computed()
    except Exception as error:
        # Whatever odd evidence makes a task's own code fail is the entry's fault, never a crash of the check.
        allowed = f"evidence that {expected.use.task} can be computed from"
        yield row.finding("numbers", "samples", f"{type(error).__name__}: {error}", allowed, "measure again")
        return
    named = {name for name in row.content["metrics"] if not name.endswith("_stderr")}
    wanted = {name for name in due if not name.endswith("_stderr")}
    there, absent = "there: the task computes it from this evidence", "absent: no evidence for it"
    for name in sorted(named ^ wanted):
        allowed = there if name in wanted else absent
        yield row.finding("metrics", f"metrics ({name})", name in named, allowed, _RESTORE)
    for name in sorted((wanted | (due.keys() & row.content.keys())) - {"samples"}):
        value, allowed = row.content.get(name), repr(due[name])
        if name not in row.content:
            yield row.finding("metric-value", name, None, allowed, _RESTORE)
        elif not close(value, due[name]):
            yield row.finding("metric-value", name, value, f"{allowed}, from the evidence", _RESTORE)
    for name in sorted(row.content.keys() & {f"{name}_stderr" for name in wanted} - due.keys()):
        yield row.finding("totals", name, row.content[name], "no such key", "remove it")
    for number, (sample, right) in enumerate(zip(row.samples, due.get("samples", ()), strict=False)):
        for key in sorted(sample.keys() | right.keys()):
            if key not in sample or key not in right or not close(sample[key], right[key]):
                rule = "answer-text" if key in ("text", AS_WRITTEN) else "metric-value"
                allowed = f"{right[key]!r:.200}, from resps[0][{number}]" if key in right else "absent"
                yield row.finding(rule, f"samples[{number}].{key}", sample.get(key), allowed, _RESTORE)


def close(one: Any, other: Any) -> bool:
    """Equality of JSON values, to `TOLERANCE` for numbers; true is not 1."""
    if one is other:  # evidence that the task handed on as it was
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(close, one, other))
    return type(one) is type(other) and bool(one == other)


def _without_texts(expected: ExpectedRows, number: int, rows: Sequence[Row]) -> Iterator[Finding]:
    """Without the set's texts: each metric divides a log-likelihood by one whole number, the same in all
    arms."""
    for name in sorted({name for row in rows for name in row.content["metrics"]}):
        pairs = {id(row): per_token_pair(row.log_likelihoods, row.content.get(name)) for row in rows}
        votes = Counter(pair for of_row in pairs.values() for pair in of_row)
        agreed = votes.most_common(1)[0][0] if votes else None
        for row in rows:
            if agreed is None or agreed not in pairs[id(row)]:
                allowed = "a log-likelihood of resps divided by a whole number"
                if agreed and agreed[0] < len(row.log_likelihoods):
                    due = -row.log_likelihoods[agreed[0]] / agreed[1]
                    allowed += f": {due!r} if by {agreed[1]}, as in most arms"
                yield row.finding("numbers-disagree", name, row.content.get(name), allowed, _RESTORE)
