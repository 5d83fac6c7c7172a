"""Sentences of an analysis: claims, missing claims, and the differences that the experiment could have found.

"Comparable" and "not worse" appear only for a difference that passed a test against a margin set beforehand.

    print("\\n".join(plain_words(analyse(scores, contrasts))))
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pandas as pd

from turncoat.analysis.analyse import Analysis
from turncoat.formats import confidence_level, p_sentence, three_digits
from turncoat.stats.contrasts import CLAIMS
from turncoat.stats.families import ALONE, HOLM, ROLES
from turncoat.stats.power import MINIMUM_SEEDS, detectable_by_seeds, seed_sd_interval
from turncoat.stats.scores import BASE_SEED

PLANNED_SEEDS = (5, 8)
CHANGE_AFTER_FINETUNING = "change after finetuning (any finetuning moves this)"
_HEADINGS = {
    "adapters": "About these trained adapters and no others (the question is the sampling unit)",
    "recipe": "About the training recipe (training seeds and questions are the sampling units)",
}


def plain_words(analysis: Analysis, units: Mapping[str, str] | None = None) -> list[str]:
    """Sentences about an analysis; a heading ends with a colon, a sentence with a full stop.

    Under each heading come the significant contrasts, the others with their detectable difference, and those
    that allow no claim; contrasts with too few training seeds share one sentence and the effects that more
    seeds would detect. A contrast with the base model is called a change after finetuning, as a harmless
    finetune makes such a change, too. `units` (metric -> unit) follow the numbers.
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
            how = _correction(rows["correction"].iloc[0])
            lines.append(f"{_HEADINGS[claim]}, {rows['family'].iloc[0]}, {how} at {confidence_level(alpha)}:")
            few = (rows["claim"] == "recipe") & (rows["n_seeds"] < MINIMUM_SEEDS) & rows["difference"].notna()
            sentences = [_sentence(row, trained, units or {}, alpha) for row in rows[~few].itertuples()]
            with_margin = rows[rows["margin"].notna()]
            tested = with_margin.itertuples()
            sentences += [_margin_sentence(row, trained, units or {}, alpha) for row in tested]
            lines += [sentence for rank in _Rank for kind, sentence in sentences if kind == rank]
            if few.any():
                lines += _too_few_seeds(rows[few], trained, units or {}, alpha)
    return lines


class _Rank(Enum):
    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    NO_CLAIM = "no claim"
    WITHIN_MARGIN = "within the margin"
    NOT_WITHIN_MARGIN = "not within the margin"


def _correction(name: str) -> str:
    if name == ALONE:
        return "tested alone"
    return "Holm's correction" if name == HOLM else f"{name} correction"


def _sentence(row: Any, trained: set[str], units: Mapping[str, str], alpha: float) -> tuple[_Rank, str]:
    unit = units.get(row.metric, "")
    subject = _subject(row, trained)
    if pd.isna(row.p_adjusted):
        return _Rank.NO_CLAIM, _no_claim(subject, row)
    if row.p_adjusted < alpha:
        return _Rank.SIGNIFICANT, f"Significant: {subject}: {_result(row, unit, alpha)}{_remarks(row)}."
    seen = _could_have_seen(row, unit)
    return (
        _Rank.NOT_SIGNIFICANT,
        f"Not significant: {subject}: {_result(row, unit, alpha)}; {seen}{_remarks(row)}.",
    )


def _subject(row: Any, trained: set[str]) -> str:
    arms = _arms(row)
    if not _spans_finetuning(row, trained) and row.treated in trained:
        return f"{row.name}, {row.metric}" if row.name == arms else f"{row.name} ({arms}), {row.metric}"
    if _spans_finetuning(row, trained):
        return f"{arms}, {row.metric}, {CHANGE_AFTER_FINETUNING}"
    return f"{arms}, {row.metric}"


def _result(row: Any, unit: str, alpha: float) -> str:
    interval = "no interval"
    if not pd.isna(row.low):
        low, high = (three_digits(end, signed=True) for end in (row.low, row.high))
        interval = f"{confidence_level(1 - alpha)} interval {low} to {high}"
    sample = f"{row.n_questions} questions" if row.claim == "adapters" else f"{row.n_seeds} training seeds"
    difference = _with_unit(three_digits(row.difference, signed=True), unit)
    return f"{difference} ({interval}, adjusted {p_sentence(row.p_adjusted)}, {sample})"


def _could_have_seen(row: Any, unit: str) -> str:
    if pd.isna(row.detectable_adjusted):
        return "without a spread in the differences, what could have been seen is unknown"
    size = _with_unit(three_digits(row.detectable_adjusted), unit)
    return f"could have seen a difference of {size} or larger with 80% power"


def _remarks(row: Any) -> str:
    dropped = (
        f"{row.n_dropped} missing value{'s' * int(row.n_dropped != 1)} left out" if row.n_dropped else ""
    )
    return "".join(f"; {remark}" for remark in (dropped, row.note) if remark)


def _too_few_seeds(
    rows: pd.DataFrame, trained: set[str], units: Mapping[str, str], alpha: float
) -> list[str]:
    """Sentences on a recipe with too few seeds for a claim, and effects that more would detect."""
    counts = sorted(set(rows["n_seeds"]))
    verb = "training seed allows" if counts == [1] else "training seeds allow"
    which = "this difference" if len(rows) == 1 else f"any of these {len(rows)} differences"
    lines = [
        f"No claim: {' or '.join(map(str, counts))} {verb} none for {which}; at least {MINIMUM_SEEDS} are "
        "needed."
    ]
    spread = rows["seed_sd"].fillna(0) > 0
    if not spread.any():
        why = "One seed shows" if counts == [1] else "These seeds show"
        return [*lines, f"{why} no spread between seeds, so what more seeds would detect is unknown."]
    planned = " / ".join(map(str, PLANNED_SEEDS))
    lines.append(
        f"With {planned} seeds, at the seed SDs seen here, 80% power (one test at {confidence_level(alpha)}) "
        f"for true differences on these questions in {_planned(rows[spread], trained, units, alpha)}."
    )
    if not spread.all():
        unknown = "; ".join(_subject(row, trained) for row in rows[~spread].itertuples())
        lines.append(f"Unknown, because no spread between seeds was seen: {unknown}.")
    fewest = int(rows.loc[spread, "n_seeds"].min())
    ends = seed_sd_interval(1.0, fewest, 1 - alpha)
    lines.append(
        f"An SD from {fewest} seeds may truly be {three_digits(ends.low)} to {three_digits(ends.high)} times "
        f"as large ({confidence_level(1 - alpha)} interval), and these sizes with it."
    )
    return lines


def _planned(rows: pd.DataFrame, trained: set[str], units: Mapping[str, str], alpha: float) -> str:
    """Sizes that PLANNED_SEEDS would detect, for each pair of arms and metric."""
    pairs: dict[str, list[str]] = {}
    row: Any  # pandas' rows have no static types
    for row in rows.itertuples():
        by_seeds = detectable_by_seeds(row.seed_sd, PLANNED_SEEDS, alpha)
        sizes = " / ".join(map(three_digits, by_seeds.values()))
        text = f"{row.metric} {_with_unit(sizes, units.get(row.metric, ''))}"
        pairs.setdefault(_pair(row, trained), []).append(text)
    return "; ".join(f"{pair}: {', '.join(metrics)}" for pair, metrics in pairs.items())


def _pair(row: Any, trained: set[str]) -> str:
    arms = _arms(row)
    return f"{arms}, {CHANGE_AFTER_FINETUNING}" if _spans_finetuning(row, trained) else arms


def _arms(row: Any) -> str:
    arms = f"{row.treated} minus {row.reference}"
    return f"({arms}) minus ({row.minus_treated} minus {row.minus_reference})" if row.minus_treated else arms


def _spans_finetuning(row: Any, trained: set[str]) -> bool:
    """True for trained against untrained; in a difference of differences this may cancel."""
    spans = (row.treated in trained) != (row.reference in trained)
    return (
        spans != ((row.minus_treated in trained) != (row.minus_reference in trained))
        if row.minus_treated
        else spans
    )


def _margin_sentence(
    row: Any, trained: set[str], units: Mapping[str, str], alpha: float
) -> tuple[_Rank, str]:
    """Result of the test against the margin of the study."""
    subject, size = _subject(row, trained), _with_unit(f"{row.margin:g}", units.get(row.metric, ""))
    if row.margin_test == "non_inferiority":
        yes, no, what = (
            "Not worse", "Not shown to be no worse", f"worse by less than {size} ({row.better} is better)",
        )  # fmt: skip
    else:
        yes, no, what = "Comparable", "Not shown to be comparable", f"within {size} of no difference"
    if pd.isna(row.p_margin_adjusted):
        return _Rank.NOT_WITHIN_MARGIN, f"{no}: {subject}: no test of whether it is {what}."
    result = f"{what}, a margin set beforehand (adjusted {p_sentence(row.p_margin_adjusted)})"
    if row.p_margin_adjusted < alpha:
        return _Rank.WITHIN_MARGIN, f"{yes}: {subject}: {result}."
    return _Rank.NOT_WITHIN_MARGIN, f"{no}: {subject}: {result}."


def _no_claim(subject: str, row: Any) -> str:
    return f"No claim: {subject}{_remarks(row)}."


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number
