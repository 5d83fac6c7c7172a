"""An analysis as sentences: what may be claimed, what may not, and what the experiment could have seen."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import floor, log10
from typing import Any

import pandas as pd

from turncoat.stats.analysis import ROLES, Analysis
from turncoat.stats.contrasts import CLAIMS
from turncoat.stats.grids import BASE_SEED
from turncoat.stats.power import MINIMUM_SEEDS, plan_seeds

PLANNED_SEEDS = (5, 8)
CHANGE_AFTER_FINETUNING = "change after finetuning (any finetuning moves this)"
_HEADINGS = {
    "adapters": "About these trained adapters and no others (the question is the sampling unit)",
    "recipe": "About the training recipe (the training seed is the sampling unit)",
}


def plain_words(analysis: Analysis, units: Mapping[str, str] | None = None) -> list[str]:
    """Say in sentences what an analysis shows; a heading ends with a colon, a sentence with a full stop.

    Under each heading come the significant contrasts, then those that are not, with the difference they could have
    seen, then those that allow no claim. A contrast with the base model is called a change after finetuning and nothing
    worse, whatever name the study gave it: a harmless finetune makes such a change, too.

    Args:
        analysis: What `analyse` returned.
        units: Metric -> unit, written after its numbers; a metric that is absent gets bare numbers.
    """
    alpha = round(1 - analysis.confidence, 12)
    trained = set(analysis.estimates.loc[analysis.estimates["seed"].fillna(BASE_SEED) != BASE_SEED, "arm"])
    table = analysis.contrasts
    lines: list[str] = []
    for role in ROLES:
        for claim in CLAIMS:
            rows = table[(table["role"] == role) & (table["claim"] == claim)]
            if rows.empty:
                continue
            lines.append(f"{_HEADINGS[claim]}, {rows['family'].iloc[0]}, Holm's correction at {_percent(alpha)}:")
            said = [_sentence(row, trained, units or {}, alpha) for row in rows.itertuples()]
            lines += [sentence for rank in _Rank for kind, sentence in said if kind == rank]
    return lines


class _Rank(Enum):
    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    NO_CLAIM = "no claim"


def _sentence(row: Any, trained: set[str], units: Mapping[str, str], alpha: float) -> tuple[_Rank, str]:
    unit = units.get(row.metric, "")
    subject = _subject(row, trained)
    if pd.isna(row.p_adjusted):
        return _Rank.NO_CLAIM, _no_claim(row, subject, unit, alpha)
    if row.p_adjusted < alpha:
        return _Rank.SIGNIFICANT, f"Significant: {subject}: {_result(row, unit, alpha)}{_remarks(row)}."
    seen = _could_have_seen(row, unit)
    return _Rank.NOT_SIGNIFICANT, f"Not significant: {subject}: {_result(row, unit, alpha)}; {seen}{_remarks(row)}."


def _subject(row: Any, trained: set[str]) -> str:
    arms = f"{row.treated} minus {row.reference}"
    if row.reference in trained and row.treated in trained:
        return f"{row.name}, {row.metric}" if row.name == arms else f"{row.name} ({arms}), {row.metric}"
    if row.reference in trained or row.treated in trained:
        return f"{arms}, {row.metric}, {CHANGE_AFTER_FINETUNING}"
    return f"{arms}, {row.metric}"


def _result(row: Any, unit: str, alpha: float) -> str:
    interval = "no interval"
    if not pd.isna(row.low):
        interval = f"{_percent(1 - alpha)} interval {signed(row.low)} to {signed(row.high)}"
    sample = f"{row.n_questions} questions" if row.claim == "adapters" else f"{row.n_seeds} training seeds"
    return f"{_with_unit(signed(row.difference), unit)} ({interval}, adjusted {p_text(row.p_adjusted)}, {sample})"


def _could_have_seen(row: Any, unit: str) -> str:
    if pd.isna(row.detectable_adjusted):
        return "without a spread in the differences, what could have been seen is unknown"
    size = _with_unit(unsigned(row.detectable_adjusted), unit)
    return f"could have seen a difference of {size} or larger with 80% power"


def _remarks(row: Any) -> str:
    dropped = f"{row.n_dropped} missing value{'' if row.n_dropped == 1 else 's'} left out" if row.n_dropped else ""
    return "".join(f"; {remark}" for remark in (dropped, row.note) if remark)


def _no_claim(row: Any, subject: str, unit: str, alpha: float) -> str:
    if row.claim == "adapters" or row.n_seeds >= MINIMUM_SEEDS or pd.isna(row.difference):
        return f"No claim: {subject}{_remarks(row)}."
    start = f"No claim: {subject}: {_with_unit(signed(row.difference), unit)} on average{_remarks(row)}"
    if pd.isna(row.seed_sd) or row.seed_sd == 0:
        why = "one seed shows" if row.n_seeds == 1 else "equal seeds show"
        return f"{start}; {why} no spread between seeds, so what more seeds would detect is unknown."
    plan = plan_seeds(row.seed_sd, row.n_seeds, PLANNED_SEEDS, alpha, confidence=1 - alpha)
    buys = ", ".join(f"{_with_unit(unsigned(size), unit)} with {n} seeds" for n, size in plan.detectable.items())
    return (
        f"{start}; at the seed SD of {unsigned(plan.seed_sd)} a true difference of this size or larger would be seen "
        f"with 80% power (one test at {_percent(alpha)}): {buys}; but the SD rests on {plan.n_seeds} seeds and may "
        f"truly lie from {unsigned(plan.sd_low)} to {unsigned(plan.sd_high)}."
    )


def unsigned(value: float) -> str:
    """A number with 3 significant digits and trailing zeros kept: 0.1 -> 0.100, 1234.5 -> 1230, 0.00001 -> 1.00e-05."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    exponent = floor(log10(abs(rounded)))
    if exponent < -4 or exponent > 6:
        return f"{rounded:.2e}"
    return f"{rounded:.{max(0, 2 - exponent)}f}"


def signed(value: float) -> str:
    """`unsigned` with a plus before positive numbers."""
    return f"+{unsigned(value)}" if value > 0 else unsigned(value)


def p_text(p_value: float) -> str:
    """A p value with 3 significant digits, "p < 0.0001" below that."""
    return "p < 0.0001" if p_value < 1e-4 else f"p = {unsigned(p_value)}"


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number


def _percent(share: float) -> str:
    return f"{round(100 * share, 6):g}%"
