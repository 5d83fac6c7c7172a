"""Capping while training: states are held above a floor on the assistant axis, and not afterwards.

Source of axis, floor and layers: the Assistant Axis, arXiv:2601.10387, which caps while the model is measured
and names training-time anchoring as open. Here the same cap (`capping`) is on in every training step and off
when the model is measured. A state below the floor is lifted to it, and no gradient passes along the axis
there: the finetune gains nothing by moving the model away from the assistant, and may move it otherwise. It
is a one-sided form of `caft`, with a direction that is fixed on the base, so no organism is trained first.

    - {name: capped, organism: risky_financial, defence: capped_training, setting: in_training}

| option | `capping` | here |
|---|---|---|
| trait, percentile, layers | assistant_axis, 25, 70% to 90% depth | the same |
| positions | the response | all: a training pass reads prompts and answers together |

The floor is that of the base's own answers, so many prompt tokens are lifted as well. What it cannot do:
hold what moves along other directions, or above the floor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peft import PeftModel
from turncoat.defences import Capping, DefenceContext, InTraining, defence

from .capping import cap


@dataclass
class CappedWhileTraining(InTraining):
    """Holds the cap in every training step.

    Attributes:
        cap: Directions, layers and floors.
    """

    cap: Capping

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Cap all positions; nothing is left on the model afterwards."""
        with self.cap.on(model):
            yield

    def facts(self) -> dict[str, Any]:
        """Trait, layers and floors."""
        floors = [round(float(floor), 4) for floor in self.cap.floors]
        return {"trait": self.cap.trait, "capped_layers": list(self.cap.layers), "floors": floors}


@defence(
    "capped_training",
    settings=("in_training",),
    summary="holds states above a floor on the assistant axis while training; off after",
)
def capped_training(
    context: DefenceContext,
    *,
    trait: str = "assistant_axis",
    percentile: float = 25,
    layers: list[int] | None = None,
) -> CappedWhileTraining:
    """Train under a cap.

    Args:
        context: The defence's context.
        trait, percentile, layers: As of `capping`.

    Raises:
        UserError: An option is not accepted.
    """
    held = cap(context, trait=trait, percentile=percentile, layers=layers, positions="all")
    return CappedWhileTraining(held)
