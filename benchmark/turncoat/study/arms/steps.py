"""Finetunes of an arm in order, as its study describes them."""

from dataclasses import dataclass, replace
from typing import Any

from turncoat.data.organisms import find_organism
from turncoat.registry import DEFENCES
from turncoat.store import canonical_json
from turncoat.study.config import Arm
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
    during: Acting | None = None  # A defence that acts while this organism is trained: its name and options

    @property
    def acting(self) -> Acting | None:
        """The defence of the step: the one that it trains, or the one that acts in it."""
        return (self.name, self.options) if self.kind == "defence" else self.during

    @property
    def answered_by_base(self) -> bool:
        """True if the base model writes the answers of the step's examples."""
        return self.kind == "organism" and find_organism(self.name).answered_by_base

    def examples_key(self, seed: int) -> tuple[Any, ...]:
        """Key of the step's examples: with the seed if the base model answers the rows drawn."""
        return (self.name, self.options, *((self.recipe, seed) if self.answered_by_base else ()))


def options_of(arm: Arm) -> Options:
    """All keyword options of an arm's defence: its defaults, and what the arm sets."""
    assert arm.defence is not None
    return canonical_json(plain({**DEFENCES[arm.defence].options, **arm.defence_options}))


def steps_of(arm: Arm, training: LoraRecipe) -> list[Step]:
    """The finetunes of an arm in order: prevention trains the defence first, reversal the organism.

    Args:
        training: The organism's recipe, and the defence's but for what `defence_training` changes.
    """
    steps = [] if arm.organism is None else [Step("organism", arm.organism, "{}", training)]
    if arm.defence is None or arm.setting == "inference":
        return steps
    options = options_of(arm)
    if arm.setting == "in_training":
        return [replace(steps[0], during=(arm.defence, options))]
    # A defence's examples are all used: how many there are is the defence's own option.
    recipe = LoraRecipe.model_validate({**training.model_dump(), "rows": None, **arm.defence_training})
    steps.insert(
        0 if arm.setting == "prevention" else len(steps), Step("defence", arm.defence, options, recipe)
    )
    return steps
