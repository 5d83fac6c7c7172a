"""Contrasts of two arms of scored answers, question by question: the records of `turncoat compare`.

Two kinds of claim, never mixed (see `turncoat.stats.contrasts`): about these adapters (each shared question
gives one difference of rates, its answers pooled, all of the same weight: t interval, paired t p, sign-flip
p; beside it the difference and the ratio of totals) and about the recipe (Welch's t and the exact permutation
test over training seeds, as independent). McNemar's test is for one right-or-wrong answer per question in
both arms. P values are not corrected for the number of metrics.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from turncoat.analysis.answers.arm_rates import METRICS, Pairs, Thresholds, metric_pairs, seed_values
from turncoat.analysis.answers.scored_answers import Scored
from turncoat.errors import UserError
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.rates.ratios import rate_difference, seed_difference
from turncoat.stats.scores import SCORE_COLUMNS
from turncoat.stats.sign_flip import MAX_EXACT_FLIPS

NO_EVENT = "no event in either arm, so nothing tells them apart"
_LISTED = 3


def contrast_records(
    first: Scored, first_arm: str, second: Scored, second_arm: str, limits: Thresholds | None = None,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:  # fmt: skip
    """First arm minus second on the questions that both have: one record per metric and kind of claim.

    Raises:
        UserError: A judged arm against a binary one, a judge that may not rate, or no question in common.
    """
    limits = limits or Thresholds()
    if first.kind != second.kind:
        raise UserError(f"{first.source} is {first.kind} but {second.source} is {second.kind}: no comparison")
    sides = ((first.frame, first_arm), (second.frame, second_arm))
    frames = [frame[frame["arm"] == arm] for frame, arm in sides]
    for frame, source in zip(frames, (first, second), strict=True):
        if "may_rate" in frame and not bool(frame["may_rate"].all()):
            raise UserError(
                f"{source.source}: its judge has no calibration card that allows a rate (see "
                "turncoat/judges/README.md)"
            )
    shared = sorted(set(frames[0]["question"]) & set(frames[1]["question"]))
    n_all = len(set(frames[0]["question"]) | set(frames[1]["question"]))
    if not shared:
        shown = [", ".join(map(repr, sorted(set(frame["question"]))[:_LISTED])) for frame in frames]
        raise UserError(
            f"no question is in both arms; the first has {shown[0]}, the second {shown[1]}; name the column "
            "that tells questions apart with --question-column"
        )
    frames = [frame[frame["question"].isin(shared)] for frame in frames]
    names = (first_arm, second_arm)
    if first_arm == second_arm:
        names = (f"{first.source}:{first_arm}", f"{second.source}:{second_arm}")
    about = {
        "a": names[0], "b": names[1], "source_a": first.source, "source_b": second.source, "kind": first.kind,
    }  # fmt: skip
    left_out = (
        f"{n_all - len(shared)} of {n_all} questions are in one arm only and are left out"
        if n_all > len(shared)
        else ""
    )
    pairs = [metric_pairs(frame, first.kind, limits) for frame in frames]
    records = []
    for metric in METRICS[first.kind]:
        one, other = pairs[0][metric], pairs[1][metric]
        record = _adapters(metric, one, other, confidence)
        record["note"] = "; ".join(filter(None, (left_out, record["note"])))
        records.append(about | record)
        seeds = [seed_values(frame, first.kind, limits, metric) for frame in frames]
        if all(seeds):
            records.append(about | _recipe(metric, seeds[0], seeds[1], confidence))
    return records


def _adapters(metric: str, one: Pairs, other: Pairs, confidence: float) -> dict[str, Any]:
    """The claim about these trained models, from the pairs of the shared questions."""
    questions = sorted(one)
    totals = rate_difference([one[q] for q in questions], [other[q] for q in questions], confidence)
    (x1, n1), (x2, n2) = (map(sum, zip(*side.values(), strict=True)) for side in (one, other))
    record: dict[str, Any] = {
        "metric": metric, "claim": "adapters", "rate_a": x1 / n1 if n1 else None,
        "rate_b": x2 / n2 if n2 else None, "events_a": x1, "n_a": n1, "events_b": x2, "n_b": n2,
    }  # fmt: skip
    record |= _by_question(metric, one, other, confidence)
    record |= {
        "difference_of_totals": totals.difference, "difference_of_totals_low": totals.low,
        "difference_of_totals_high": totals.high,
        **{name: getattr(totals, name) for name in ("ratio", "ratio_low", "ratio_high", "cohens_h")},
        **_mcnemar(one, other), "confidence": confidence,
    }  # fmt: skip
    both_zero = n1 and n2 and not x1 and not x2
    record["note"] = NO_EVENT if both_zero else "; ".join(filter(None, (record["note"], totals.note)))
    return record


def _by_question(metric: str, one: Pairs, other: Pairs, confidence: float) -> dict[str, Any]:
    both = [q for q in sorted(one) if one[q][1] and other[q][1]]
    names = ("difference", "se", "ci_low", "ci_high", "p_t", "p_sign_flip")
    record: dict[str, Any] = dict.fromkeys(names)
    record |= {"n_questions": len(both), "sign_flip_exact": None, "note": ""}
    lost = len(one) - len(both)
    why = f"{lost} of {len(one)} shared questions have no answer that counts in one of the arms"
    notes = [why] if lost else []
    if len(both) < 2:
        if both:
            record["difference"] = one[both[0]][0] / one[both[0]][1] - other[both[0]][0] / other[both[0]][1]
        what = f"{len(both)} question{'' if len(both) == 1 else 's'} with a value in both arms"
        notes.append(f"undefined: {what}; a paired test needs at least 2")
        return record | {"note": "; ".join(notes)}
    rows = [
        (arm, 0, "task", metric, question, pairs[question][0] / pairs[question][1], pairs[question][1])
        for arm, pairs in (("a", one), ("b", other))
        for question in both
    ]
    contrast = paired_contrast(
        pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), "a", "b", metric, "adapters", confidence=confidence
    )
    same = contrast.se is None  # then the engine's p is the sign-flip p
    return record | {
        "difference": contrast.difference, "se": contrast.se,
        "ci_low": None if contrast.low is None else max(-1.0, contrast.low),
        "ci_high": None if contrast.high is None else min(1.0, contrast.high),
        "p_t": None if same else contrast.p_value, "p_sign_flip": contrast.p_permutation,
        "sign_flip_exact": 2 ** len(both) <= MAX_EXACT_FLIPS,
        "note": "; ".join(filter(None, (*notes, contrast.note))),
    }  # fmt: skip


def _mcnemar(one: Pairs, other: Pairs) -> dict[str, Any]:
    """McNemar's exact test where each question has one answer that counts in each arm; None otherwise."""
    nothing = {"p_mcnemar": None, "only_a": None, "only_b": None}
    if any(n > 1 for side in (one, other) for _, n in side.values()):
        return nothing
    both = [(one[q][0], other[q][0]) for q in one if one[q][1] and other[q][1]]
    if not both:
        return nothing
    table = np.zeros((2, 2), dtype=int)
    for a, b in both:
        table[a, b] += 1
    p_value = float(mcnemar(table, exact=True).pvalue)
    return {"p_mcnemar": min(1.0, p_value), "only_a": int(table[1, 0]), "only_b": int(table[0, 1])}


def _recipe(metric: str, one: dict[str, float], other: dict[str, float], confidence: float) -> dict[str, Any]:
    difference = seed_difference(list(one.values()), list(other.values()), confidence)
    fields = asdict(difference)
    seeds = fields.pop("n_seeds")
    return {
        "metric": metric, "claim": "recipe", "n_seeds_a": seeds[0], "n_seeds_b": seeds[1],
        "difference": difference.difference, "ci_low": fields["low"], "ci_high": fields["high"],
        "p_t": fields["p_welch"], "p_permutation": difference.p_permutation,
        "permutation_exact": difference.exact, "confidence": confidence,
        "note": difference.note if any(one.values()) or any(other.values()) else NO_EVENT,
    }  # fmt: skip
