"""Tables of levels and of differences: arms by metrics, and one section for each kind of claim."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.report.content import ADAPTERS, RECIPE, MetricInfo, ReportContent
from turncoat.report.tables.persona_units import base_note, unit_cells, unit_columns, vector_notes
from turncoat.report.tables.table import (
    Cell,
    Table,
    count_cell,
    interval_cell,
    number_cell,
    numbers,
    p_cell,
    sort_value,
    words,
)
from turncoat.stats.estimates import zero_events_upper
from turncoat.stats.scores import MINIMUM_SEEDS

MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"
AGAINST_BASE = (
    f"{DAGGER} Change after finetuning; any finetuning moves this. Only the difference to a matched control "
    "speaks about the training data."
)
NOT_SIGNIFICANT = (
    "Not significant never means no effect: every difference inside the interval is compatible with the data."
)
TOGETHER = (
    "All at once: intervals that cover all differences of a family together (Bonferroni). Holm's correction "
    "is less strict: it may mark a difference whose interval here holds 0."
)
CLAIM_TEXTS = {
    ADAPTERS: ("About these trained adapters", (
        "The questions are the sample: how far could these differences move with other questions of the same "
        "kind? Training again is not covered."
    )),
    RECIPE: ("About the recipe", (
        "The training seeds are the sample, and so are the questions: what happens when the same recipe is "
        "trained again and asked other questions of the same kind? Only several seeds can tell. The interval "
        "is the widest of those over seeds, over questions, and over seeds and questions."
    )),
}  # fmt: skip


@dataclass(frozen=True)
class ClaimSection:
    """One kind of claim: its heading, what is the sample, one table per metric, and footnotes for all of
    them."""

    heading: str
    sentence: str
    tables: Sequence[Table]
    notes: Sequence[str]


def ci_name(content: ReportContent) -> str:
    """Name of the intervals: "95% CI", or just "CI" where the estimates do not share one level."""
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
    """True for a contrast below the level after its family's correction whose mark is not withheld."""
    below = not formats.is_missing(row.p_adjusted) and float(row.p_adjusted) < content.alpha
    return below and not mark_withheld(row)


def mark_withheld(row: Any) -> str:
    """Reason why a p below the level is not marked (`stats.families.withheld`); empty without one."""
    return formats.text_or_empty(row.withheld)


def estimate_decimals(content: ReportContent, metric: MetricInfo) -> int:
    """Decimals of one metric's levels, the same for all arms."""
    rows = content.estimates[content.estimates["metric"] == metric.name]
    return _decimals(rows, rows["value"])


def contrast_decimals(content: ReportContent, metric: MetricInfo) -> int:
    """Decimals of one metric's differences, the same in both claims; the question-level intervals set
    them."""
    rows = content.contrasts[content.contrasts["metric"] == metric.name]
    return _decimals(rows[rows["claim"] == ADAPTERS], rows["difference"])


def claim_section(content: ReportContent, claim: str) -> ClaimSection:
    """All differences of one kind of claim, metric by metric; "adapters" and "recipe" never share a table."""
    shared = shared_note(content.contrasts)
    frame = _without_note(content.sorted_contrasts(claim), shared)
    if len(frame) and frame["p_value"].isna().all():
        return ClaimSection(*CLAIM_TEXTS[claim], (), (_no_claims(frame), *_sentence(shared)))
    permutation = claim == ADAPTERS and not all(formats.is_missing(p) for p in frame["p_permutation"])
    together = "simultaneous_low" in frame and bool(frame["simultaneous_low"].notna().any())
    first = words("Treated minus reference")
    first += numbers("Questions") if claim == ADAPTERS else numbers("Seeds", "Per seed", "SD")
    first += numbers(f"Difference [{ci_name(content)}]", *["All at once"] * together)
    last = numbers("p", content.adjusted_name, *["Permutation p"] * permutation) + words("Reading")
    tables = []
    for metric in content.ordered_metrics:
        of_metric: list[Any] = list(frame[frame["metric"] == metric.name].itertuples())
        rows = [_contrast_cells(content, row, claim, permutation, together) for row in of_metric]
        direction = metric.direction[:1].upper() + metric.direction[1:]
        columns = [*first, *unit_columns(content, metric, ci_name(content)), *last]
        if rows:
            tables.append(Table(metric_label(metric), direction, columns, rows, base_note(content, metric)))
    own_notes = _contrast_notes(content, frame, permutation, together)
    notes = (*_sentence(shared), *own_notes, *vector_notes(content, claim))
    return ClaimSection(*CLAIM_TEXTS[claim], tables, notes)


def _no_claims(frame: pd.DataFrame) -> str:
    """One sentence for a kind of claim that no contrast allows."""
    seeds = sorted({int(n) for n in frame["n_seeds"] if not formats.is_missing(n) and int(n)})
    if frame["claim"].iloc[0] == RECIPE and seeds and seeds[-1] < MINIMUM_SEEDS:
        some = f"{' or '.join(map(str, seeds))} training seed{'s allow' if seeds != [1] else ' allows'}"
        return (
            f"n/a: {some} no claim of this kind; at least {MINIMUM_SEEDS} are needed (`turncoat power STUDY "
            "--pilot RUN` plans with more). The differences of each seed: the claims above, contrasts.csv."
        )
    return f"n/a: {no_claim(next(frame.itertuples()))}."


def _sentence(note: str) -> list[str]:
    return [f"{note[0].upper()}{note[1:]}."] if note else []


def shared_note(contrasts: pd.DataFrame) -> str:
    """The first remark of the notes, if each of several contrasts has it: it stands once, not in every
    row."""
    first = {str(note).partition("; ")[0] for note in contrasts["note"].fillna("")}
    return first.pop() if len(first) == 1 and len(contrasts) > 1 else ""


def _without_note(contrasts: pd.DataFrame, shared: str) -> pd.DataFrame:
    """Contrasts whose notes leave out the remark that they share."""
    notes = contrasts["note"].fillna("").str.removeprefix(shared).str.removeprefix("; ")
    return contrasts.assign(note=notes) if shared else contrasts


def metric_label(metric: MetricInfo) -> str:
    """The label with its unit: "Evil persona (SD of base)"."""
    return f"{metric.label} ({metric.unit})" if metric.unit else metric.label


def per_seed_differences(content: ReportContent, row: Any, decimals: int) -> str:
    """The differences of the single seeds, "+0.24, +0.11"; "n/a" where there are none."""
    deltas = content.seed_deltas(row)
    return ", ".join(formats.number(delta, decimals, signed=True) for delta in deltas) or formats.NA


def reading(content: ReportContent, row: Any) -> str:
    """A contrast in words: its direction, that it is not significant, or why a number is missing."""
    metric = content.metric(row.metric)
    note = formats.text_or_empty(row.note)
    if formats.is_missing(row.p_value):
        verdict = note if "no claim" in note else no_claim(row)
    elif formats.is_missing(row.p_adjusted):
        in_family = formats.text_or_empty(row.family)
        verdict = "not corrected" if in_family else "outside the pre-registered family: no claim"
    elif is_significant(content, row):
        verdict = _direction(content, row, metric)
    elif mark_withheld(row):
        verdict = f"{_direction(content, row, metric)}; not marked: {mark_withheld(row)}"
    else:
        verdict = "not significant"
    verdict += _unseen(content, row) + _margin_reading(content, row)
    dropped: Any = getattr(row, "n_dropped", 0)
    if not formats.is_missing(dropped) and int(dropped):
        verdict += f"; {int(dropped)} missing value{'s' * (int(dropped) != 1)} left out"
    return f"{verdict} ({note})" if note and note not in verdict else verdict


def _unseen(content: ReportContent, row: Any) -> str:
    """Share of trainings that could be unlike all of those seen: the exact upper bound after 0 of n."""
    if row.claim == ADAPTERS or not is_significant(content, row):
        return ""
    seeds = int(row.n_seeds)
    share = zero_events_upper(seeds, 1 - content.alpha)
    return f"; {seeds} seeds cannot exclude that {share:.0%} of trainings differ from all of these"


def _margin_reading(content: ReportContent, row: Any) -> str:
    """Result of the test against a margin, where the study set one beforehand."""
    margin: Any = getattr(row, "margin", None)
    p_value: Any = getattr(row, "p_margin_adjusted", None)
    if formats.is_missing(margin):
        return ""
    size = f"{float(margin):g}"  # as the study wrote it
    one_sided = row.margin_test == "non_inferiority"
    claim = f"worse by less than {size}" if one_sided else f"within {MINUS}{size} to +{size}"
    if formats.is_missing(p_value):
        return f"; no test of whether it is {claim}"
    barred = formats.text_or_empty(getattr(row, "barred", ""))
    shown = "shown" if margin_shown(content, row) else "not shown"
    why = f"; {barred}" if float(p_value) < content.alpha and barred else ""
    return f"; {shown} to be {claim} (margin set beforehand, {formats.p_value(p_value)} adjusted{why})"


def margin_shown(content: ReportContent, row: Any) -> bool:
    """True where the test against a margin that was set beforehand was passed."""
    p_value: Any = getattr(row, "p_margin_adjusted", None)
    below = not formats.is_missing(p_value) and float(p_value) < content.alpha
    return below and not formats.text_or_empty(getattr(row, "barred", ""))


def no_claim(row: Any) -> str:
    """Reason for a missing p-value: too few seeds, or the contrast's note."""
    if row.claim != ADAPTERS and not formats.is_missing(row.n_seeds) and int(row.n_seeds) < 3:
        seeds = int(row.n_seeds)
        if seeds == 0:
            return formats.text_or_empty(row.note) or "no training seed, so no claim about a recipe"
        return "1 seed allows no claim" if seeds == 1 else f"{seeds} seeds allow no claim"
    return formats.text_or_empty(row.note) or "no test was made"


def _contrast_cells(
    content: ReportContent, row: Any, claim: str, permutation: bool, together: bool
) -> list[Cell]:
    metric = content.metric(row.metric)
    places = contrast_decimals(content, metric)
    strong = is_significant(content, row)
    cells = [Cell(contrast_label(content, row), strong=strong)]
    if claim == ADAPTERS:
        cells += [count_cell(row.n_questions)]
    else:
        cells += [
            count_cell(row.n_seeds),
            Cell(per_seed_differences(content, row, places), sort_value(row.difference)),
            number_cell(row.seed_sd, places + 1),
        ]
    cells += [interval_cell(row.difference, row.low, row.high, places, signed=True, strong=strong)]
    if together:
        ends = row.simultaneous_low, row.simultaneous_high
        cells += [Cell(formats.interval(*ends, places), sort_value(ends[0]))]
    cells += unit_cells(content, metric, row)
    cells += [p_cell(row.p_value), p_cell(row.p_adjusted, strong)]
    cells += [p_cell(row.p_permutation)] if permutation else []
    return [*cells, Cell(reading(content, row))]


def _contrast_notes(
    content: ReportContent, frame: pd.DataFrame, permutation: bool, together: bool
) -> tuple[str, ...]:
    if frame.empty:
        return ("n/a: the study makes no claim of this kind.",)
    notes = [bold_text(content)]
    notes += [*_family_notes(frame), *[TOGETHER] * together]
    notes.append(NOT_SIGNIFICANT)
    if permutation and any(formats.is_missing(p) for p in frame["p_permutation"]):
        notes.append("Permutation p is n/a where no permutation test was made.")
    if any(content.spans_finetuning(row) for row in frame.itertuples()):
        notes.append(AGAINST_BASE)
    return tuple(notes)


def adjusted_note(content: ReportContent) -> str:
    """Meaning of a mark, and the families of the primary contrasts."""
    frame = content.contrasts
    families = dict.fromkeys(family for family in frame["family"] if formats.text_or_empty(family))
    primary = [family for family in families if family.startswith("primary")] or list(families)
    return f"{bold_text(content)} Families: {', '.join(primary) or 'none'}."


def bold_text(content: ReportContent) -> str:
    """Meaning of bold rows."""
    return (
        f"Bold: {content.adjusted_name} < {formats.level(content.alpha)}, unless too few units or a data "
        "pattern bar the mark (the sentences say which)."
    )


def _family_notes(frame: pd.DataFrame) -> list[str]:
    """Families of tests under each correction."""
    correction = frame["correction"] if "correction" in frame else pd.Series("Holm", index=frame.index)
    named: dict[str, set[str]] = {}
    for family, how in zip(frame["family"], correction, strict=True):
        if formats.text_or_empty(family):
            named.setdefault(str(how), set()).add(str(family))
    alone = {"none: tested alone": "Tested alone, without correction"}
    texts = {"Holm": "Families that Holm's correction runs over"} | alone
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


def _decimals(rows: pd.DataFrame, values: pd.Series) -> int:
    return formats.decimals_for(formats.half_widths(zip(rows["low"], rows["high"], strict=True)), values)
