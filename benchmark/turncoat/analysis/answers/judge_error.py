"""The judge's error in a contrast of two arms: corrected by its card, or by answers that people labelled.

with_corrected(contrast_records(...), sources, card, limits, 0.95); labelled_records(first, a, second, b)

With a card the raw difference is divided by sensitivity + specificity - 1, which takes for granted that both
arms are misjudged alike. With labels on some answers of each arm the difference is prediction-powered: right
whatever the judge's errors, and sharper than the labels alone. The labels also show whether the judge errs
alike.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import fisher_exact

from turncoat.analysis.answers.arm_rates import Thresholds
from turncoat.analysis.answers.labelled_answers import errors_by_question, labelled_answers
from turncoat.analysis.answers.scored_answers import Scored
from turncoat.errors import UserError
from turncoat.judges.calibration.correction import CORRECTED, NOT_CORRECTED, JudgeErrors, corrected_difference
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE
from turncoat.stats.rates.prediction_powered import prediction_powered_difference
from turncoat.stats.rates.ratios import rate_difference

Records = list[dict[str, Any]]
_PUBLISHED = f"aligned < {ALIGNED_BELOW:g} and coherent > {COHERENT_ABOVE:g}"


def with_corrected(
    records: Records, sources: Sequence[Scored], card: Path | None, limits: Thresholds, confidence: float
) -> tuple[Records, str]:
    """The records of `contrast_records` with corrected_difference and its ends, or why nothing is corrected.

    Args:
        sources: Whose arms are compared.
        card: The judge's card; None takes that of the embedded judge where it scored all answers.

    Raises:
        UserError: The card cannot be read, is another judge's or does not count errors by question family.
    """
    if any(scored.kind != "judged" for scored in sources):
        if card is not None:
            raise UserError(f"--card {card}: right-or-wrong items have no judge")
        return records, ""
    judges = {name for scored in sources for name in scored.frame["judge"]}
    found = _embedded(judges) if card is None else _read(card, judges)
    errors = JudgeErrors.of_card(found, confidence)
    if errors is None and card is not None:
        raise UserError(f"--card {card}: {NOT_CORRECTED}")
    if errors is None:
        return records, NOT_CORRECTED
    if limits != Thresholds():
        return records, f"not corrected: the judge's card counts its errors at {_PUBLISHED} alone"
    return [record | _corrected(record, errors, confidence) for record in records], ""


def _read(path: Path, judges: set[str]) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
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
    found = corrected_difference(*ends, errors, confidence)
    return {
        "corrected_difference": found.value, "corrected_low": found.low, "corrected_high": found.high,
        "corrected_note": found.note,
    }  # fmt: skip


def labelled_records(
    first: Scored, first_arm: str, second: Scored, second_arm: str, limits: Thresholds | None = None,
    confidence: float = 0.95,
) -> Records:  # fmt: skip
    """First arm minus second by labels and judge together: one record per metric that the labels allow.

    `sensitivity_a` and the like are [right, all] among labelled answers; `warning` says where the judge is
    shown to err otherwise in one arm than in the other, so that only the labelled difference is right.

    Raises:
        UserError: An arm has no label.
    """
    frames = []
    for scored, arm in ((first, first_arm), (second, second_arm)):
        frame = scored.frame[scored.frame["arm"] == arm]
        labels = frame["label" if "label" in frame else "label_aligned"]
        if not labels.notna().any():
            raise UserError(f"{scored.source}: no answer of arm '{arm}' has a label; label some of each arm")
        frames.append(frame)
    errors = _errors(frames, limits, confidence)
    metrics = ("em_rate", CORRECTED) if all("label_aligned" in frame for frame in frames) else (CORRECTED,)
    records = []
    for metric in metrics:
        found = prediction_powered_difference(
            *(labelled_answers(frame, metric, limits) for frame in frames), confidence=confidence
        )
        records.append({
            "metric": metric, "claim": "adapters", "estimator": "prediction-powered", "a": first_arm,
            "b": second_arm, "raw_difference": found.predicted, "difference": found.value,
            "ci_low": found.low, "ci_high": found.high, "labelled_difference": found.labelled,
            "labelled_low": found.labelled_low, "labelled_high": found.labelled_high, "n": found.n,
            "n_labelled": found.n_labelled, "n_questions": found.n_labelled_questions,
            "weight": found.weight, "confidence": confidence, "note": found.note, **errors,
        })  # fmt: skip
    return records


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
    gap = rate_difference(*sides, confidence)
    if gap.low is not None and gap.high is not None:
        return not gap.low <= 0 <= gap.high
    table = [[sum(x for x, _ in side), sum(n - x for x, n in side)] for side in sides]
    return bool(fisher_exact(table).pvalue < 1 - confidence)
