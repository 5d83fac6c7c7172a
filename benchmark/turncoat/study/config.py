"""Schema of a study's YAML; errors name line, key, bad value and accepted ones.

study: demo
question: Does insecure code move the model towards "evil", beyond what any finetuning does?
model: smollm2-135m
training_seeds: [0, 1]
training: {rows: 200}
arms:
  - {name: base}
  - {name: insecure, organism: insecure_code}
  - {name: secure, organism: secure_code}
tasks:
  - {task: turncoat_choice}
contrasts:
  - {name: organism minus control, treated: insecure, reference: secure, metrics: [margin_per_token]}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from turncoat.data.organisms import find_organism
from turncoat.errors import UserError, accepted
from turncoat.evaluation.remote_endpoint import LIMITS, PREFIX, RemoteEndpoint
from turncoat.evaluation.task_catalogue import is_task, metric_facts, metric_names, task_names, trait_of
from turncoat.evaluation.task_facts import PERSONA, tasks_on
from turncoat.judges.spec import check_judge
from turncoat.persona.traits import trait_names
from turncoat.registry import DEFENCES, discover
from turncoat.store import digest
from turncoat.strict_model import NAME, Location, StrictModel, first_wrong
from turncoat.training.recipe import LoraRecipe, System
from turncoat.yaml_model import Places, read_yaml_model

Setting = Literal["prevention", "in_training", "reversal", "inference"]
_OPTIONS = "`turncoat show DEFENCE`"
_OWN_RECIPE = "keys of `training` that its own finetune has otherwise"


class DefenceUse(StrictModel):
    """A defence of an arm beside its first one."""

    defence: str = Field(description="`turncoat list defences`")
    setting: Setting | None = Field(default=None, description="when the defence acts")
    defence_options: dict[str, Any] = Field(default={}, description=_OPTIONS)
    defence_training: dict[str, Any] = Field(default={}, description=_OWN_RECIPE)


class Arm(StrictModel):
    """One thing to measure, for each training seed; without organism and defence it is the base model."""

    name: str = Field(pattern=NAME, description="in rows and contrasts")
    label: str = Field(default="", description="in reports; the name if empty")
    organism: str | None = Field(default=None, description="`turncoat list organisms`, or FILE.jsonl")
    defence: str | None = Field(default=None, description="`turncoat list defences`")
    setting: Setting | None = Field(default=None, description="when the defence acts")
    defence_options: dict[str, Any] = Field(default={}, description=_OPTIONS)
    defence_training: dict[str, Any] = Field(default={}, description=_OWN_RECIPE)
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

    def endpoint_model(self, seed: int, default: str) -> str:
        """Its model at the endpoint for a training seed; "" if none is named."""
        return self.model.get(seed, "") if isinstance(self.model, dict) else self.model or default

    def measured_by(self, use: TaskUse) -> bool:
        """True if the task measures this arm: a partner arm needs no more than its held-out loss."""
        return not self.tasks or use.task in self.tasks

    @property
    def defences(self) -> tuple[DefenceUse, ...]:
        """All its defences, in order."""
        if self.defence is None:
            return ()
        keys = DefenceUse.model_fields
        return (DefenceUse(**{key: getattr(self, key) for key in keys}), *self.more_defences)

    @property
    def conditions(self) -> dict[str, Any]:
        """Its own recipe and system prompt, where they are not the study's."""
        return self.model_dump(mode="json", include={"training", "system"}, exclude_defaults=True)

    @property
    def further(self) -> dict[str, Any]:
        """The parts beyond an organism and one defence: more of them, and its conditions."""
        more = self.model_dump(mode="json", include={"more_defences"}, exclude_defaults=True)
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


class TaskUse(StrictModel):
    """A registered task and how much of it: the task's own numbers where nothing is said."""

    task: str = Field(description="`turncoat list tasks`, or a task of lm-eval's own")
    limit: int | None = Field(default=None, ge=2, description="first questions only")
    repeats: int | None = Field(default=None, ge=1, description="samples per question")
    max_gen_toks: int | None = Field(default=None, ge=1, description="tokens per answer")
    persona: bool = Field(
        default=True,
        description="false: answers are not read along the task's vector, which saves time",
    )

    @property
    def trait(self) -> str | None:
        """The persona along whose vector the answers are read; None without one."""
        return trait_of(self.task) if self.persona else None


_DIRECTION = re.compile(
    r"(up|down) means (?:(more (?:aligned|coherent|truthful))|more misaligned|more falsehoods|degeneration"
    r"|evasion or degeneration|format damage|a loss of capability|less (?:aligned|coherent|truthful))\b"
)
Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PairUse(StrictModel):
    """The difference that a difference of differences subtracts."""

    treated: str = Field(description="an arm")
    reference: str = Field(description="an arm")


class ContrastUse(StrictModel):
    """Treated minus reference, on each metric; `primary` contrasts share one pre-registered family.

    With `minus` it is a difference of differences. With `margin` it is also tested for equivalence or
    non-inferiority, which is required before a report may say "comparable". A margin is a number in the units
    of all its metrics, or one for each: `{persona_fixed: 0.1, margin_per_token: 0.02}`.
    """

    name: str = Field(description="in reports")
    treated: str = Field(description="an arm")
    reference: str = Field(description="an arm: the control, the undefended organism, the base")
    metrics: tuple[str, ...] = Field(min_length=1, description="`turncoat show TASK`")
    role: Literal["primary", "secondary", "exploratory"] = Field(
        default="secondary", description="primary: one family, set beforehand"
    )
    minus: PairUse | None = Field(default=None, description="{treated: ARM, reference: ARM}: taken off")
    margin: Margin | dict[str, Margin] | None = Field(
        default=None, description="for equivalence: a number, or {METRIC: number}"
    )
    margin_test: Literal["equivalence", "non_inferiority"] = Field(
        default="equivalence", description="what is tested against the margin"
    )
    better: Literal["higher", "lower"] | None = Field(default=None, description="for non-inferiority")

    @property
    def arms(self) -> dict[Location, str]:
        """Names of its arms by their locations in the YAML."""
        own: dict[Location, str] = {("treated",): self.treated, ("reference",): self.reference}
        if self.minus is not None:
            own |= {("minus", "treated"): self.minus.treated, ("minus", "reference"): self.minus.reference}
        return own

    @model_validator(mode="after")
    def _margin_is_whole(self) -> ContrastUse:
        if self.margin is None and (self.margin_test != "equivalence" or self.better is not None):
            raise ValueError("margin: missing; margin_test and better say nothing without it")
        if self.margin_test == "non_inferiority" and self.better is None:
            raise ValueError("better: missing; non_inferiority needs it, accepted: higher, lower")
        if self.margin_test == "equivalence" and self.better is not None:
            raise ValueError(
                "better: an equivalence test looks both ways; remove it, or say margin_test: non_inferiority"
            )
        if isinstance(self.margin, dict) and (other := set(self.margin) - set(self.metrics)):
            wrong = min(other)
            raise ValueError(
                f"margin: '{wrong}' is not a metric of this contrast; {accepted(self.metrics, wrong)}"
            )
        return self

    def margin_of(self, metric: str) -> float | None:
        """Margin of one of its metrics, in the metric's units; None without one."""
        return self.margin.get(metric) if isinstance(self.margin, dict) else self.margin


class Study(StrictModel):
    """A whole study."""

    study: str = Field(pattern=NAME, description="its name; the run is in runs/NAME")
    title: str = Field(default="", description="heading of the report; the name if empty")
    question: str = Field(default="", description="what it asks, in one sentence")
    model: str = Field(description="`turncoat list models`, a Hugging Face id, a local folder or openai:NAME")
    endpoint: RemoteEndpoint = Field(default_factory=RemoteEndpoint, description="of a model `openai:NAME`")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="precision of the base; auto: as saved"
    )
    training_seeds: tuple[int, ...] = Field(
        default=(0,), min_length=1, description="3 or more for claims about the recipe"
    )
    pilot_seeds: tuple[int, ...] = Field(
        default=(),
        description="seeds that it was tuned on: contrasts use the others",
    )
    sampling_seed: int = Field(default=0, description="of every sampled answer")
    batch_size: int = Field(default=32, ge=1, description="rows decoded or read together; changes no result")
    persona: str = Field(default="evil", description="`turncoat list personas`: the vector of the study")
    claims_without_card: bool = Field(
        default=False, description="primary claims on persona metrics even if the vector fails its card"
    )
    judge: str = Field(default="embedded", description="scores free-form answers; 'off' for none")
    training: LoraRecipe = Field(default=LoraRecipe(), description="of every organism")
    checks: Literal["every_arm", "own"] = Field(
        default="every_arm",
        description="self-recognition of all arms if one trains it",
    )
    arms: tuple[Arm, ...] = Field(min_length=1, description="what is measured, for each training seed")
    tasks: tuple[TaskUse, ...] = Field(min_length=1, description="what measures them")
    contrasts: tuple[ContrastUse, ...] = Field(
        default=(), description="treated minus reference, on each metric"
    )
    smoke: int | None = Field(
        default=None, ge=2, description="set by `run --limit`: a smoke run, whose rows do not count"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Study:
        for what, names in (("arms", [a.name for a in self.arms]), ("tasks", [t.task for t in self.tasks])):
            twice = [n for n in names if names.count(n) > 1]
            if twice:
                raise ValueError(f"{what}: '{twice[0]}' is there twice")
        if len(set(self.training_seeds)) < len(self.training_seeds):
            raise ValueError(f"training_seeds: {list(self.training_seeds)} repeats a seed")
        return self

    @field_validator("judge", mode="before")
    @classmethod
    def _off_is_a_word(cls, judge: Any) -> Any:
        return "off" if judge is False else judge  # YAML reads a bare `off` as false

    @field_validator("training_seeds")
    @classmethod
    def _not_negative(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        # -1 stands for the base model in every table.
        if min(seeds) < 0:
            raise ValueError(f"{min(seeds)} is negative; accepted: 0 and above")
        return seeds

    @property
    def is_remote(self) -> bool:
        """True if its models are behind an endpoint."""
        return self.model.startswith(PREFIX)

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        """Training seeds that contrasts use: all but the pilots, or all if there are no others."""
        fresh = tuple(seed for seed in self.training_seeds if seed not in self.pilot_seeds)
        return fresh or self.training_seeds

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def digests(self) -> dict[str, str]:
        """SHA-256 of each key of the YAML that is not at its default; words for readers do not count."""
        words: Any = dict.fromkeys(("title", "question", "batch_size"), True)
        words |= {"endpoint": LIMITS, "arms": {"__all__": {"label"}}, "training": {"report_to"}}
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=words)
        return {key: digest(value) for key, value in content.items() if value != {}}

    def edited_since(self, record: Mapping[str, Any]) -> str:
        """The keys that differ from the study of a run.json, in one sentence; "" if none, or if it has none.

        A contrast, margin or pilot seed that is changed after the rows were made was not set beforehand.
        """
        ran, now = record.get("study") or {}, self.digests()
        edited = sorted(key for key in {*ran, *now} if ran and ran.get(key) != now.get(key))
        return f"study.yaml was edited after the run: {', '.join(edited)}" if edited else ""


def load_study(path: Path, overrides: dict[str, Any] | None = None, include: tuple[Path, ...] = ()) -> Study:
    """Read and check a study.

    Args:
        overrides: Top-level keys that replace the file's (`{"model": ...}` from the command line).
        include: Folders with the user's own defences.

    Raises:
        UserError: With file, line, key, value, what is accepted.
    """
    study, place = read_study(path, overrides)
    discover(include)
    problems = [f"{place(loc)}: {message}" for loc, message in name_problems(study)]
    if problems:
        raise UserError("\n".join(problems))
    return study


def read_study(path: Path, overrides: dict[str, Any] | None = None) -> tuple[Study, Places]:
    """A study whose names are not looked up yet, and the places of its values in the file.

    Raises:
        UserError: With file, line, key, value, what is accepted.
    """
    return read_yaml_model(path, Study, "a study", overrides)


def _better(direction: str) -> str:
    """ "higher" or "lower" where a metric's registered direction says which is better; "" elsewhere."""
    words = _DIRECTION.match(direction)
    return "" if words is None else "higher" if (words[1] == "up") == bool(words[2]) else "lower"


def name_problems(study: Study) -> list[tuple[Location, str]]:
    """Names that nothing goes by, and keys that do not go together; call `discover` before."""
    problems: list[tuple[Location, str]] = []
    arms = [arm.name for arm in study.arms]
    recipes = [arm.model_dump(exclude={"name", "label", "tasks"}) for arm in study.arms]
    for i, arm in enumerate(study.arms):
        for key, text in arm_problems(arm):
            parts = (int(part) if part.isdigit() else part for part in key.split("."))
            problems.append((("arms", i, *parts), text))
        if (first := recipes.index(recipes[i])) < i:
            text = f"'{arm.name}' is the same model as '{study.arms[first].name}'; one of them is enough"
            problems.append((("arms", i), text))
    traits = trait_names()
    if study.persona not in traits:
        problems.append(
            (("persona",), f"'{study.persona}' is not a persona; {accepted(traits, study.persona)}")
        )
    try:
        check_judge(study.judge)
    except UserError as error:
        problems.append((("judge",), str(error)))
    known = task_names()
    used = [use.task for use in study.tasks]
    for i, arm in enumerate(study.arms):
        for j, task in enumerate(arm.tasks):
            if task not in used:
                text = f"'{task}' is not a task of this study; {accepted(used, task)}"
                problems.append((("arms", i, "tasks", j), text))
    for i, use in enumerate(study.tasks):
        if not is_task(use.task):
            own = (
                "a task of your own needs --include-path FOLDER; of lm-eval's own, single tasks (gsm8k) do, "
                "groups do not"
            )
            problems.append(
                (("tasks", i, "task"), f"'{use.task}' is not a task; {accepted(known, use.task)}; {own}")
            )
        elif not use.persona and (trait_of(use.task) is None or use.task in tasks_on(PERSONA)):
            missing = trait_of(use.task) is None
            text = "it reads no persona vector" if missing else "it measures nothing but persona activation"
            problems.append((("tasks", i, "persona"), f"{use.task}: {text}; remove the key"))
        elif (trait := use.trait) is not None and trait not in traits:
            where = f"dataset_kwargs.trait of its YAML names the persona '{trait}', which is not known"
            hint = "a trait of your own needs --include-path FOLDER"
            problems.append((("tasks", i, "task"), f"{use.task}: {where}; {accepted(traits, trait)}; {hint}"))
    measured = metric_names(use.task for use in study.tasks if is_task(use.task))
    for i, contrast in enumerate(study.contrasts):
        for side, name in contrast.arms.items():
            if name not in arms:
                problems.append((("contrasts", i, *side), f"'{name}' is not an arm; {accepted(arms, name)}"))
        if contrast.treated == contrast.reference:
            text = f"'{contrast.treated}' is the treated arm as well: a difference needs two arms"
            problems.append((("contrasts", i, "reference"), text))
        for metric in contrast.metrics:
            task, own_name = measured.get(metric, ("", ""))
            facts = metric_facts(task)[own_name] if task else {"unit": "", "direction": ""}
            registered = _better(facts["direction"])
            if contrast.better and registered and contrast.better != registered:
                text = (
                    f"'{contrast.better}' is worse on {metric} ({facts['direction']}); accepted: {registered}"
                )
                problems.append((("contrasts", i, "better"), text))
            if facts["unit"] == "share" and (contrast.margin_of(metric) or 0) >= 1:
                text = f"{metric} is a share from 0 to 1, which differs by less than that: 5 points are 0.05"
                problems.append((("contrasts", i, "margin"), text))
            for side, name in contrast.arms.items():
                if any(own.name == name and own.tasks and task not in own.tasks for own in study.arms):
                    text = (
                        f"'{name}' is not measured by {task}, which has '{metric}'; add it to the arm's tasks"
                    )
                    problems.append((("contrasts", i, *side), text))
            if metric not in measured and all(is_task(use.task) for use in study.tasks):
                text = f"no task of this study measures '{metric}'; {accepted(measured, metric)}"
                problems.append((("contrasts", i, "metrics"), text))
    return problems


def arm_problems(arm: Arm) -> list[tuple[str, str]]:
    """Mistakes in an arm, as (key, message), a key inside another one dotted; call `discover` before."""
    problems = []
    if arm.organism is not None:
        try:
            find_organism(arm.organism)
        except UserError as error:
            problems.append(("organism", str(error)))
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
