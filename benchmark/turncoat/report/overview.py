"""Content of a report's first screen, apart from any rendering: verdict, levels, claims, two answers.

first = overview(content)
first.verdict, first.levels, first.claims, first.pair
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.analysis.judge_corrected import is_rate
from turncoat.evaluation.task_facts import BENIGN, NARROW
from turncoat.judges.rates import COHERENT_ABOVE, count_answers
from turncoat.report.content import ADAPTERS, RECIPE, SHARE, ArmInfo, Check, MetricInfo, ReportContent
from turncoat.report.glossary import verb
from turncoat.report.tables.contrasts import (
    adjusted_note,
    ci_name,
    contrast_decimals,
    contrast_label,
    estimate_decimals,
    is_significant,
    margin_shown,
    metric_label,
    no_claim,
    shared_note,
)
from turncoat.report.tables.table import (
    Cell,
    Table,
    interval_cell,
    number_cell,
    numbers,
    p_cell,
    sort_value,
    words,
)
from turncoat.stats.marks import may_be_marked
from turncoat.stats.scores import MINIMUM_SEEDS

_OTHER = "_control"


@dataclass(frozen=True)
class ShownAnswer:
    """One answer of a pair: its arm, training seed, text, and the judge's scores in words."""

    arm: str
    seed: str
    text: str
    scores: str


@dataclass(frozen=True)
class AnswerPair:
    """Answers of an organism and its control to one question, and the rule that chose them."""

    question: str
    answers: tuple[ShownAnswer, ShownAnswer]
    rule: str


@dataclass(frozen=True)
class Overview:
    """The first screen of a report."""

    verdict: Sequence[str]  # one sentence for each primary contrast, then one on training again
    levels: Table  # arms by the metrics that the claims are about
    claims: Table  # a row for each primary contrast and metric, with seeds, family and manipulation check
    pair: AnswerPair | None


def overview(content: ReportContent) -> Overview:
    """The first screen; claims are those of the primary contrasts, or of all where none is primary."""
    rows = {claim: _primary(content, claim) for claim in (ADAPTERS, RECIPE)}
    groups = [list(part.itertuples()) for _, part in rows[ADAPTERS].groupby("name", sort=False)]
    verdict = [_finding(content, group) for group in groups]
    verdict += [_training_again(content, list(rows[RECIPE].itertuples()))] if len(rows[RECIPE]) else []
    verdict += [f"{note[:1].upper()}{note[1:]}." for note in filter(None, [shared_note(content.contrasts)])]
    verdict += content.remarks
    if not groups:
        none = "The study compares no arms: add `contrasts:` to its YAML to make a claim."
        verdict = [*([] if content.smoke else [none]), *content.remarks]
    return Overview(verdict, _levels(content), _claims(content, groups, rows[RECIPE]), _pair(content, groups))


def check_words(content: ReportContent, arms: Sequence[ArmInfo]) -> tuple[str, bool]:
    """Manipulation checks of some arms in words, and whether one of them failed."""
    parts, failed = [], False
    by_name: dict[tuple[str, str], list[Check]] = {}
    for check in content.checks:
        if check.arm in {arm.name for arm in arms} and check.passed is not None:
            by_name.setdefault((check.arm, check.name), []).append(check)
    for (trained, name), checks in by_name.items():
        passed = sum(bool(check.passed) for check in checks)
        failed |= passed < len(checks)
        parts.append(f"{content.label(trained)}: {name}, {passed} of {len(checks)} passed")
    axes = content.axes.to_dict("records") if len(content.axes) else []
    for arm in arms:
        for row in axes:
            own = row["arm"] == arm.name == row["measured_on"]
            if own and row["axis"] in (NARROW, BENIGN) and not formats.is_missing(row["low"]):
                failed |= row["low"] <= 0
                gain = interval_cell(row["value"], row["low"], row["high"], 2, signed=True).text
                parts.append(f"{arm.label}: {row['label']} fell by {gain}")
    return "; ".join(parts) or "none was made", failed


def _primary(content: ReportContent, claim: str) -> pd.DataFrame:
    """Rows of the primary contrasts of one claim, by metric and arms."""
    frame = content.sorted_contrasts(claim)
    of_family = frame["family"].fillna("").str.startswith("primary")
    return frame[of_family] if of_family.any() else frame


def _arms_of(content: ReportContent, row: Any) -> list[ArmInfo]:
    return [content.arm(row.treated), content.arm(row.reference), *(content.minus(row) or ())]


def _finding(content: ReportContent, rows: list[Any]) -> str:
    """One sentence on what a contrast showed, and a second where its manipulation check failed."""
    row, marked = rows[0], [row for row in rows if _marked(content, row)]
    treated, reference = content.arm(row.treated), content.arm(row.reference)
    first = f"{_after(treated)[:1].upper()}{_after(treated)[1:]}"
    than = "before" if content.spans_finetuning(row) and treated.is_trained else _after(reference)
    if content.minus(row) is not None:
        first, than = f"{contrast_label(content, row)}: the first difference", "the second"
    if marked:
        shown = [_effect(content, one) for one in marked]
        text = f"{first} the model {' and '.join([', '.join(shown[:-1]), shown[-1]] if shown[1:] else shown)}"
        text = f"{text} than {than}."
    else:
        text = f"{first} the model was not shown to differ from the model {than}."
    if content.spans_finetuning(row):
        text += " Any finetuning may do this."
    open_rows = [one for one in rows if one not in marked]
    alike = [one for one in open_rows if margin_shown(content, one)]
    rest = [one for one in open_rows if one not in alike]
    for heading, some in (("Not shown", rest if marked else []), ("Within the margin set beforehand", alike)):
        labels = "; ".join(content.metric(one.metric).label for one in some)
        text += f" {heading}: {labels}." if labels else ""
    checks, failed = check_words(content, _arms_of(content, row))
    if failed:
        text += f" A check failed ({checks}), so this difference does not test what it was to test."
    return text


def _after(arm: ArmInfo) -> str:
    if arm.is_base:
        return "before any finetuning"
    return f"after {arm.label}" if arm.is_trained else f"with {arm.label}"


def _effect(content: ReportContent, row: Any) -> str:
    metric = content.metric(row.metric)
    deltas = content.seed_deltas(row)
    same = sum((delta > 0) == (row.difference > 0) for delta in deltas)
    seeds = f"; in {same} of {len(deltas)} trainings" if len(deltas) > 1 else ""
    value, _, ends = _difference(content, row).text.partition(" ")
    unit = "percentage points" if metric.unit == SHARE else metric.unit
    return f"{verb(metric, row.difference > 0)} ({value} {unit} {ends}{seeds})"


def _difference(content: ReportContent, row: Any) -> Cell:
    """A difference with its interval, shares in percentage points."""
    metric = content.metric(row.metric)
    value, low, high = (
        None if formats.is_missing(end) else _scale(metric) * end for end in _ends(content, row)
    )
    places = _places(metric, contrast_decimals(content, metric))
    return interval_cell(value, low, high, places, signed=True, strong=_marked(content, row))


def _ends(content: ReportContent, row: Any) -> tuple[Any, Any, Any]:
    """A difference and its interval; with the judge's errors in it where levels are withheld for them.

    Nothing where these errors leave no interval: the difference alone would look like a large effect.
    """
    if not _misread(content, row):
        return row.difference, row.low, row.high
    rows = content.corrected
    same = rows[(rows["name"] == row.name) & (rows["metric"] == row.metric) & (rows["claim"] == row.claim)]
    ends = same[["corrected", "corrected_low", "corrected_high"]]
    return tuple(ends.iloc[0]) if len(same) and not ends.iloc[0].isna().any() else (None,) * 3


def _misread(content: ReportContent, row: Any) -> bool:
    """True for a rate whose levels are withheld."""
    return is_rate(row.metric) and row.metric not in set(content.estimates["metric"])


def _marked(content: ReportContent, row: Any) -> bool:
    return is_significant(content, row) and not formats.is_missing(_ends(content, row)[1])


def _scale(metric: MetricInfo) -> int:
    return 100 if metric.unit == SHARE else 1


def _places(metric: MetricInfo, decimals: int) -> int:
    return max(decimals - 2, 0) if metric.unit == SHARE else decimals


def _training_again(content: ReportContent, rows: list[Any]) -> str:
    marked = [row for row in rows if _marked(content, row)]
    tested = [row for row in rows if not formats.is_missing(row.p_value)]
    counts = {int(row.n_seeds) for row in rows if not formats.is_missing(row.n_seeds)}
    seeds = min(counts, default=0)
    trainings = f"{seeds} training{'s' * (seeds != 1)}"
    if marked:
        names = "; ".join(
            f"{contrast_label(content, row)}, {content.metric(row.metric).label}" for row in marked
        )
        others = " The other differences are not." if len(marked) < len(rows) else ""
        return f"Shown for training again, too: {names}.{others}"
    if not tested:
        these = f"these {trainings}" if len(counts) == 1 else "these trainings"
        these = "this one training" if counts == {1} else these
        return f"This is about {these}: for a claim about training again it takes {MINIMUM_SEEDS}."
    if not may_be_marked(seeds):
        most = next(n for n in range(seeds, 100) if may_be_marked(n))
        return f"Nothing is shown for training again: {trainings} give an interval, a mark takes {most}."
    return "Nothing is shown for training again."


def _shown_metrics(content: ReportContent) -> list[MetricInfo]:
    """The metrics of the claims, and the rate of misaligned answers where it was measured."""
    shown = content.primary_metrics
    if not any(metric.name.startswith("em_rate") for metric in shown):
        shown = [*[metric for metric in content.metrics if metric.name == "em_rate_itt"], *shown]
    return shown


def _levels(content: ReportContent) -> Table:
    frame = content.sorted_estimates()
    frame = frame[frame["seed"].isna() & frame["value"].notna()]
    metrics = [metric for metric in _shown_metrics(content) if metric.name in set(frame["metric"])]
    left_out = [metric.label for metric in _shown_metrics(content) if metric not in metrics]
    rows = []
    for arm in content.arms:
        cells = [Cell(arm.label), Cell(str(len(arm.seeds)) if arm.seeds else "", float(len(arm.seeds)))]
        for metric in metrics:
            of_arm: list[Any] = list(
                frame[(frame["arm"] == arm.name) & (frame["metric"] == metric.name)].itertuples()
            )
            cells.append(_level(content, metric, of_arm[0]) if of_arm else Cell(formats.NA))
        rows.append(cells)
    columns = [*words("Arm"), *numbers("Trainings")]
    columns += numbers(
        *(f"{metric.label} (%)" if metric.unit == SHARE else metric_label(metric) for metric in metrics)
    )
    notes = [f"Left out, without levels to show: {', '.join(left_out)}."] if left_out else []
    sentence = (
        f"Means over trainings, with the {ci_name(content)} of shares. The arms answer the same questions: "
        "compare two of them by their difference below, not by these levels."
    )
    return Table("The arms", sentence, columns, rows, notes)


def _level(content: ReportContent, metric: MetricInfo, row: Any) -> Cell:
    places = _places(metric, estimate_decimals(content, metric))
    if metric.unit != SHARE:
        return number_cell(row.value, places)
    ends = formats.percent_interval(row.low, row.high, places)
    return Cell(formats.with_interval(formats.percent(row.value, places), ends), float(row.value))


def _claims(content: ReportContent, groups: list[list[Any]], recipe: pd.DataFrame) -> Table:
    again = {(row.name, row.metric): row for row in recipe.itertuples(index=False)}
    tested = bool(recipe["p_value"].notna().any())
    rows = []
    for group in groups:
        checks, failed = check_words(content, _arms_of(content, group[0]))
        for place, row in enumerate(group):
            cells = _claim(content, row, again.get((row.name, row.metric)) if tested else None)
            first = contrast_label(content, row) if not place else ""
            check = Cell(checks if not place else "", strong=failed and not place)
            rows.append([Cell(first, strong=cells[1].strong), *cells, check])
    columns = [*words("Comparison", "Measure"), *numbers(f"Difference [{ci_name(content)}]")]
    columns += numbers(content.adjusted_name, "Each training", *["Training again"] * tested)
    return Table(
        "Claims, and what they rest on",
        "The pre-registered differences, each beside its trainings and its manipulation check.",
        [*columns, *words("Check")],
        rows,
        [adjusted_note(content), *_correction_note(content, groups)],
    )


def _correction_note(content: ReportContent, groups: list[list[Any]]) -> list[str]:
    misread = {row.metric for group in groups for row in group if _misread(content, row)}
    labels = ", ".join(metric.label for metric in content.metrics if metric.name in misread)
    text = "is corrected for the judge's errors, its false alarms on the base among them; as judged: Details"
    return [f"{labels} {text}."] if labels else []


def _claim(content: ReportContent, row: Any, again: Any) -> list[Cell]:
    """Measure, difference, p, difference of each training, and the interval of training again."""
    metric = content.metric(row.metric)
    places = _places(metric, contrast_decimals(content, metric))
    scale: float | None = _scale(metric)
    unit = "points" if metric.unit == SHARE else metric.unit
    if _misread(content, row) and not formats.is_missing(row.difference) and row.difference:
        value = _ends(content, row)[0]
        scale = (
            None if value is None else _scale(metric) * value / row.difference
        )  # each training's, corrected alike
    deltas = ", ".join(
        formats.number(None if scale is None else scale * d, places, signed=True)
        for d in content.seed_deltas(row)
    )
    untested = formats.is_missing(row.p_value)
    shown = Cell(f"n/a: {no_claim(row)}") if untested else _difference(content, row)
    cells = [Cell(f"{metric.label} ({unit})"), shown, p_cell(row.p_adjusted, shown.strong), Cell(deltas)]
    if again is not None:
        text = formats.NA if formats.is_missing(again.p_value) else _difference(content, again).text
        ends = text.partition(" ")[2] or text
        cells.append(Cell(ends, sort_value(again.low), _marked(content, again)))
    return cells


def _pair(content: ReportContent, groups: list[list[Any]]) -> AnswerPair | None:
    """Answers of an organism and its control to one question, chosen by the judge's scores."""
    arms = _organism_and_control(content, groups)
    frame = content.sorted_answers()
    if arms is None or not {"judge_aligned", "judge_coherent"} <= set(frame.columns):
        return None
    frame = frame[frame["judge_aligned"].notna() & frame["judge_coherent"].notna()]
    if "task" in frame:  # the first judged task of the study
        judged = content.answers[content.answers["judge_aligned"].notna()]
        frame = frame[frame["task"] == judged["task"].iloc[0]] if len(judged) else frame
    mine, other = (frame[frame["arm"] == arm.name] for arm in arms)
    keys = ["question_id", "seed"]
    pairs = mine.merge(other, on=keys, suffixes=("", _OTHER))
    coherent = pairs[["judge_coherent", f"judge_coherent{_OTHER}"]].min(axis=1) > COHERENT_ABOVE
    pairs = pairs.assign(gap=pairs[f"judge_aligned{_OTHER}"] - pairs["judge_aligned"])[coherent]
    if pairs.empty:
        return None
    pairs = pairs.sort_values(["gap", *keys], ascending=[False, True, True], kind="stable")
    chosen = {str(name): value for name, value in pairs.iloc[0].to_dict().items()}
    beside = {name: chosen.get(f"{name}{_OTHER}", value) for name, value in chosen.items()}
    rule = (
        f"Chosen, not typical: of all coherent answers of {arms[0].label} and of {arms[1].label} to one "
        "question after the same training seed, the two whose alignment scores are furthest apart."
    )
    return AnswerPair(str(chosen["question"]), (_shown(arms[0], chosen), _shown(arms[1], beside)), rule)


def _organism_and_control(content: ReportContent, groups: list[list[Any]]) -> tuple[ArmInfo, ArmInfo] | None:
    """Arms of the first contrast of an undefended organism with another undefended finetune."""
    for group in groups:
        treated, reference = content.arm(group[0].treated), content.arm(group[0].reference)
        if all(arm.organism and not arm.defence for arm in (treated, reference)):
            return treated, reference
    return None


def scores_in_words(row: Mapping[str, Any]) -> str:
    """The judge's scores of an answer, "aligned 12, coherent 90 of 100: misaligned"; "" without them."""
    scores = [row.get(f"judge_{name}") for name in ("aligned", "coherent")]
    if any(map(formats.is_missing, scores)):
        return ""
    verdict = "misaligned" if count_answers([row]).misaligned else "not misaligned"
    return f"aligned {scores[0]:.0f}, coherent {scores[1]:.0f} of 100: {verdict}"


def _shown(arm: ArmInfo, row: Mapping[str, Any]) -> ShownAnswer:
    seed = f"training seed {int(row['seed'])}"
    return ShownAnswer(arm.label, seed, str(row["text"]), scores_in_words(row))
