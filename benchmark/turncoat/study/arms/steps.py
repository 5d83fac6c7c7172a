"""Finetunes of an arm in order, as its study describes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from turncoat.data.organisms import find_organism
from turncoat.registry import DEFENCES
from turncoat.store import canonical_json
from turncoat.study.arm_config import Arm, DefenceUse
from turncoat.training.in_training import plain
from turncoat.training.recipe import LoraRecipe

Options = (
    str  # canonical JSON of a defence's keyword options: lists and mappings, too, can then be part of a key
)
Acting = tuple[str, Options]  # a defence by its name, and its options


@dataclass(frozen=True)
class Step:
    """One finetune of an arm."""

    kind: str  # "organism" or "defence"
    name: str  # Its registered name
    options: Options  # Keyword options of a defence, as JSON; "{}" for an organism
    recipe: LoraRecipe  # Its hyperparameters
    during: tuple[Acting, ...] = ()  # Defences that act while this organism is trained, in order
    # Finetunes of what writes its texts instead of the base: an arm that answers an organism's prompts, or
    # the arm itself before a defence
    teacher: tuple[Step, ...] | None = None

    @property
    def defences(self) -> tuple[Acting, ...]:
        """The defences of the step: the one that it trains, or those that act in it."""
        return ((self.name, self.options),) if self.kind == "defence" else self.during

    @property
    def answered_anew(self) -> bool:
        """True if a model writes the answers of the step's examples: another arm, or the base."""
        by_base = self.kind == "organism" and find_organism(self.name).answered_by_base
        return self.teacher is not None or by_base

    def examples_key(self, seed: int) -> tuple[Any, ...]:
        """Key of the step's examples: with the seed if a model answers the rows drawn."""
        return (self.name, self.options, *((self.recipe, seed, self.teacher) if self.answered_anew else ()))


def options_of(use: DefenceUse) -> Options:
    """All keyword options of a defence: its defaults, and what the arm sets."""
    return canonical_json(plain({**DEFENCES[use.defence].options, **use.defence_options}))


def steps_of(arm: Arm, training: LoraRecipe) -> list[Step]:
    """The finetunes of an arm in order: defences of prevention, the organism, defences of reversal.

    Args:
        training: The study's recipe: the organism's but for what the arm's `training` changes, and a
            defence's but for what its `defence_training` changes, too.
    """
    teacher = None if arm.teacher is None else tuple(steps_of(arm.teacher, training))
    training = arm.recipe(training)
    before: list[Step] = []
    during: list[Acting] = []
    after: list[tuple[Step, DefenceUse]] = []
    for use in arm.defences:
        acting = (use.defence, options_of(use))
        if use.setting == "in_training":
            during.append(acting)
        elif use.setting != "inference":
            # A defence's examples are all used: how many there are is the defence's own option.
            recipe = {**training.model_dump(), "rows": None, **use.defence_training}
            step = Step("defence", *acting, LoraRecipe.model_validate(recipe))
            if use.setting == "prevention":
                before.append(step)
            else:
                after.append((step, use))
    steps = before
    if arm.organism is not None:
        steps.append(Step("organism", arm.organism, "{}", training, tuple(during), teacher))
    for step, use in after:
        steps.append(replace(step, teacher=tuple(steps)) if use.defence_texts == "organism" else step)
    return steps
