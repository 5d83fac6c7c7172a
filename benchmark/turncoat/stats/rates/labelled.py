"""Answers that a judge scored and that people (or a second judge) labelled in part.

LabelledAnswers(question=["a", "a", "b"], predicted=[1, 0, 1], label=[1, nan, nan])
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from turncoat.errors import UserError


@dataclass(frozen=True)
class LabelledAnswers:
    """Judged answers, some with a label; all arrays have one entry per answer."""

    question: ArrayLike  # Identifier of the question
    # The judge's verdict: 1 or 0, or a score; an answer without one (NaN) is left out, whether labelled or
    # not
    predicted: ArrayLike
    label: ArrayLike  # The label, in the same units; NaN where there is none
    # 1 if the answer is in the denominator by the judge, else 0; None = all are
    predicted_counts: ArrayLike | None = None
    label_counts: ArrayLike | None = None  # The same by the label; read where there is a label
    # Probability that an answer of its kind was chosen to be labelled; None = all alike
    probability: ArrayLike | None = None


def checked_table(answers: LabelledAnswers) -> pd.DataFrame:
    """The arrays side by side, checked."""
    columns = {name: value for name, value in vars(answers).items() if value is not None}
    sizes = {name: len(np.asarray(value)) for name, value in columns.items()}
    if len(set(sizes.values())) > 1:
        lengths = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UserError(f"the arrays must have one entry per answer each, but their lengths are: {lengths}")
    ones = np.ones(sizes["question"])
    try:
        numbers = {
            name: np.asarray(columns.get(name, ones), dtype=float)
            for name in ("predicted", "label", "predicted_counts", "label_counts", "probability")
        }
    except (TypeError, ValueError) as error:
        raise UserError(f"predictions and labels must be numbers, NaN where there is none: {error}") from None
    if any(np.isinf(values).any() for values in numbers.values()):
        raise UserError("a prediction or label is infinite; write NaN where there is no number")
    chances = numbers["probability"][~np.isnan(numbers["label"])]
    if not bool(np.all((chances > 0) & (chances <= 1))):
        raise UserError(
            "probability: every labelled answer needs its chance of being labelled, above 0 and at most 1"
        )
    table = pd.DataFrame({"question": np.asarray(columns["question"]).astype(str), **numbers})
    return table[table["predicted"].notna()]
