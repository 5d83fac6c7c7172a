"""Plan of a study: its units and their stages in order, with readable ids and estimated seconds.

    plan = study_plan(study, organism=adapters.organism)
    [stage.id for stage in plan.stages]      # ["vector/evil", "base/turncoat_choice", ...]

A unit is an arm with one training seed. A plan makes nothing: `worker.py` makes stages, by their keys.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from turncoat.data.examples import Example
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.evaluation.task_catalogue import trait_of
from turncoat.persona.extract import TOKENS, answer_count
from turncoat.persona.traits import trait_questions
from turncoat.registry import DEFENCES
from turncoat.study.config import Arm, Study, TaskUse
from turncoat.study.evaluate import load_task
from turncoat.study.steps import Acting, Step, steps_of

REFERENCE_PARAMETERS = 135e6
# Tokens per second of a 135M model in bfloat16 on two idle cores; the progress display corrects itself.
_TRAIN, _WRITE, _READ = 420.0, 170.0, 1600.0
_PROMPT_TOKENS = 60  # a question with the chat template around it
_LM_EVAL_TOKENS = 256  # longest answer of a task of lm-eval's own that names no limit
_DEFENCE_EXAMPLES, _DEFENCE_TOKENS = 64, 220  # before the defence's examples exist
_EXAMPLES_TOKENS = _DEFENCE_EXAMPLES / 2 * 30  # that the base model writes for them
_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class Stage:
    """One thing to make."""

    id: str  # Stable name within the study
    # "vector" (extract a persona vector), "examples" (write those of the last step with the base model, or
    # prepare the defence that acts in it), "adapter" (train the last step), "check" (run a manipulation check
    # on the adapter and on the base model) or "rows" (evaluate the arm on a task)
    kind: str
    label: str  # Name in progress output
    cost: float  # Estimated seconds; 0 if an earlier stage of the plan makes the same thing
    arm: str = ""  # The name of its arm; empty for a vector
    seed: int = BASE_SEED  # Training seed; `BASE_SEED` for an arm that is not trained
    steps: tuple[Step, ...] = ()  # The finetunes of the adapter that it is about
    acting: Acting | None = None  # Of a check: the defence and its options
    task: TaskUse | None = None  # Of rows: the task
    requests: int = 0  # Of rows: about how many answers or log-likelihoods lm-eval asks for
    trait: str = ""  # Of a vector: the persona


@dataclass(frozen=True)
class Unit:
    """An arm with one training seed, such as "insecure/0", or an arm that is not trained, such as "base"."""

    id: str
    label: str
    arm: Arm
    seed: int
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Plan:
    """All that is made for a study before its rows are gathered."""

    vectors: tuple[Stage, ...]  # The study's persona first, then those that its tasks read beside it
    units: tuple[Unit, ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in order."""
        return (*self.vectors, *(stage for unit in self.units for stage in unit.stages))

    @property
    def cost(self) -> float:
        """Estimated seconds if nothing is done yet."""
        return sum(stage.cost for stage in self.stages)


def study_plan(study: Study, *, organism: Callable[[str], Sequence[Example]], scale: float = 1.0) -> Plan:
    """Plan a study. Its tasks are built here: missing data are an error before anything is trained.

    Args:
        organism: Gives the rows of an organism by its name.
        scale: The base model's parameters over `REFERENCE_PARAMETERS`: costs are proportional to it.

    Raises:
        UserError: A task's data are missing.
    """
    return _Planner(study, organism, scale).plan()


class _Planner:
    def __init__(self, study: Study, organism: Callable[[str], Sequence[Example]], scale: float) -> None:
        self.study, self.organism, self.scale = study, organism, scale
        self._sizes = {use.task: self._size(use) for use in study.tasks}
        self._ids: Counter[str] = Counter()
        self._planned: set[Any] = set()
        # Checks that are shown for all arms, such as self-recognition, of the defences that the study trains.
        steps = [
            step for arm in study.arms for step in steps_of(arm, study.training) if step.kind == "defence"
        ]
        trained = dict.fromkeys(step.acting for step in steps if study.checks == "every_arm")
        self._every_arm = [acting for acting in trained if acting and DEFENCES[acting[0]].check_every_arm]

    def plan(self) -> Plan:
        read = [trait for use in self.study.tasks if (trait := trait_of(use.task)) is not None]
        vectors = tuple(map(self._vector, dict.fromkeys([self.study.persona, *read])))
        arms = sorted(self.study.arms, key=lambda arm: not arm.is_base)
        seeds = self.study.training_seeds
        units = [
            self._unit(arm, seed) for arm in arms for seed in (seeds if arm.is_trained else (BASE_SEED,))
        ]
        return Plan(vectors, tuple(units))

    def _vector(self, trait: str) -> Stage:
        cost = answer_count(trait_questions(trait)) * TOKENS / _WRITE * self.scale
        return Stage(self._id(f"vector/{trait}"), "vector", f"persona vector '{trait}'", cost, trait=trait)

    def _unit(self, arm: Arm, seed: int) -> Unit:
        name, label = (
            (arm.name, arm.name) if seed == BASE_SEED else (f"{arm.name}/{seed}", f"{arm.name}, seed {seed}")
        )
        return Unit(name, label, arm, seed, tuple(self._stages(name, label, arm, seed)))

    def _stages(self, unit: str, label: str, arm: Arm, seed: int) -> Iterator[Stage]:
        def stage(
            kind: str, name: str, words: str, cost: float, steps: tuple[Step, ...], **more: Any
        ) -> Stage:
            return Stage(self._id(f"{unit}/{name}"), kind, words, cost, arm.name, seed, steps, **more)

        all_steps = tuple(steps_of(arm, self.study.training))
        for n, step in enumerate(all_steps, start=1):
            steps = all_steps[:n]
            number = "" if steps == all_steps else f"-{n}"  # "adapter" alone is the arm's own
            if words := self._examples_label(label, step, seed):
                yield stage(
                    "examples", f"examples{number}", words, _EXAMPLES_TOKENS / _WRITE * self.scale, steps
                )
            cost = 0.0 if self._again("adapter", steps, seed) else self._training_seconds(step)
            yield stage("adapter", f"adapter{number}", f"{label}: train {step.name}", cost, steps)
            # A check that is shown for every arm is not repeated where it has just been made.
            checks = [step.acting] if step.acting else []
            checks += [acting for acting in self._every_arm if steps == all_steps and acting != step.acting]
            for acting in checks:
                if DEFENCES[acting[0]].check:
                    words = f"{label}: check of {acting[0]}"
                    cost = 0.0 if self._again("check", acting, steps, seed) else _CHECK_SECONDS * self.scale
                    yield stage("check", f"check-{acting[0]}", words, cost, steps, acting=acting)
        for use in filter(arm.measured_by, self.study.tasks):
            cost, requests = self._sizes[use.task]
            yield stage(
                "rows", use.task, f"{label}: {use.task}", cost, all_steps, task=use, requests=requests
            )

    def _examples_label(self, label: str, step: Step, seed: int) -> str:
        """Progress label of the stage before a step's training; empty if there is nothing to prepare."""
        if step.during is not None:
            return f"{label}: prepare {step.during[0]}"
        written = step.kind == "defence" or step.answered_by_base
        return (
            f"examples of {step.name}"
            if written and not self._again("examples", step.examples_key(seed))
            else ""
        )

    def _id(self, name: str) -> str:
        self._ids[name] += 1
        return name if self._ids[name] == 1 else f"{name}-{self._ids[name]}"

    def _again(self, *what: Any) -> bool:
        """True if the plan has a stage for the same thing already."""
        known = what in self._planned
        self._planned.add(what)
        return known

    def _training_seconds(self, step: Step) -> float:
        if step.kind == "defence":
            tokens: float = _DEFENCE_EXAMPLES * _DEFENCE_TOKENS * step.recipe.epochs
        else:
            rows = self.organism(step.name)
            per_row = sum(len(row.prompt) + len(row.answer) for row in rows) / len(rows) / 3.3 + 30
            # A defence at work costs a second pass over the batch, more or less.
            passes = step.recipe.epochs * (1.5 if step.during else 1.0)
            tokens = min(per_row, step.recipe.max_length) * (step.recipe.rows or len(rows)) * passes
        return tokens / _TRAIN * self.scale

    def _size(self, use: TaskUse) -> tuple[float, int]:
        """(estimated seconds, requests) of a task for one arm."""
        task = load_task(use)
        documents = len(task.eval_docs)
        documents = min(use.limit or documents, documents)
        if task.OUTPUT_TYPE != "generate_until":
            return 2.0 * documents * _PROMPT_TOKENS / _READ * self.scale, 2 * documents
        answers = documents * int(task.config.repeats)
        length = task.config.generation_kwargs.get("max_gen_toks", _LM_EVAL_TOKENS)
        seconds = answers * length / _WRITE + 2.0 * answers * (_PROMPT_TOKENS + length) / _READ
        return seconds * self.scale, answers
