"""The judge's error in a contrast of two arms: corrected by its card, or by answers that people labelled.

With a card the raw difference is divided by sensitivity + specificity - 1, which takes for granted that both
arms are misjudged alike. With labels on some answers of each arm the difference is prediction-powered: right
whatever the judge's errors, and sharper than the labels alone. The labels also show whether the judge errs
alike.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from turncoat.analysis.answers.arm_rates import Thresholds
from turncoat.analysis.answers.labelled_answers import errors_by_question, labelled_answers
from turncoat.analysis.answers.scored_answers import Scored
from turncoat.errors import UserError
from turncoat.judges.calibration.correction import CORRECTED, NOT_CORRECTED, JudgeErrors, corrected_difference
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE
from turncoat.judges.rates_table import INSTEAD, counts_by_question, false_alarms, rates_table
from turncoat.stats.rates.prediction_powered import (
    PredictionPowered,
    prediction_powered_difference,
    prediction_powered_rate,
)
from turncoat.stats.rates.ratios import rate_difference
from turncoat.text_files import parse_json

Records = list[dict[str, Any]]
BASE = "base"
"""Name of the arm before any finetuning, as run folders have it."""
_BY_CHANCE = 0.001  # p below which labels depend on the judge's verdict
_PUBLISHED = f"aligned < {ALIGNED_BELOW:g} and coherent > {COHERENT_ABOVE:g}"


def with_corrected(
    records: Records, sources: Sequence[Scored], card: Path | None, limits: Thresholds, confidence: float
) -> tuple[Records, str]:
    """The records of `contrast_records` with corrected_difference and its ends, or why nothing is corrected.

    Args:
        sources: Whose arms are compared.
        card: The judge's card; None takes that of the embedded judge where it scored all answers. Its
            specificity gives way to that on an arm "base" which the judge often takes for misaligned.

    Raises:
        UserError: The card cannot be read, is another judge's or does not count errors by question family.
    """
    if any(scored.kind != "judged" for scored in sources):
        if card is not None:
            raise UserError(f"--card {card}: right-or-wrong items have no judge")
        return records, ""
    judges = {name for scored in sources for name in scored.frame["judge"]}
    counts = _embedded(judges) if card is None else _read(card, judges)
    errors = JudgeErrors.of_card(counts, confidence)
    if errors is None and card is not None:
        raise UserError(f"--card {card}: {NOT_CORRECTED}")
    if errors is None:
        return records, NOT_CORRECTED
    unfit = next((scored for scored in sources if unfit_base(scored, limits)), None)
    if unfit is not None:
        base = unfit.frame[unfit.frame["arm"] == BASE]
        pairs = [(counts.misaligned, counts.all) for counts in counts_by_question(base).values()]
        errors = errors.with_base(pairs, confidence)
    if limits != Thresholds():
        return records, f"not corrected: the judge's card counts its errors at {_PUBLISHED} alone"
    return [record | _corrected(record, errors, confidence) for record in records], ""


def unfit_base(scored: Scored, limits: Thresholds | None = None) -> list[str]:
    """Warning (a list of at most one) that the judge often takes the untrained "base" for misaligned."""
    base = scored.frame[scored.frame["arm"] == BASE]
    if scored.kind != "judged" or base.empty or not bool(base["may_rate"].all()):
        return []
    why = false_alarms(rates_table(base, by=("arm",), **vars(limits or Thresholds())), BASE)
    why = why.removesuffix(INSTEAD)
    return [f"read differences of misaligned answers, not their rates: {why}"] if why else []


def _read(path: Path, judges: set[str]) -> dict[str, Any]:
    try:
        card = parse_json(path.read_text(encoding="utf-8"), "the file")
    except (OSError, ValueError) as error:
        raise UserError(
            f"--card {path} cannot be read ({error}); `turncoat judge --write-card` makes one"
        ) from error
    if not isinstance(card, dict):
        raise UserError(
            f"--card {path} is not a card: an object is expected; `turncoat judge --write-card` makes one"
        )
    mine = " ".join(str(card[key]) for key in ("judge", "rubric") if card.get(key))
    strangers = sorted(name for name in judges - {""} if not name.startswith(mine))
    if strangers:
        raise UserError(
            f"--card {path} is of judge '{mine}', but these answers were scored by '{strangers[0]}'"
        )
    return card


def _embedded(judges: set[str]) -> dict[str, Any] | None:
    if not all(name.startswith("embedded") for name in judges):
        return None
    from turncoat.judges.embedded.judge import WEIGHTS, rubric_of

    card: dict[str, Any] = json.loads((WEIGHTS / "card.json").read_text(encoding="utf-8"))
    return card if judges == {f"{card['judge']} {rubric_of()}"} else None


def _corrected(record: Mapping[str, Any], errors: JudgeErrors, confidence: float) -> dict[str, Any]:
    if record["metric"] != CORRECTED or record["difference"] is None:
        return {}
    ends = (record["difference"], record["ci_low"], record["ci_high"])
    estimate = corrected_difference(*ends, errors, confidence)
    return {
        "corrected_difference": estimate.value, "corrected_low": estimate.low,
        "corrected_high": estimate.high, "corrected_note": estimate.note,
    }  # fmt: skip


def labelled_records(
    first: Scored, first_arm: str, second: Scored, second_arm: str, limits: Thresholds | None = None,
    confidence: float = 0.95,
) -> Records:  # fmt: skip
    """First arm minus second by labels and judge together: one record per metric that the labels allow.

    `sensitivity_a` and the like are [right, all] among labelled answers; `warning` says where the judge is
    shown to err otherwise in one arm than in the other, so that only the labelled difference is right. Both
    are left out where labels depend on the judge's verdict.

    Raises:
        UserError: An arm has no label, or none on one kind of the judge's verdicts alone.
    """
    sides = [_labelled(first, first_arm, limits), _labelled(second, second_arm, limits)]
    frames, notes = [frame for frame, _ in sides], [note for _, note in sides if note]
    errors = {"warning": ""} if notes else _errors(frames, limits, confidence)
    records = []
    for metric in _metrics(frames):
        answers = [labelled_answers(frame, metric, limits) for frame in frames]
        estimate = prediction_powered_difference(*answers, confidence=confidence)
        about = {"metric": metric, "claim": "adapters", "a": first_arm, "b": second_arm}
        records.append(about | _record(estimate, notes) | errors)
    return records


def labelled_rates(scored: Scored, limits: Thresholds | None = None, confidence: float = 0.95) -> Records:
    """Rates of each arm by labels and judge together: one record per arm and metric that the labels allow.

    Raises:
        UserError: As `labelled_records`.
    """
    records = []
    for arm in scored.arms:
        frame, note = _labelled(scored, arm, limits)
        for metric in _metrics([frame]):
            estimate = prediction_powered_rate(labelled_answers(frame, metric, limits), confidence=confidence)
            about = {"source": scored.source, "arm": arm, "metric": metric, "claim": "adapters"}
            records.append(about | _record(estimate, [note] if note else []))
    return records


def _record(estimate: PredictionPowered, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "estimator": "prediction-powered", "judged": estimate.predicted, "value": estimate.value,
        "ci_low": estimate.low, "ci_high": estimate.high, "labelled": estimate.labelled,
        "labelled_low": estimate.labelled_low, "labelled_high": estimate.labelled_high, "n": estimate.n,
        "n_labelled": estimate.n_labelled, "n_questions": estimate.n_labelled_questions,
        "weight": estimate.weight, "confidence": estimate.confidence,
        "note": "; ".join(filter(None, (*notes, estimate.note))),
    }  # fmt: skip


def _metrics(frames: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    return ("em_rate", CORRECTED) if all("label_aligned" in frame for frame in frames) else (CORRECTED,)


def _labelled(scored: Scored, arm: str, limits: Thresholds | None) -> tuple[pd.DataFrame, str]:
    """An arm's answers; where labels depend on the judge's verdict with their `probability`, and a note."""
    frame = scored.frame[scored.frame["arm"] == arm]
    answers = labelled_answers(frame, CORRECTED, limits)
    flagged = pd.Series(np.asarray(answers.predicted) == 1, index=frame.index)
    there = pd.Series(~np.isnan(np.asarray(answers.label, dtype=float)), index=frame.index)
    if not there.any():
        raise UserError(f"{scored.source}: no answer of arm '{arm}' has a label; label some of each arm")
    table = pd.crosstab(flagged, there).reindex(columns=[True, False], fill_value=0)
    if len(table) < 2 or fisher_exact(table).pvalue >= _BY_CHANCE:
        return frame, ""
    share = there.groupby(flagged).mean()
    shown = f"{share[True]:.0%} of what the judge calls misaligned and {share[False]:.0%} of the rest"
    if not share.min():
        raise UserError(
            f"{scored.source}: of arm '{arm}' {shown} is labelled: what the judge gets wrong among the "
            "others is not known; label some of them, drawn at random"
        )
    note = f"{arm}: {shown} is labelled, and weighted for it (drawn at random within both, it is assumed)"
    return frame.assign(probability=flagged.map(share).astype(float)), note


def _errors(frames: Sequence[pd.DataFrame], limits: Thresholds | None, confidence: float) -> dict[str, Any]:
    """The judge's sensitivity and specificity in each arm, and a warning where they are shown to differ."""
    by_arm = [errors_by_question(frame, limits) for frame in frames]
    questions = sorted(set().union(*(arm["sensitivity"] for arm in by_arm)))
    record: dict[str, Any] = {}
    warnings = []
    for name in ("sensitivity", "specificity"):
        sides = [[arm[name].get(question, (0, 0)) for question in questions] for arm in by_arm]
        totals = [tuple(map(sum, zip(*side, strict=True))) for side in sides]
        record |= {f"{name}_a": list(totals[0]), f"{name}_b": list(totals[1])}
        if _differ(sides, confidence):
            shown = " and ".join(
                f"{right / n:.0%} of {n} in {arm}" for (right, n), arm in zip(totals, "AB", strict=True)
            )
            warnings.append(f"{name} differs by arm ({shown})")
    warning = (
        f"{' and '.join(warnings)}: the raw difference is biased, and so is one corrected by a card"
        if warnings
        else ""
    )
    return record | {"warning": warning}


def _differ(sides: Sequence[Sequence[tuple[int, int]]], confidence: float) -> bool:
    """True where two shares of right verdicts differ: by interval or, without spread, by Fisher's test."""
    first, second = sides
    gap = rate_difference(first, second, confidence)
    if gap.se is not None and gap.low is not None and gap.high is not None:
        return not gap.low <= 0 <= gap.high
    table = [[sum(x for x, _ in side), sum(n - x for x, n in side)] for side in sides]
    return bool(fisher_exact(table).pvalue < 1 - confidence)
