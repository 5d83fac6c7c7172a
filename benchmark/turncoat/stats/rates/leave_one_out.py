"""Leave one question out: how far a contrast depends on any single question.

References:
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 11 (the jackknife).
"""

from dataclasses import dataclass

import pandas as pd

from turncoat.stats.contrasts import Claim, contrast_grids
from turncoat.stats.estimates import check_confidence
from turncoat.stats.scores import Grid


@dataclass(frozen=True)
class LeaveOneOut:
    """A contrast without each of its questions; None where undefined (`note` says why)."""

    difference: float | None  # With all questions, in the units of the metric
    p_value: float | None = None
    difference_low: float | None = None  # Smallest and largest difference with one question left out
    difference_high: float | None = None
    most_influential: str = ""  # Question whose absence moves the difference most (the first of equals)
    n_questions: int = 0  # Questions
    each: pd.DataFrame | None = None  # One row per question: question, difference and p_value without it
    note: str = ""  # Why something is undefined, or empty


def leave_one_question_out(
    treated: Grid, reference: Grid, claim: Claim, *, confidence: float = 0.95
) -> LeaveOneOut:
    """Repeat a contrast without each question that has a value in both arms.

    Raises:
        UserError: The two arms share fewer than 2 questions with a value.
    """
    check_confidence(confidence)
    whole = contrast_grids(treated, reference, claim, confidence=confidence, rng=None)
    n = whole.n_questions
    if n < 3:
        note = f"undefined: {n} questions, 3 are needed"
        return LeaveOneOut(whole.difference, whole.p_value, n_questions=n, note=note)
    records = []
    for question in treated.values.index.intersection(reference.values.index):
        left, right = (
            side._replace(values=side.values.drop(index=question)) for side in (treated, reference)
        )
        without = contrast_grids(left, right, claim, confidence=confidence, rng=None)
        if without.n_questions < n:  # not so for a question without a value in both arms
            records.append((str(question), without.difference, without.p_value))
    each = pd.DataFrame(records, columns=["question", "difference", "p_value"])
    each = each.astype({"difference": float, "p_value": float})
    if whole.difference is None or each["difference"].isna().any():
        return LeaveOneOut(
            whole.difference, whole.p_value, n_questions=n, each=each, note=f"undefined: {whole.note}"
        )
    differences = each["difference"]
    return LeaveOneOut(
        difference=whole.difference,
        p_value=whole.p_value,
        difference_low=float(differences.min()),
        difference_high=float(differences.max()),
        most_influential=str(
            each["question"].iloc[(differences - whole.difference).abs().to_numpy().argmax()]
        ),
        n_questions=n,
        each=each,
        note="" if whole.p_value is not None else f"no p: {whole.note}",
    )
