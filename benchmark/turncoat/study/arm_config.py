"""Schema of an arm: an organism, its defences and conditions; and the mistakes that an arm's keys can hold.

arm = Arm(name="sgtr", organism="insecure_code", defence="sgtr", setting="prevention")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, PrivateAttr, ValidationError

from turncoat.data.organisms import find_organism
from turncoat.errors import UserError, accepted
from turncoat.registry import DEFENCES
from turncoat.strict_model import NAME, StrictModel, first_wrong
from turncoat.training.recipe import LoraRecipe, System

Setting = Literal["prevention", "in_training", "reversal", "inference"]
_OPTIONS = "`turncoat show DEFENCE`"
_OWN_RECIPE = "keys of `training` that its own finetune has otherwise"
_WRITER = "who writes the texts of a reversal: base, or organism (the arm as it is before it)"


class DefenceUse(StrictModel):
    """A defence of an arm beside its first one."""

    defence: str = Field(description="`turncoat list defences`")
    setting: Setting | None = Field(default=None, description="when the defence acts")
    defence_options: dict[str, Any] = Field(default={}, description=_OPTIONS)
    defence_training: dict[str, Any] = Field(default={}, description=_OWN_RECIPE)
    defence_texts: Literal["base", "organism"] = Field(default="base", description=_WRITER)


class Arm(StrictModel):
    """One thing to measure, for each training seed; without organism and defence it is the base model."""

    name: str = Field(pattern=NAME, description="in rows and contrasts")
    label: str = Field(default="", description="in reports; the name if empty")
    organism: str | None = Field(default=None, description="`turncoat list organisms`, or FILE.jsonl")
    answers_of: str | None = Field(
        default=None,
        description="an arm above: its answers to the organism's prompts are trained on, not the organism's",
    )
    defence: str | None = Field(default=None, description="`turncoat list defences`")
    setting: Setting | None = Field(default=None, description="when the defence acts")
    defence_options: dict[str, Any] = Field(default={}, description=_OPTIONS)
    defence_training: dict[str, Any] = Field(default={}, description=_OWN_RECIPE)
    defence_texts: Literal["base", "organism"] = Field(default="base", description=_WRITER)
    more_defences: tuple[DefenceUse, ...] = Field(
        default=(), description="that act with the first, in order: [{defence: NAME, setting: WHEN}]"
    )
    training: dict[str, Any] = Field(
        default={}, description="keys of the study's `training` that this arm has otherwise"
    )
    system: System = Field(
        default="default",
        description="system prompt while measured: default (the chat template's), none, identity or a text",
    )
    tasks: tuple[str, ...] = Field(
        default=(), description="which of the study's tasks measure it; all if empty"
    )
    model: str | dict[int, str] | None = Field(
        default=None,
        description="in a study of an endpoint: the model there that this arm is, for each training seed",
    )
    _teacher: Arm | None = PrivateAttr(default=None)

    @property
    def teacher(self) -> Arm | None:
        """The arm that `answers_of` names; None where there is none."""
        return self._teacher

    def taught_by(self, arms: Iterable[Arm]) -> None:
        """Find the teacher among the arms above."""
        self._teacher = next((arm for arm in arms if arm.name == self.answers_of), None)

    def endpoint_model(self, seed: int, default: str) -> str:
        """Its model at the endpoint for a training seed; "" if none is named."""
        return self.model.get(seed, "") if isinstance(self.model, dict) else self.model or default

    def measured_by(self, task: str) -> bool:
        """True if the task measures this arm: a partner arm needs no more than its held-out loss."""
        return not self.tasks or task in self.tasks

    @property
    def defences(self) -> tuple[DefenceUse, ...]:
        """All its defences, in order."""
        if self.defence is None:
            return ()
        keys = DefenceUse.model_fields
        return (DefenceUse(**{key: getattr(self, key) for key in keys}), *self.more_defences)

    @property
    def conditions(self) -> dict[str, Any]:
        """Its own recipe, system prompt and teacher, where they are not the study's."""
        own = {"training", "system", "answers_of"}
        return self.model_dump(mode="json", include=own, exclude_defaults=True)

    @property
    def further(self) -> dict[str, Any]:
        """The parts beyond an organism and one defence on the base's texts: more, and its conditions."""
        parts = {"more_defences", "defence_texts"}
        more = self.model_dump(mode="json", include=parts, exclude_defaults=True)
        return {**more, **self.conditions}

    def recipe(self, training: LoraRecipe) -> LoraRecipe:
        """Its recipe, for the study's `training`."""
        if not self.training:
            return training
        return LoraRecipe.model_validate({**training.model_dump(), **self.training})

    @property
    def is_base(self) -> bool:
        """True for the base model as it is."""
        return self.organism is None and self.defence is None and not self.conditions

    @property
    def is_trained(self) -> bool:
        """True with a finetune in it: an inference defence of the base model has none, and no seed."""
        return self.organism is not None or any(use.setting != "inference" for use in self.defences)


AnyArm = TypeVar("AnyArm", bound=Arm)


def undefended(arms: Iterable[AnyArm], arm: Arm) -> AnyArm | None:
    """The arm that differs from a defended one by the defence alone; None if it is not there."""
    if arm.defence is None:
        return None
    like = (arm.organism, arm.conditions)
    plain = (other for other in arms if other.defence is None)
    return next((other for other in plain if (other.organism, other.conditions) == like), None)


def arm_problems(arm: Arm) -> list[tuple[str, str]]:
    """Mistakes in an arm, as (key, message), a key inside another one dotted; call `discover` before."""
    problems = []
    if arm.organism is not None:
        try:
            find_organism(arm.organism)
        except UserError as error:
            problems.append(("organism", str(error)))
        else:
            problems += [("answers_of", text) for text in _teacher_problems(arm)]
    elif arm.answers_of is not None:
        problems.append(("answers_of", "given without an organism, whose prompts are answered; name one"))
    problems += [("training", text) for text in _recipe_problems(arm.training)]
    if arm.training and not arm.is_trained:
        problems.append(("training", "given without a finetune; add `organism:` or remove it"))
    if arm.defence is None:
        for key in ("setting", "more_defences"):
            given = getattr(arm, key) or (key == "setting" and (arm.defence_options or arm.defence_training))
            if given:
                problems.append((key, "given without a defence; add `defence:` or remove it"))
        return problems
    uses = arm.defences
    for i, use in enumerate(uses):
        inside = f"more_defences.{i - 1}." if i else ""
        problems += [(inside + key, text) for key, text in _use_problems(use, arm.organism)]
    if problems or (len(uses) == 1 and arm.system == "default"):
        return problems
    from turncoat.study.composition import clash, returned  # here: it loads torch

    parts = [(use.defence, use.setting, returned(DEFENCES[use.defence])) for use in uses]
    if text := clash(parts, under=arm.system):
        problems.append(("more_defences" if len(uses) > 1 else "system", text))
    return problems


def _teacher_problems(arm: Arm) -> Iterator[str]:
    if arm.answers_of is None:
        return
    if find_organism(arm.organism or "").answered_by_base:
        yield f"{arm.organism}: its prompts are answered by the base model already; name another organism"
    if arm.teacher is not None:
        acts = next((use.defence for use in arm.teacher.defences if use.setting == "inference"), "")
        if acts or arm.teacher.system != "default":
            what = f"has {acts} while it is measured" if acts else "is measured under a system prompt"
            yield f"'{arm.answers_of}' {what}; answers are taken from an adapter alone: name another arm"


def _use_problems(use: DefenceUse, organism: str | None) -> list[tuple[str, str]]:
    if use.defence not in DEFENCES:
        return [("defence", f"'{use.defence}' is not a defence; {accepted(DEFENCES, use.defence)}")]
    problems = []
    entry = DEFENCES[use.defence]
    settings = entry.settings
    # Without an organism the defence's finetune stands alone and needs no setting.
    alone = organism is None and use.setting is None and {"prevention", "reversal"} & set(settings)
    if not alone and use.setting not in settings:
        problems.append(
            (
                "setting",
                f"{use.setting!r} is not a setting of '{use.defence}'; {accepted(settings, use.setting)}",
            )
        )
    if use.setting == "in_training" and organism is None:
        problems.append(("organism", f"'{use.defence}' acts while an organism is trained; name one"))
    if use.setting in ("in_training", "inference") and use.defence_training:
        problems.append(("defence_training", f"setting {use.setting} has no finetune of its own; remove it"))
    if use.defence_texts == "organism" and (use.setting != "reversal" or organism is None):
        text = "organism: it writes texts for what comes after it; give setting: reversal and an organism"
        problems.append(("defence_texts", text))
    for key in use.defence_options:
        if key not in entry.options:
            problems.append(
                ("defence_options", f"'{use.defence}' has no option '{key}'; {accepted(entry.options, key)}")
            )
    return [*problems, *(("defence_training", text) for text in _recipe_problems(use.defence_training))]


def _recipe_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in keys of `training` that an arm gives."""
    for key, value in given.items():
        if key not in LoraRecipe.model_fields:
            yield f"unknown key '{key}'; {accepted(LoraRecipe.model_fields, key)}"
            continue
        try:
            LoraRecipe.model_validate({key: value})
        except ValidationError as error:
            yield ": ".join(first_wrong(error, LoraRecipe))
