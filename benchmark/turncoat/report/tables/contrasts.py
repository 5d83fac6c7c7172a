"""The report's tables, independent of any rendering: headings, cells as text, sort values and footnotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from turncoat import formats
from turncoat.report.content import ADAPTERS, RECIPE, MetricInfo, ReportContent

MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"
AGAINST_BASE = (
    f"{DAGGER} Change after finetuning; any finetuning moves this. "
    "Only the difference to a matched control speaks about the training data."
)
CLAIM_TEXTS = {
    ADAPTERS: (
        "About these trained adapters",
        (
            "The questions are the sample: how far could these differences move with other questions of the same "
            "kind? Training again is not covered."
        ),
    ),
    RECIPE: (
        "About the recipe",
        (
            "The training seeds are the sample, and so are the questions: what happens when the same recipe is trained "
            "again and asked other questions of the same kind? Only several seeds can tell. The interval is the wider of "
            "the one over seeds and the one over seeds and questions."
        ),
    ),
}


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the value that a sortable table sorts by (the text itself if None)."""

    text: str
    value: float | None = None
    strong: bool = False

    @property
    def missing(self) -> bool:
        """Whether the cell says n/a."""
        return self.text == formats.NA


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether it holds words (left, may wrap) or numbers (right, may not)."""

    label: str
    kind: Literal["words", "number"] = "number"


@dataclass(frozen=True)
class Table:
    """A heading, one sentence under it, the columns and rows, and footnotes."""

    heading: str
    sentence: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True)
class ClaimSection:
    """One kind of claim: its heading, what is the sample, one table per metric, and footnotes for all of them."""

    heading: str
    sentence: str
    tables: Sequence[Table]
    notes: Sequence[str]


def ci_name(content: ReportContent) -> str:
    """What the intervals are called: "95% CI", or just "CI" where the estimates do not share one level."""
    levels = {float(level) for level in content.estimates["confidence"] if not formats.is_missing(level)}
    return f"{formats.confidence_level(levels.pop())} CI" if len(levels) == 1 else "CI"


def contrast_label(content: ReportContent, row: Any) -> str:
    """ "Insecure code − Secure code"; a dagger marks a change after finetuning."""
    mark = f" {DAGGER}" if content.spans_finetuning(row) else ""
    pair = f"{content.arm(row.treated).label} {MINUS} {content.arm(row.reference).label}"
    minus = content.minus(row)
    if minus is not None:
        pair = f"({pair}) {MINUS} ({minus[0].label} {MINUS} {minus[1].label})"
    return f"{pair}{mark}"


def is_significant(content: ReportContent, row: Any) -> bool:
    """Whether a contrast is significant after its family's correction; without an adjusted p it never is."""
    return not formats.is_missing(row.p_adjusted) and float(row.p_adjusted) < content.alpha


def estimate_decimals(content: ReportContent, metric: MetricInfo) -> int:
    """Decimals of one metric's levels, the same for all arms."""
    rows = content.estimates[content.estimates["metric"] == metric.name]
    return formats.decimals_for(_half_widths(rows), rows["value"])


def contrast_decimals(content: ReportContent, metric: MetricInfo) -> int:
    """Decimals of one metric's differences, the same in both claims; the question-level intervals set them."""
    rows = content.contrasts[content.contrasts["metric"] == metric.name]
    question_level = rows[rows["claim"] == ADAPTERS]
    return formats.decimals_for(_half_widths(question_level), rows["difference"])


def estimates_table(content: ReportContent, *, per_seed: bool = False) -> Table:
    """Arms by metrics, each cell "value [low, high]": the mean over seeds, or one row for every seed."""
    frame = content.sorted_estimates()
    frame = frame[frame["seed"].notna()] if per_seed else frame[frame["seed"].isna()]
    rows: list[list[Cell]] = []
    missing: dict[tuple[str, str], list[str]] = {}
    for arm in content.arms:
        of_arm = frame[frame["arm"] == arm.name]
        for seed in sorted(of_arm["seed"].dropna().unique()) if per_seed else [None]:
            of_row = of_arm if seed is None else of_arm[of_arm["seed"] == seed]
            cells = [Cell(arm.label)] + ([Cell(formats.count(seed), float(seed))] if seed is not None else [])
            for metric in content.ordered_metrics:
                cells.append(_estimate_cell(content, of_row[of_row["metric"] == metric.name], metric))
                if cells[-1].missing:
                    missing.setdefault((metric.label, _why_no_estimate(of_row, metric)), []).append(arm.label)
            rows.append(cells)
    columns = [Column("Arm", "words")] + ([Column("Seed")] if per_seed else [])
    columns += [Column(metric_label(metric)) for metric in content.ordered_metrics]
    heading = "Every seed by itself" if per_seed else "What was measured, arm by arm"
    over = "One trained adapter per row" if per_seed else "Mean over training seeds"
    return Table(
        heading,
        f"{over}, with the {ci_name(content)} over questions. "
        "Levels, not effects: compare arms in the tables of differences.",
        columns,
        rows,
        tuple(
            f"n/a, {metric}: {why} ({', '.join(dict.fromkeys(labels))})." for (metric, why), labels in missing.items()
        ),
    )


def claim_section(content: ReportContent, claim: str) -> ClaimSection:
    """All differences of one kind of claim, metric by metric; "adapters" and "recipe" never share a table."""
    frame = content.sorted_contrasts(claim)
    permutation = claim == ADAPTERS and not all(formats.is_missing(p) for p in frame["p_permutation"])
    columns = [Column("Treated minus reference", "words")]
    columns += [Column("Questions")] if claim == ADAPTERS else [Column("Seeds"), Column("Per seed"), Column("SD")]
    columns += [Column(f"Difference [{ci_name(content)}]"), Column("p"), Column(content.adjusted_name)]
    columns += [Column("Permutation p")] if permutation else []
    columns += [Column("Smallest detectable"), Column("Reading", "words")]
    tables = []
    for metric in content.ordered_metrics:
        of_metric: list[Any] = list(frame[frame["metric"] == metric.name].itertuples())
        rows = [_contrast_cells(content, row, claim, permutation) for row in of_metric]
        if rows:
            tables.append(
                Table(metric_label(metric), metric.direction[:1].upper() + metric.direction[1:], columns, rows)
            )
    return ClaimSection(*CLAIM_TEXTS[claim], tables, _contrast_notes(content, frame, permutation))


def metric_label(metric: MetricInfo) -> str:
    """The label with its unit: "Evil persona (SD of base)"."""
    return f"{metric.label} ({metric.unit})" if metric.unit else metric.label


def per_seed_differences(content: ReportContent, row: Any, decimals: int) -> str:
    """The differences of the single seeds, "+0.24, +0.11"; "n/a" where there are none."""
    deltas = content.seed_deltas(row)
    return ", ".join(formats.number(delta, decimals, signed=True) for delta in deltas) or formats.NA


def reading(content: ReportContent, row: Any) -> str:
    """What one contrast says in words; what a null excludes, and why a number is missing."""
    metric = content.metric(row.metric)
    note = formats.text_or_empty(row.note)
    if formats.is_missing(row.p_value):
        verdict = note if "no claim" in note else no_claim(row)
    elif formats.is_missing(row.p_adjusted):
        in_family = formats.text_or_empty(row.family)
        verdict = "not corrected" if in_family else "outside the pre-registered family: no claim"
    elif is_significant(content, row):
        verdict = _direction(content, row, metric)
    elif formats.is_missing(content.detectable(row)):
        verdict = "not significant; the detectable effect is unknown"
    else:
        size = formats.number(content.detectable(row), contrast_decimals(content, metric))
        verdict = f"not significant; effects below {size} may go unseen"
    verdict += _margin_reading(content, row)
    return f"{verdict} ({note})" if note and note not in verdict else verdict


def _margin_reading(content: ReportContent, row: Any) -> str:
    """What the test against a margin says, where the study set one beforehand."""
    margin: Any = getattr(row, "margin", None)
    p_value: Any = getattr(row, "p_margin_adjusted", None)
    if formats.is_missing(margin):
        return ""
    size = f"{float(margin):g}"  # as the study wrote it
    what = f"worse by less than {size}" if row.margin_test == "non_inferiority" else f"within {MINUS}{size} to +{size}"
    if formats.is_missing(p_value):
        return f"; no test of whether it is {what}"
    shown = "shown" if float(p_value) < content.alpha else "not shown"
    return f"; {shown} to be {what} (margin set beforehand, {formats.p_value(p_value)} adjusted)"


def no_claim(row: Any) -> str:
    """Why a contrast has no p-value: too few seeds, or what its note says."""
    if row.claim != ADAPTERS and not formats.is_missing(row.n_seeds) and int(row.n_seeds) < 3:
        seeds = int(row.n_seeds)
        if seeds == 0:
            return formats.text_or_empty(row.note) or "no training seed, so no claim about a recipe"
        return "1 seed allows no claim" if seeds == 1 else f"{seeds} seeds allow no claim"
    return formats.text_or_empty(row.note) or "no test was made"


def detectable_text(content: ReportContent) -> str:
    """What "smallest detectable" means here."""
    strictest = "the correction's" if content.adjusted_name != "Holm p" else "Holm's"
    test = f"a test at {strictest} strictest level" if content.detectable_after_holm else "an uncorrected test"
    return f"Smallest detectable: the true difference that {test} finds with 80% power."


def _contrast_cells(content: ReportContent, row: Any, claim: str, permutation: bool) -> list[Cell]:
    metric = content.metric(row.metric)
    places = contrast_decimals(content, metric)
    strong = is_significant(content, row)
    ci = formats.interval(row.low, row.high, places)
    difference = formats.with_interval(formats.number(row.difference, places, signed=True), ci)
    cells = [Cell(contrast_label(content, row), strong=strong)]
    if claim == ADAPTERS:
        cells += [count_cell(row.n_questions)]
    else:
        cells += [
            count_cell(row.n_seeds),
            Cell(per_seed_differences(content, row, places), sort_value(row.difference)),
            number_cell(row.seed_sd, places + 1),
        ]
    cells += [Cell(difference, sort_value(row.difference), strong)]
    cells += [p_cell(row.p_value), p_cell(row.p_adjusted, strong)]
    cells += [p_cell(row.p_permutation)] if permutation else []
    return [*cells, number_cell(content.detectable(row), places), Cell(reading(content, row))]


def _contrast_notes(content: ReportContent, frame: pd.DataFrame, permutation: bool) -> tuple[str, ...]:
    if frame.empty:
        return ("n/a: the study makes no claim of this kind.",)
    notes = [f"Bold: significant at {formats.level(content.alpha)} after correction for testing many times."]
    notes += _family_notes(frame)
    notes.append(f"Not significant never means no effect. {detectable_text(content)}")
    if permutation and any(formats.is_missing(p) for p in frame["p_permutation"]):
        notes.append("Permutation p is n/a where no permutation test was made.")
    if any(content.spans_finetuning(row) for row in frame.itertuples()):
        notes.append(AGAINST_BASE)
    return tuple(notes)


def _family_notes(frame: pd.DataFrame) -> list[str]:
    """Which families of tests there are, under which correction."""
    correction = frame["correction"] if "correction" in frame.columns else pd.Series("Holm", index=frame.index)
    named: dict[str, set[str]] = {}
    for family, how in zip(frame["family"], correction, strict=True):
        if formats.text_or_empty(family):
            named.setdefault(str(how), set()).add(str(family))
    texts = {
        "Holm": "Families that Holm's correction runs over",
        "none: tested alone": "Tested alone, without correction",
    }
    return [f"{texts.get(how, f'{how} over')}: {', '.join(sorted(named[how]))}." for how in sorted(named)]


def _direction(content: ReportContent, row: Any, metric: MetricInfo) -> str:
    higher = float(row.difference) > 0
    word = "higher" if higher else "lower"
    if content.minus(row) is not None:
        return f"{word} than the difference that is subtracted"
    if content.spans_finetuning(row):
        return f"{word} than {'before' if content.arm(row.treated).is_trained else 'after'} finetuning"
    match = re.fullmatch(r"(up|down) means (more|less) (.+)", metric.direction.strip())
    if match is None:
        return word
    same = higher == (match[1] == "up")
    amount = match[2] if same else {"more": "less", "less": "more"}[match[2]]
    return f"{word}: {amount} {match[3]}"


def _estimate_cell(content: ReportContent, rows: pd.DataFrame, metric: MetricInfo) -> Cell:
    if rows.empty or formats.is_missing(rows.iloc[0]["value"]):
        return Cell(formats.NA)
    row = rows.iloc[0]
    places = estimate_decimals(content, metric)
    ci = formats.interval(row["low"], row["high"], places)
    return Cell(formats.with_interval(formats.number(row["value"], places), ci), float(row["value"]))


def _why_no_estimate(rows: pd.DataFrame, metric: MetricInfo) -> str:
    rows = rows[rows["metric"] == metric.name]
    if rows.empty:
        return "not measured"
    row = rows.iloc[0]
    return f"no value; {formats.count(row['n_dropped'])} dropped, {formats.count(row['n_questions'])} questions left"


def _half_widths(rows: pd.DataFrame) -> list[float]:
    return formats.half_widths(zip(rows["low"], rows["high"], strict=True))


def sort_value(value: Any) -> float | None:
    """What a sortable table sorts a number by; None where it is missing."""
    return None if formats.is_missing(value) else float(value)


def number_cell(value: Any, decimals: int) -> Cell:
    """A number with fixed decimals, or n/a."""
    return Cell(formats.number(value, decimals), sort_value(value))


def count_cell(value: Any) -> Cell:
    """A whole number, or n/a."""
    return Cell(formats.count(value), sort_value(value))


def p_cell(value: Any, strong: bool = False) -> Cell:
    """A p-value, or n/a."""
    return Cell(formats.p_value(value), sort_value(value), strong)
