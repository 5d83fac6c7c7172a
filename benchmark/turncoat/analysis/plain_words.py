"""Sentences of an analysis: claims, differences that are not significant, and missing claims.

"Comparable" and "not worse" appear only for a difference that passed a test against a margin set beforehand.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pandas as pd

from turncoat.analysis.analyse import Analysis
from turncoat.formats import confidence_level, p_sentence, three_digits
from turncoat.stats.contrasts import CLAIMS
from turncoat.stats.estimates import zero_events_upper
from turncoat.stats.families import ALONE, HOLM, ROLES
from turncoat.stats.scores import BASE_SEED, MINIMUM_SEEDS

CHANGE_AFTER_FINETUNING = "change after finetuning (any finetuning moves this)"
_HEADINGS = {
    "adapters": "About these trained adapters and no others (the question is the sampling unit)",
    "recipe": "About the training recipe (training seeds and questions are the sampling units)",
}


def plain_words(analysis: Analysis, units: Mapping[str, str] | None = None) -> list[str]:
    """Sentences about an analysis; a heading ends with a colon, a sentence with a full stop.

    A note that all contrasts share comes first. Under each heading come the significant contrasts, those
    whose mark is withheld, the others, and those that allow no claim; contrasts with too few training seeds
    share one sentence. After a run no sentence says what it could have found: the interval says which
    differences are compatible with the data (Hoenig & Heisey 2001). A contrast with the base model is called
    a change after finetuning, as a harmless finetune makes such a change, too. `units` (metric -> unit)
    follow the numbers.
    """
    alpha = round(1 - analysis.confidence, 12)
    trained = set(analysis.estimates.loc[analysis.estimates["seed"].fillna(BASE_SEED) != BASE_SEED, "arm"])
    shared = shared_note(analysis.contrasts)
    table = without_note(analysis.contrasts, shared)
    lines = [f"{shared[0].upper()}{shared[1:]}."] if shared else []
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
                lines.append(_too_few_seeds(rows[few]))
    return lines


def shared_note(contrasts: pd.DataFrame) -> str:
    """The first remark of the notes, if each of several contrasts has it: said once, not in every row."""
    first = {str(note).partition("; ")[0] for note in contrasts["note"].fillna("")}
    return first.pop() if len(first) == 1 and len(contrasts) > 1 else ""


def without_note(contrasts: pd.DataFrame, shared: str) -> pd.DataFrame:
    """Contrasts whose notes leave out the remark that they share."""
    notes = contrasts["note"].fillna("").str.removeprefix(shared).str.removeprefix("; ")
    return contrasts.assign(note=notes) if shared else contrasts


class _Rank(Enum):
    SIGNIFICANT = "significant"
    NOT_MARKED = "not marked"
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
    if row.withheld:
        result = f"{_result(row, unit, alpha)}; {row.withheld}"
        return _Rank.NOT_MARKED, f"Not marked as significant: {subject}: {result}{_remarks(row)}."
    if row.p_adjusted < alpha:
        result = f"{_result(row, unit, alpha)}{_unseen(row, alpha)}"
        return _Rank.SIGNIFICANT, f"Significant: {subject}: {result}{_remarks(row)}."
    return _Rank.NOT_SIGNIFICANT, f"Not significant: {subject}: {_result(row, unit, alpha)}{_remarks(row)}."


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


def _unseen(row: Any, alpha: float) -> str:
    """Share of trainings that could be unlike all of those seen: the exact upper bound after 0 of n."""
    if row.claim == "adapters":
        return ""
    share = zero_events_upper(int(row.n_seeds), 1 - alpha)
    return f"; {row.n_seeds} seeds cannot exclude that {share:.0%} of trainings differ from all of these"


def _remarks(row: Any) -> str:
    dropped = (
        f"{row.n_dropped} missing value{'s' * int(row.n_dropped != 1)} left out" if row.n_dropped else ""
    )
    return "".join(f"; {remark}" for remark in (dropped, row.note) if remark)


def _too_few_seeds(rows: pd.DataFrame) -> str:
    """One sentence on differences with too few seeds for a claim about the recipe."""
    counts = sorted(set(rows["n_seeds"]))
    verb = "training seed allows" if counts == [1] else "training seeds allow"
    which = "this difference" if len(rows) == 1 else f"any of these {len(rows)} differences"
    return (
        f"No claim: {' or '.join(map(str, counts))} {verb} none for {which}; at least {MINIMUM_SEEDS} are "
        "needed. `turncoat power STUDY --pilot RUN` plans with more."
    )


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
            "Not worse", "Non-inferiority not shown", f"worse by less than {size} ({row.better} is better)",
        )  # fmt: skip
    else:
        yes, no, what = "Comparable", "Not shown to be comparable", f"within {size} of no difference"
    if pd.isna(row.p_margin_adjusted):
        return _Rank.NOT_WITHIN_MARGIN, f"{no}: {subject}: no test of whether it is {what}."
    result = f"{what}, a margin set beforehand (adjusted {p_sentence(row.p_margin_adjusted)})"
    if row.p_margin_adjusted < alpha and row.barred:
        return _Rank.NOT_WITHIN_MARGIN, f"{no}: {subject}; the claim would be {result}; {row.barred}."
    if row.p_margin_adjusted < alpha:
        return _Rank.WITHIN_MARGIN, f"{yes}: {subject}: {result}."
    return _Rank.NOT_WITHIN_MARGIN, f"{no}: {subject}; the claim would be {result}."


def _no_claim(subject: str, row: Any) -> str:
    return f"No claim: {subject}{_remarks(row)}."


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number
