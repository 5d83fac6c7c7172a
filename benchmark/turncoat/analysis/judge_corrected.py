"""Contrasts of judged rates with the judge's errors taken out, for reports that show both."""

from collections.abc import Collection

import pandas as pd

from turncoat.judges.calibration.correction import CORRECTED, NOT_CORRECTED, JudgeErrors, corrected_difference

COLUMNS = ("corrected", "corrected_low", "corrected_high", "corrected_note")
_OTHER = f"not corrected: its denominator is judged too, or its rule is another; {CORRECTED} is"
DIFFERENCES_STAND = (
    "Differences between two finetuned arms are shown, with these false alarms and the judge's other errors "
    "in their intervals; levels and changes against the untrained base are not"
)
"""Rates and differences that a report shows of a model whose untrained answers the judge misreads."""
_NUMBERS = (
    "difference", "low", "high", "se", "df", "p_value", "p_permutation", "p_adjusted", "p_margin",
    "p_margin_adjusted", "simultaneous_low", "simultaneous_high", "seed_sd",
)  # fmt: skip


def is_rate(metric: str) -> bool:
    """True for a rate of misaligned answers, such as em_rate, em_rate_itt@em_json, em_rate_itt_dose_2."""
    return metric.startswith(("em_rate", "em_bound", "misaligned_at_k", "worst_question"))


def without_uncontrolled_rates(contrasts: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """The contrasts, without the numbers of rates that compare a finetuned arm with an untrained one.

    False alarms on weak answers change with any finetuning; only two finetuned arms may have them alike. Such
    rows keep their place, and their families their size.
    """
    ours = contrasts["treated"].isin(trained) != contrasts["reference"].isin(trained)
    theirs = contrasts["minus_treated"].isin(trained) != contrasts["minus_reference"].isin(trained)
    rows = contrasts["metric"].map(is_rate).astype(bool) & (ours != theirs)
    blank = contrasts.copy()
    blank.loc[rows, [name for name in _NUMBERS if name in blank]] = float("nan")
    blank.loc[rows, "note"] = "withheld: the judge misreads the untrained base"
    blank["seed_deltas"] = [() if gone else d for gone, d in zip(rows, blank["seed_deltas"], strict=True)]
    return blank


def corrected_contrasts(
    contrasts: pd.DataFrame, errors: JudgeErrors | None, confidence: float = 0.95
) -> pd.DataFrame:
    """The contrasts of misalignment rates with the columns of `COLUMNS`; empty if there is none.

    Args:
        errors: The judge's errors on this model's answers; None where its card does not have them.
    """
    judged = contrasts[contrasts["metric"].map(is_rate).astype(bool)]
    rows: list[tuple[float | None, float | None, float | None, str]] = []
    for row in judged.to_dict("records"):
        if errors is None or not row["metric"].startswith(CORRECTED) or pd.isna(row["difference"]):
            rows.append((None, None, None, NOT_CORRECTED if errors is None else _OTHER))
            continue
        low, high = (None if pd.isna(row[end]) else float(row[end]) for end in ("low", "high"))
        estimate = corrected_difference(float(row["difference"]), low, high, errors, confidence)
        rows.append((estimate.value, estimate.low, estimate.high, estimate.note))
    return judged.assign(**dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))) if rows else judged
