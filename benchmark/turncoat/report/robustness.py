"""Robustness of a run's misalignment rates to thresholds, the coherence filter and single questions.

Lines as in the report's plain words: a heading ends with a colon, a sentence with a full stop. Declared
contrasts only, each under the kind of claim that it makes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.analysis.answers.answer_counts import METRICS, Metric
from turncoat.analysis.answers.robustness import (
    ContrastSweep,
    contrast_sweep,
    contrast_without_each,
    deciding_questions,
    rate_without_each,
    threshold_sweep,
)
from turncoat.analysis.answers.selection_bounds import DifferenceBounds, difference_bounds, rate_bounds
from turncoat.evaluation.task_catalogue import task_files, task_metrics
from turncoat.report.content import ReportContent
from turncoat.report.tables.contrasts import MINUS
from turncoat.stats.contrasts import CLAIMS, Claim
from turncoat.stats.estimates import check_confidence
from turncoat.stats.rates.leave_one_out import LeaveOneOut

HEADING = "Robustness of the misalignment rates"
_DECIMALS = 3
_SHOWN = 3
_WORDS = {"adapters": "about these adapters", "recipe": "about the recipe"}
_NAMES: dict[str, str] = {
    "em_rate": "misaligned / coherent", "em_rate_itt": "misaligned / all", "incoherent": "incoherent / all",
}  # fmt: skip
_SCORES = ("aligned", "coherent", "error")


def robustness_lines(content: ReportContent) -> list[str]:
    """All checks of a run in sentences; why there are none where no rate may be printed."""
    answers = content.answers
    if content.judged.empty or "judge_aligned" not in answers:
        return [f"{HEADING}:", "No answer of this study is judged, so there is no rate to check."]
    if "em_rate" not in content.judged:
        why = "No misalignment rate is printed, so none is checked; see what is withheld, and why."
        return [f"{HEADING}:", why]
    lines: list[str] = []
    confidence = check_confidence(1 - content.alpha)
    frame = scored_frame(answers)
    for task in content.judged["task"].drop_duplicates():
        of_task = frame[frame["task"] == task]
        lines += [
            f"{HEADING}, task {task}, arm by arm ({formats.confidence_level(confidence)} intervals over "
            "questions):"
        ]
        lines += [
            line
            for arm in content.arms
            if arm.name in set(of_task["arm"])
            for line in [_of_arm(of_task, arm, confidence)]
        ]
        for claim in CLAIMS:
            contrasts = list(_contrasts(content, task, claim))
            if contrasts:
                lines.append(f"{HEADING}, task {task}, differences, {_WORDS[claim]}:")
            for row in contrasts:
                lines += _of_contrast(content, of_task, row, claim, confidence)
    return lines


def scored_frame(answers: pd.DataFrame) -> pd.DataFrame:
    """The report's answers for `analysis.answers.answer_counts`: task, arm, seed, question, aligned,
    coherent, error."""
    judged = answers[answers["judge"].notna()] if "judge" in answers else answers
    columns = {"question_id": "question"} | {f"judge_{s}": s for s in _SCORES if f"judge_{s}" in judged}
    return judged[["task", "arm", "seed", *columns]].rename(columns=columns)


def _contrasts(content: ReportContent, task: str, claim: str) -> Iterable[Any]:
    """The declared contrasts of an EM rate of this task, one row each."""
    tasks = list(content.judged["task"].drop_duplicates())
    frame = content.sorted_contrasts(claim)
    for row in frame.itertuples():
        metric, _, of_task = str(row.metric).partition("@")
        if formats.text_or_empty(getattr(row, "minus_treated", "")):
            continue  # a difference of differences: its four arms are checked one by one
        if metric in METRICS and task == _task_of(metric, of_task, tasks):
            yield row


def _task_of(metric: str, named: str, tasks: Sequence[str]) -> str | None:
    """The judged task that a metric belongs to: the one in its name (`em_rate@em_cue`), else the only one
    that has it."""
    if named:
        return next((task for task in tasks if named in (task, task.removeprefix("turncoat_"))), None)
    having = [task for task in tasks if task not in task_files() or metric in task_metrics(task)]
    return having[0] if len(having) == 1 else None


def _of_arm(frame: pd.DataFrame, arm: Any, confidence: float) -> str:
    sweep = threshold_sweep(frame, arm.name)
    bounds = rate_bounds(frame, arm.name, confidence=confidence)
    without = rate_without_each(frame, arm.name)
    if without.value is None:
        return f"{arm.label}: {without.note}."
    parts = [
        f"{arm.label}: {_NAMES['em_rate']} {_number(without.value)}",
        f"from {_range(list(sweep.values()))} over the thresholds",
        f"between {_number(bounds.low)} and {_number(bounds.high)} whatever the {bounds.n_unknown} of "
        f"{bounds.n} incoherent answers meant {formats.interval(bounds.ci_low, bounds.ci_high, _DECIMALS)}",
        f"worst question {without.worst_question} {_number(without.worst_rate)}",
        f"from {_range([without.lowest, without.highest])} with any one question left out"
        if without.without
        else without.note,
    ]
    return "; ".join(parts) + "."


def _of_contrast(
    content: ReportContent, frame: pd.DataFrame, row: Any, claim: Claim, confidence: float
) -> list[str]:
    labels = f"{content.arm(row.treated).label} {MINUS} {content.arm(row.reference).label}"
    metric: Metric = str(row.metric).partition("@")[0]  # type: ignore[assignment]
    questions = [set(frame.loc[frame["arm"] == arm, "question"]) for arm in (row.treated, row.reference)]
    if not questions[0] & questions[1]:
        return [f"{labels}, {_NAMES[metric]}: undefined, as the arms share no judged question."]
    arms = (frame, row.treated, row.reference)
    sweep = contrast_sweep(*arms, metric, claim, confidence=confidence)
    lines = [f"{labels}, {_NAMES[metric]}: {_sweep(sweep)}"]
    if sweep.usual.conclusion == "undefined":
        return lines
    without = contrast_without_each(*arms, metric, claim, confidence=confidence)
    lines.append(f"{labels}, {_NAMES[metric]}: {_without(without, confidence)}")
    if metric == "em_rate" and claim == "adapters":
        lines.append(f"{labels}: {_bounds(difference_bounds(*arms, confidence=confidence))}")
    return lines


def _sweep(sweep: ContrastSweep) -> str:
    usual = sweep.usual
    if usual.conclusion == "undefined":
        return f"undefined at the usual thresholds ({usual.note or 'no value'})."
    differences = [point.difference for point in sweep.points if point.difference is not None]
    text = (
        f"{usual.conclusion} at {usual.limits.aligned_below:g}/{usual.limits.coherent_above:g}, "
        f"{_signed(usual.difference)} {formats.interval(usual.low, usual.high, _DECIMALS)}; from "
        f"{_range(differences, signed=True)} over {len(sweep.points)} pairs of thresholds; "
    )
    if sweep.n_flipped:
        text += f"another conclusion at {sweep.n_flipped} of {sweep.n_defined}, "
        text += f"the opposite one at {sweep.n_reversed or 'none'}"
    else:
        text += f"the same conclusion at all {sweep.n_defined} that define one"
    if sweep.n_sign_changed:
        text += f"; the difference changes sign at {sweep.n_sign_changed}"
    return text + "."


def _without(result: LeaveOneOut, confidence: float) -> str:
    if result.difference_low is None:
        return f"with any one question left out {result.note}."
    ends = _range([result.difference_low, result.difference_high], signed=True)
    text = f"with any one question left out from {ends}, moved most by {result.most_influential}"
    deciding = deciding_questions(result, confidence)
    if not deciding:
        return f"{text}; no single question decides the conclusion."
    return f"{text}; another conclusion without {formats.first_of(deciding, _SHOWN)}."


def _bounds(bounds: DifferenceBounds) -> str:
    if bounds.low is None:
        why = bounds.note.removeprefix("undefined: ")
        return f"bounds over the incoherent answers are undefined ({why})."
    text = (
        f"whatever the incoherent answers meant, the difference lies between {_signed(bounds.low)} and "
        f"{_signed(bounds.high)} {formats.interval(bounds.ci_low, bounds.ci_high, _DECIMALS)}; "
        f"{_signed(bounds.as_aligned.difference)} with all of them counted as aligned, "
        f"{_signed(bounds.as_misaligned.difference)} as misaligned"
    )
    if bounds.conclusion in ("higher", "lower"):
        return f"{text}; {bounds.conclusion} in every case."
    return f"{text}; {bounds.note}." if bounds.note else f"{text}."


def _number(value: Any) -> str:
    return formats.number(value, _DECIMALS)


def _signed(value: Any) -> str:
    return formats.number(value, _DECIMALS, signed=True)


def _range(values: Sequence[float | None], *, signed: bool = False) -> str:
    ends = [value for value in values if value is not None]
    if not ends:
        return formats.NA
    return " to ".join(formats.number(end, _DECIMALS, signed=signed) for end in (min(ends), max(ends)))
