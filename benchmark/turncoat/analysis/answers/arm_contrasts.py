"""Contrasts of two arms of scored answers, question by question: the records of `turncoat compare`.

Both kinds of claim are the engine's own (`turncoat.stats.contrasts`), on the rates of question x training
seed; seeds are paired where both arms have them. Means and difference of a record are of one quantity: the
mean over the shared questions, all of the same weight. Beside it stand the rates of totals with their own
difference and ratio. McNemar's test is for one right-or-wrong answer per question in both arms.

The metrics under one claim are a family: `simultaneous_low` and `simultaneous_high` (Bonferroni) cover all
their differences at once, and exclude 0 where `p_adjusted` is below the level. A difference is marked where
they do, unless `withheld` says why not (`turncoat.stats.marks`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from turncoat.analysis.answers.arm_rates import METRICS, Cells, Pairs, Thresholds, metric_cells, seed_numbers
from turncoat.analysis.answers.row_checks import check_same_questions
from turncoat.analysis.answers.scored_answers import Scored
from turncoat.errors import UserError
from turncoat.stats.contrasts import CLAIMS, Claim, Contrast, TooFewQuestions, contrast_grids
from turncoat.stats.families import simultaneous, withheld
from turncoat.stats.margins import margin_p
from turncoat.stats.paired import side_means
from turncoat.stats.rates.ratios import bounds_of_difference, rate_difference
from turncoat.stats.scores import Grid
from turncoat.stats.sign_flip import MAX_EXACT_FLIPS

NO_EVENT = "no event in either arm, so nothing tells them apart"
_OPPOSITE = (
    "the mean over questions and the rates of totals point in opposite directions: the arms gave unequally "
    "many answers to a question"
)
_LISTED = 3


def contrast_records(
    first: Scored, first_arm: str, second: Scored, second_arm: str, limits: Thresholds | None = None,
    confidence: float = 0.95, margin: float | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """First arm minus second on the questions that both have: one record per metric and kind of claim.

    Args:
        margin: Share, such as 0.05: `equivalent` says whether the difference is shown to be smaller.

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
    check_same_questions(*frames)
    names = (first_arm, second_arm)
    if first_arm == second_arm:
        names = (f"{first.source}:{first_arm}", f"{second.source}:{second_arm}")
    about = {
        "a": names[0], "b": names[1], "source_a": first.source, "source_b": second.source, "kind": first.kind,
    }  # fmt: skip
    notes = []
    if n_all > len(shared):
        notes.append(f"{n_all - len(shared)} of {n_all} questions are in one arm only and are left out")
    seeds = seed_numbers(pd.concat([frame[["seed"]] for frame in frames]))
    one, other = (
        metric_cells(frame, first.kind, limits, numbers)
        for frame, numbers in zip(frames, np.split(seeds, [len(frames[0])]), strict=True)
    )
    seeded = [any(cells.by_seed for cells in arm.values()) for arm in (one, other)]
    if any(seeded) and not all(seeded):
        notes.append(f"no claim about the recipe: {names[seeded.index(False)]} has no training seed")
    pairs = [_Pair(metric, names, one[metric], other[metric]) for metric in METRICS[first.kind]]
    claims = CLAIMS if all(seeded) else CLAIMS[:1]
    families = {claim: _records(pairs, claim, confidence, margin) for claim in claims}
    return [
        about | family[place] | {"note": "; ".join(filter(None, (*notes, family[place]["note"])))}
        for place in range(len(pairs))
        for family in families.values()
    ]


@dataclass(frozen=True)
class _Pair:
    """One metric of both arms on the shared questions."""

    metric: str
    names: tuple[str, str]
    one: Cells
    other: Cells

    @property
    def grids(self) -> tuple[Grid, Grid]:
        """Rates by question and training seed."""
        return self.one.grid(self.names[0], self.metric), self.other.grid(self.names[1], self.metric)

    def contrast(self, claim: Claim, confidence: float) -> Contrast | None:
        """The engine's contrast; None where fewer than two questions have a value in both arms."""
        try:
            return contrast_grids(*self.grids, claim, confidence=confidence)
        except TooFewQuestions:
            return None


def _records(
    pairs: list[_Pair], claim: Claim, confidence: float, margin: float | None
) -> list[dict[str, Any]]:
    """A record for each metric under one claim, with the simultaneous intervals of those that have a test."""
    contrasts = [pair.contrast(claim, confidence) for pair in pairs]
    tests = sum(contrast is not None and contrast.se is not None for contrast in contrasts)
    records = []
    for pair, contrast in zip(pairs, contrasts, strict=True):
        adapters = claim == "adapters"
        record = _adapters(pair, contrast, confidence) if adapters else _recipe(pair, contrast)
        records.append(
            record
            | _together(contrast, tests, confidence)
            | _within_margin(contrast, tests, confidence, margin)
            | {"n_tests": tests, "confidence": confidence}
        )
    return records


def _together(contrast: Contrast | None, tests: int, confidence: float) -> dict[str, Any]:
    """The interval and p that allow for all metrics under one claim, and why a mark is withheld."""
    names = ("simultaneous_low", "simultaneous_high", "p_adjusted")
    if contrast is None or contrast.se is None or contrast.p_value is None or contrast.p_mark is None:
        return dict.fromkeys(names) | {"withheld": ""}
    ends = _within(*simultaneous(contrast, tests, confidence))
    adjusted, mark = (min(1.0, tests * p) for p in (contrast.p_value, contrast.p_mark))
    why = withheld(adjusted, mark, contrast.barred, round(1 - confidence, 12))
    return dict(zip(names, (*ends, adjusted), strict=True)) | {"withheld": why}


def _within_margin(
    contrast: Contrast | None, tests: int, confidence: float, margin: float | None
) -> dict[str, Any]:
    """The equivalence test, corrected for all metrics under one claim; nothing is shown without a t test.

    Its null and that of the difference exclude each other, so a metric counts once
    (`stats.corrections.holm_exclusive`).
    """
    p = None
    if margin is not None and contrast is not None and contrast.difference is not None and contrast.errors:
        p = margin_p(contrast.difference, contrast.errors, margin, "equivalence")
    adjusted = None if p is None else min(1.0, tests * p)
    below = adjusted is not None and adjusted < round(1 - confidence, 12)
    why = f"equivalence is not shown: {contrast.barred}" if below and contrast and contrast.barred else ""
    return {
        "margin": margin, "p_margin": p, "p_margin_adjusted": adjusted, "equivalent": below and not why,
        "margin_withheld": why,
    }  # fmt: skip


def _ends(contrast: Contrast | None) -> tuple[float | None, float | None]:
    return (None, None) if contrast is None else _within(contrast.low, contrast.high)


def _within(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Ends of an interval, no farther than a difference of rates can be."""
    return (None, None) if low is None or high is None else (max(-1.0, low), min(1.0, high))


def _adapters(pair: _Pair, contrast: Contrast | None, confidence: float) -> dict[str, Any]:
    """The claim about these trained models, and the two rates of totals."""
    one, other = pair.one.pairs, pair.other.pairs
    questions = sorted(one)
    totals = rate_difference([one[q] for q in questions], [other[q] for q in questions], confidence)
    (x1, n1), (x2, n2) = (map(sum, zip(*side.values(), strict=True)) for side in (one, other))
    both = [(one[q], other[q]) for q in questions if one[q][1] and other[q][1]]
    means: tuple[float, float] | tuple[None, None] = side_means(*pair.grids) if both else (None, None)
    (low, high), note = _ends(contrast), "" if contrast is None else contrast.note
    if contrast is None:
        what = f"{len(both)} question{'' if len(both) == 1 else 's'} with a value in both arms"
        note = f"undefined: {what}; a paired test needs at least 2"
    elif contrast.se is None:  # questions of the same weight, none with more answers than the fewest
        weight = min(n for sides in both for _, n in sides)
        rates = [[(x / n * weight, weight) for x, n in side] for side in zip(*both, strict=True)]
        low, high = bounds_of_difference(rates[0], rates[1], confidence)
    notes = [note, totals.note]
    difference = None if means[0] is None else means[0] - means[1]
    if difference and totals.difference and difference * totals.difference < 0:
        notes.insert(0, _OPPOSITE)
    has_t = contrast is not None and contrast.se is not None
    return {
        "metric": pair.metric, "claim": "adapters", "mean_a": means[0], "mean_b": means[1],
        "difference": difference, "se": contrast.se if contrast else None, "ci_low": low, "ci_high": high,
        "p_t": contrast.p_value if contrast and has_t else None,
        "p_sign_flip": contrast.p_permutation if contrast else None,
        "sign_flip_exact": 2 ** len(both) <= MAX_EXACT_FLIPS if contrast else None, "n_questions": len(both),
        "n_seeds": contrast.n_seeds if contrast else None,
        "events_a": x1, "n_a": n1, "events_b": x2, "n_b": n2, "rate_a": x1 / n1 if n1 else None,
        "rate_b": x2 / n2 if n2 else None, "difference_of_totals": totals.difference,
        "difference_of_totals_low": totals.low, "difference_of_totals_high": totals.high,
        **{name: getattr(totals, name) for name in ("ratio", "ratio_low", "ratio_high", "cohens_h")},
        **_mcnemar(one, other),
        "note": NO_EVENT if n1 and n2 and not x1 and not x2 else "; ".join(filter(None, notes)),
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


def _recipe(pair: _Pair, contrast: Contrast | None) -> dict[str, Any]:
    """The claim about new training seeds and new questions."""
    seeds = [len(side.by_seed) for side in (pair.one, pair.other)]
    record: dict[str, Any] = {
        "metric": pair.metric, "claim": "recipe", "n_seeds_a": seeds[0], "n_seeds_b": seeds[1],
    }  # fmt: skip
    low, high = _ends(contrast)
    if contrast is None:
        note = "undefined: fewer than 2 questions have a value in both arms"
        contrast = Contrast("", pair.metric, "recipe", *pair.names, note=note)
    no_event = not pair.one.events.to_numpy().any() and not pair.other.events.to_numpy().any()
    return record | {
        "n_seeds": contrast.n_seeds, "n_questions": contrast.n_questions, "difference": contrast.difference,
        "se": contrast.se, "ci_low": low, "ci_high": high, "method": contrast.method,
        "p_t": contrast.p_value if contrast.se is not None else None,
        "p_permutation": contrast.p_permutation, "permutation_exact": 2**contrast.n_seeds <= MAX_EXACT_FLIPS,
        "note": NO_EVENT if no_event and contrast.n_questions else contrast.note,
    }  # fmt: skip
