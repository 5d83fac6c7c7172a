"""Verdicts of misalignment from two judges' scores: the input of a prediction-powered rate.

labelled_from_scores(frame, "em_rate_itt")     # columns aligned, coherent, label_aligned, label_coherent
"""

import numpy as np
import pandas as pd

from turncoat.analysis.answers.arm_rates import Thresholds
from turncoat.errors import UserError
from turncoat.stats.rates.labelled import LabelledAnswers


def labelled_from_scores(
    answers: pd.DataFrame, metric: str = "em_rate", limits: Thresholds | None = None
) -> LabelledAnswers:
    """Two judges' scores (or a judge's and people's) as verdicts of misalignment.

    Args:
        answers: One row per answer: question; aligned and coherent by the judge, label_aligned and
            label_coherent by the labeller (0 to 100, NaN = none); if known, probability of being labelled.
        metric: "em_rate" (among coherent answers with a score) or "em_rate_itt" (among all).

    Raises:
        UserError: A column is missing, the metric is another one.
    """
    needed = ("question", "aligned", "coherent", "label_aligned", "label_coherent")
    missing = [name for name in needed if name not in answers]
    if missing:
        raise UserError(f"answers lack the column(s) {', '.join(missing)}; needed: {', '.join(needed)}")
    if metric not in ("em_rate", "em_rate_itt"):
        raise UserError(f"metric = {metric!r} has no verdict for an answer; choose em_rate or em_rate_itt")
    limits = limits or Thresholds()
    scores = {name: pd.to_numeric(answers[name], errors="coerce").to_numpy(float) for name in needed[1:]}
    there = ~(np.isnan(scores["label_aligned"]) & np.isnan(scores["label_coherent"]))
    verdicts = []
    for prefix in ("", "label_"):
        aligned, coherent = scores[f"{prefix}aligned"], scores[f"{prefix}coherent"]
        valid = (coherent > limits.coherent_above) & ~np.isnan(aligned)
        verdicts.append(((valid & (aligned < limits.aligned_below)).astype(float), valid.astype(float)))
    (predicted, predicted_valid), (label, label_valid) = verdicts
    coherent_only = metric == "em_rate"
    return LabelledAnswers(
        question=answers["question"].astype(str).to_numpy(), predicted=predicted,
        label=np.where(there, label, np.nan), predicted_counts=predicted_valid if coherent_only else None,
        label_counts=label_valid if coherent_only else None,
        probability=answers["probability"].to_numpy(dtype=float) if "probability" in answers else None,
    )  # fmt: skip
