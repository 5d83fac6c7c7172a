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
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from turncoat.errors import UserError, accepted
from turncoat.evaluation.remote_endpoint import LIMITS, PREFIX, RemoteEndpoint
from turncoat.evaluation.task_catalogue import is_task, metric_facts, metric_names, trait_of, unknown_task
from turncoat.evaluation.task_facts import PERSONA, tasks_on
from turncoat.judges.spec import check_judge
from turncoat.persona.traits import trait_names
from turncoat.registry import discover
from turncoat.store import digest
from turncoat.strict_model import NAME, Location, StrictModel
from turncoat.study.arm_config import Arm, arm_problems
from turncoat.training.recipe import LoraRecipe
from turncoat.yaml_model import Places, read_yaml_model


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
    generation: Literal["turncoat", "vllm"] = Field(
        default="turncoat", description="engine of the arms' sampled answers; vllm is in another Python"
    )
    log_likelihoods: Literal["turncoat", "vllm"] = Field(
        default="turncoat", description="engine of the arms' log-likelihoods, as generation"
    )
    batch_size: int = Field(default=32, ge=1, description="rows decoded or read together; changes no result")
    persona: str = Field(default="evil", description="`turncoat list personas`: the vector of the study")
    claims_without_card: bool = Field(
        default=False, description="primary claims on persona metrics even if the vector fails its card"
    )
    judge: str = Field(default="embedded", description="scores free-form answers; 'off' for none")
    training: LoraRecipe = Field(default=LoraRecipe(), description="of every organism")
    checks: Literal["every_arm", "own", "all"] = Field(
        default="every_arm",
        description="own: of each defence where it is trained; every_arm: self-recognition at the end of all "
        "arms too, if one trains it; all: every defence's check at the end of all arms",
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
        for i, arm in enumerate(self.arms):
            arm.taught_by(self.arms[:i])
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
        if arm.answers_of is not None and arm.teacher is None:
            text = f"'{arm.answers_of}' is not an arm above this one; {accepted(arms[:i], arm.answers_of)}"
            problems.append((("arms", i, "answers_of"), text))
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
            problems.append((("tasks", i, "task"), f"{unknown_task(use.task)}; {own}"))
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
