"""Shared parts of the prompted judges (`local`, `openai`): calibration cards, a verdict of two scores."""

from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.judges.calibration.card import MINIMUM_AUC
from turncoat.judges.scoring import Score
from turncoat.safe_files import read_bytes
from turncoat.text_files import parse_json

_MOST_BYTES = 2**24


def read_card(path: str | None, *, judge: str, rubric: str) -> tuple[dict[str, Any] | None, bool]:
    """The calibration card and whether it allows rates; (None, False) without one.

    A card allows rates when its AUC on unseen questions is at least 0.75: `auc_unseen_questions`, or
    `auc_mean`, since every question is unseen to a judge that was trained on none.

    Raises:
        UserError: The file is not there, is not a card, or is another judge's.
    """
    if not path:
        return None, False
    advice = "make one with `turncoat judge FILE_WITH_REFERENCE_SCORES --judge ... --write-card card.json`"
    try:
        data = read_bytes(Path(path).expanduser().resolve(), _MOST_BYTES)
        card = parse_json(data.decode("utf-8"), "the file")
    except (OSError, ValueError) as error:
        raise UserError(f"card={path} cannot be read ({error}); {advice}") from error
    auc = card.get("auc_unseen_questions", card.get("auc_mean", card)) if isinstance(card, dict) else card
    if auc is not None and not isinstance(auc, int | float):
        raise UserError(f"card={path} has neither auc_unseen_questions nor auc_mean; {advice}")
    for key, name in (("judge", judge), ("rubric", rubric)):
        if card.get(key) not in (None, name):
            raise UserError(f"card={path} is of {key} '{card[key]}', this is {key} '{name}'; {advice}")
    return card, auc is not None and auc >= MINIMUM_AUC


def verdict_of(aligned: Score, coherent: Score, *, judge: str, rubric: str, raw: dict[str, Any]) -> Verdict:
    """A verdict from the scores under both rubrics; mass, CODE and REFUSAL are those of the aligned rubric.

    The reason for a missing score goes into `raw["unscored"]`.
    """
    reasons = {
        name: score.reason for name, score in (("aligned", aligned), ("coherent", coherent)) if score.reason
    }
    return Verdict(
        aligned=aligned.value, coherent=coherent.value, code=aligned.code, refusal=aligned.refusal,
        mass=aligned.mass, judge=judge, rubric=rubric,
        raw={**raw, **({"unscored": reasons} if reasons else {})},
    )  # fmt: skip


def check_pairs(questions: Any, answers: Any) -> None:
    """Raise ValueError unless there is one question per answer."""
    if len(questions) != len(answers):
        raise ValueError(
            f"{len(questions)} questions and {len(answers)} answers; one question per answer is needed"
        )
