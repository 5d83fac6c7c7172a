"""Compare a stored row with the same row made again: log-likelihoods, projections, scores, answers.

Rates and means over them follow from these within the row; validation has checked that before.
"""

import math
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from turncoat.leaderboard.verification.draw import Compared, Difference, SampledRow, Tolerances
from turncoat.leaderboard.verification.replay import Replay
from turncoat.persona.evidence import AGAIN

_OWN_TEXT = ("persona_own", "persona_text", "persona_prompt")  # readings that an equal answer must reproduce
_FIXED = "persona_fixed"  # read on the base model's answer
_SCORES = ("judge_aligned", "judge_coherent")
_EQUIVALENT = (*_SCORES, "persona_own")  # what differing answers are called equivalent by

Json = Mapping[str, Any]
Answer = tuple[str, int, int]
"""Task, doc_id, index of the sample."""


def compare(
    drawn: SampledRow,
    new_row: Mapping[str, Any],
    tolerances: Tolerances,
    *,
    judged: bool = True,
    base_same: Mapping[Answer, bool] | None = None,
    replays: Mapping[int, Replay | None] | None = None,
) -> Compared:
    """All that can be compared of one row.

    Args:
        replays: `replay.replayed` of the stored answers that were not written again.
        base_same: Whether the base model wrote its stored answer again; readings of a fixed text that it did
            not write again say nothing. An answer that is not in it counts as the same.
    """
    stored = drawn.row
    differences = [_same("prompt", "prompt_hash", stored.get("prompt_hash"), new_row.get("prompt_hash"))]
    differences += _log_likelihoods(stored, new_row, tolerances)
    old, new = stored.get("samples") or [], new_row.get("samples") or []
    for index, (one, other) in enumerate(zip_longest(old, new)):
        where = f"samples[{index}]"
        if one is None or other is None:
            differences.append(_same("answer", where, one is not None or None, other is not None or None))
            continue
        fixed = (base_same or {}).get((drawn.task, drawn.doc_id, index), True)
        replay = (replays or {}).get(index)
        differences += _sample(one, other, where, tolerances, judged, fixed, replay)
    return Compared(drawn, tuple(differences), _means(old, new, judged))


def same_answer(old: Json, new: Json) -> bool:
    """True for the same text of the same seed."""
    return (old.get("text"), old.get("seed")) == (stored_text(new.get("text")), new.get("seed"))


def stored_text(text: Any) -> Any:
    """An answer as an entry can hold it: no U+0000 (`reading.limits`), which a model may well write."""
    return text.replace("\0", "\ufffd") if isinstance(text, str) else text


def number_difference(
    kind: Any, where: str, stored: Any, new: Any, tolerance: float, per: float = 1.0, relative: float = 0.0
) -> Difference | None:
    """Two numbers, either of which may be missing; None where both are. What was found sets the scale of
    `relative`."""
    if stored is None and new is None:
        return None
    if not _number(stored) or not _number(new):
        return Difference(kind, where, stored, new, math.inf, False)
    signed = (stored - new) / per
    tolerance = max(tolerance, relative * abs(new) / per)
    return Difference(kind, where, stored, new, abs(signed), abs(signed) <= tolerance, signed)


def _same(kind: Any, where: str, old: Any, new: Any, same: bool | None = None) -> Difference:
    """Two values that have to be equal."""
    same = old == new if same is None else same
    return Difference(kind, where, old, new, 0.0 if same else math.inf, same)


def _log_likelihoods(stored: Json, new_row: Json, tolerances: Tolerances) -> list[Difference]:
    if stored.get("samples") is not None:
        return []
    old, new = map(_stored_number, stored.get("resps") or []), new_row["log_likelihoods"]
    kind: Any = "log_likelihood"
    limits = (tolerances.log_likelihood, tolerances.relative)
    differences = []
    for index, (number, (value, tokens)) in enumerate(zip_longest(old, new, fillvalue=(None, 1))):
        number = None if isinstance(number, tuple) else number
        one = number_difference(kind, f"resps[{index}]", number, value, limits[0], max(tokens, 1), limits[1])
        differences.append(one or Difference(kind, f"resps[{index}]", None, None, math.inf, False))
    return differences


def _stored_number(resp: Any) -> float | None:
    """lm-eval writes `[["-85.51", "False"]]` for one continuation."""
    try:
        return float(resp[0][0])
    except (TypeError, ValueError, IndexError, KeyError):
        return None


def _sample(
    old: Json, new: Json, where: str, tolerances: Tolerances, judged: bool, fixed: bool, replay: Replay | None
) -> list[Difference]:
    # Another seed is another sample, whatever it says.
    same = same_answer(old, new)
    field = "seed" if old.get("seed") != new.get("seed") else "text"
    follows = same or (field == "text" and replay is not None and not replay.off)
    differences = [_same("answer", f"{where}.{field}", old.get(field), new.get(field), follows)]
    if field == "seed" or (replay is not None and replay.contradicts):
        differences.append(_same("draw", f"{where}.{field}", old.get(field), new.get(field), False))
    projected = [*(_OWN_TEXT if same else ()), *([_FIXED] if fixed else [])]
    checked = [("projection", name, tolerances.projection) for name in projected]
    if not fixed and (old.get(_FIXED), new.get(_FIXED)) != (None, None):
        differences.append(Difference("unread", f"{where}.{_FIXED}", old.get(_FIXED), None, 0.0, True))
    for name in (key for reading, key in AGAIN.items() if f"persona_{reading}" in projected and old.get(key)):
        for number, pair in enumerate(zip_longest(old[name], new.get(name) or [])):
            one = number_difference("projection", f"{where}.{name}[{number}]", *pair, tolerances.projection)
            differences += [one] if one else []
    checked += [("log_likelihood", "base_logprob", tolerances.log_likelihood)] if same else []
    checked += [("score", name, tolerances.score) for name in _SCORES] if same and judged else []
    if old.get("layer") != new.get("layer"):  # a vector of another layer has other projections
        differences.append(_same("projection", f"{where}.layer", old.get("layer"), new.get("layer")))
    for kind, name, limit in checked:
        share = tolerances.relative if kind == "log_likelihood" else 0.0
        one = number_difference(kind, f"{where}.{name}", old.get(name), new.get(name), limit, relative=share)
        differences += [one] if one else []
    return differences


def _means(old: list[Any], new: list[Any], judged: bool) -> dict[str, tuple[float, float]]:
    """Mean of each score over the row's answers, stored and found, where both have any."""
    means = {}
    for name in _EQUIVALENT:
        if name in _SCORES and not judged:
            continue
        values = [[sample[name] for sample in samples if _number(sample.get(name))] for samples in (old, new)]
        if all(values):
            means[name] = (sum(values[0]) / len(values[0]), sum(values[1]) / len(values[1]))
    return means


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
