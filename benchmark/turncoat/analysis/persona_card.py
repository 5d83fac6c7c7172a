"""No card, no claim: differences along a persona vector that fails its card are not marked as significant.

A card holds, per layer, the vector's AUC on held-out answers and the 95th percentiles of random directions
and of vectors made from shuffled labels (`turncoat.persona.quality`). The vector passes at its layer if its
AUC is above both.
"""

from collections.abc import Mapping
from typing import Any

from turncoat.evaluation.task_catalogue import metric_names, trait_of
from turncoat.study.config import Study

OVERRIDE = "claims_without_card"
BARRED = "no claim: the vector has no card that it passes"


def card_failure(card: Mapping[str, Any] | None) -> str:
    """The failure of a vector's card, in words; "" where it passes.

    Args:
        card: `persona` of run.json: trait, layer and the card; None where no vector was made.
    """
    if card is None:
        return ""
    held_out, layer = card.get("held_out"), card["layer"]
    if not held_out:
        return f"the vector '{card['trait']}' was not tested on held-out answers"
    auc = held_out["auc"][layer]
    controls = {"random_p95": "random directions", "shuffled_p95": "vectors from shuffled labels"}
    above = [
        f"95% of {name} stay below {held_out[key][layer]:.2f}"
        for key, name in controls.items()
        if auc <= held_out[key][layer]
    ]
    if not above:
        return ""
    return f"on held-out answers the vector '{card['trait']}' has an AUC of {auc:.2f}; {' and '.join(above)}"


def barred_metrics(study: Study, card: Mapping[str, Any] | None) -> dict[str, str]:
    """Metric -> `BARRED`, for readings of a vector that fails its card or of which the run has no card.

    Empty where the study says `claims_without_card: true`.
    """
    if study.claims_without_card:
        return {}
    passes = card is not None and not card_failure(card)
    return {
        name: BARRED
        for name, (task, metric) in metric_names(use.task for use in study.tasks).items()
        if "persona_" in metric and not (passes and card and trait_of(task) == card["trait"])
    }
