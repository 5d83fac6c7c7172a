"""Plan of a study: its units and their stages in order, with readable ids and estimated seconds.

    plan = study_plan(study, organism=adapters.organism)
    [unit.id for unit in plan.units]         # ["vector/evil", "base", "insecure/0", ...]
    [stage.id for stage in plan.stages]      # ["vector/evil", "base/turncoat_choice", ...]

A unit is what one process makes: a persona vector, or an arm with one training seed. A plan makes nothing:
`worker.py` makes stages, by their keys.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from turncoat.data.examples import Example
from turncoat.errors import UserError, accepted
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.persona.extract import TOKENS, answer_count
from turncoat.persona.traits import trait_questions
from turncoat.registry import DEFENCES
from turncoat.study.arm_config import Arm
from turncoat.study.arms.steps import Acting, Step, steps_of
from turncoat.study.config import Study, TaskUse
from turncoat.study.evaluate import load_task
from turncoat.study.units.speeds import REFERENCE, Speeds

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
    """An arm with one training seed ("insecure/0"), one that is not trained ("base"), or "vector/evil"."""

    id: str
    label: str
    stages: tuple[Stage, ...]
    arm: Arm | None = None  # None for a vector
    seed: int = BASE_SEED
    # Ids of stages of earlier units that it uses: made there, it finds them; else it makes or awaits them
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that is made for a study before its rows are gathered."""

    units: tuple[
        Unit, ...
    ]  # The vectors that are read or may be acted along (the study's first), the base model, the other arms

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in order."""
        return tuple(stage for unit in self.units for stage in unit.stages)

    def unit(self, name: str) -> Unit:
        """The unit with this id.

        Raises:
            UserError: There is none.
        """
        units = {unit.id: unit for unit in self.units}
        if name not in units:
            raise UserError(f"'{name}' is not a unit of this study; {accepted(units, name)}")
        return units[name]

    @property
    def cost(self) -> float:
        """Estimated seconds if nothing is done yet."""
        return sum(stage.cost for stage in self.stages)


def study_plan(
    study: Study,
    *,
    organism: Callable[[str], Sequence[Example]],
    speeds: Speeds = REFERENCE,
    unknown: Collection[str] = (),
) -> Plan:
    """Plan a study. Its tasks are built here: missing data are an error before anything is trained.

    Args:
        organism: Gives the rows of an organism by its name.
        speeds: Of the base model; the progress display corrects what they say.
        unknown: Organisms and tasks whose data are not here: they are not built, and cost nothing.

    Raises:
        UserError: A task's data are missing.
    """
    return _Planner(study, organism, speeds, unknown).plan()


class _Planner:
    def __init__(
        self,
        study: Study,
        organism: Callable[[str], Sequence[Example]],
        speeds: Speeds,
        unknown: Collection[str],
    ) -> None:
        self.study, self.organism, self.speeds, self.unknown = study, organism, speeds, unknown
        self._sizes = {use.task: self._size(use) for use in study.tasks}
        self._ids: Counter[str] = Counter()
        self._makers: dict[Any, str] = {}  # what is made -> id of the stage that makes it first
        self._needs: set[str] = set()  # such stages, of the unit that is being planned
        # Checks that are shown for all arms, such as self-recognition, of the defences that the study trains.
        steps = [
            step for arm in study.arms for step in steps_of(arm, study.training) if step.kind == "defence"
        ]
        trained = dict.fromkeys(one for step in steps for one in step.defences)
        self._every_arm = [
            one
            for one in trained
            if study.checks == "all" or (study.checks == "every_arm" and DEFENCES[one[0]].check_every_arm)
        ]

    def plan(self) -> Plan:
        read = [trait for use in self.study.tasks if (trait := use.trait) is not None]
        acts = any(arm.defence for arm in self.study.arms)  # along the study's vector, perhaps
        own = [self.study.persona] if acts or self.study.persona in read else []
        vectors = [self._vector(trait) for trait in dict.fromkeys([*own, *read])]
        arms = sorted(self.study.arms, key=lambda arm: not arm.is_base)
        seeds = self.study.training_seeds
        units = [
            self._unit(arm, seed) for arm in arms for seed in (seeds if arm.is_trained else (BASE_SEED,))
        ]
        return Plan((*vectors, *units))

    def _vector(self, trait: str) -> Unit:
        cost = answer_count(trait_questions(trait)) * TOKENS / self.speeds.write
        label = f"persona vector '{trait}'"
        stage = Stage(self._id(f"vector/{trait}"), "vector", label, cost, trait=trait)
        self._makers["vector", trait] = stage.id
        return Unit(stage.id, label, (stage,))

    def _unit(self, arm: Arm, seed: int) -> Unit:
        name, label = (
            (arm.name, arm.name) if seed == BASE_SEED else (f"{arm.name}/{seed}", f"{arm.name}, seed {seed}")
        )
        self._needs = set()
        stages = tuple(self._stages(name, label, arm, seed))
        # A defence may act along any of the study's vectors.
        read = {use.trait for use in self.study.tasks if arm.measured_by(use.task)}
        vectors = {
            maker
            for made, maker in self._makers.items()
            if made[0] == "vector" and (arm.defence or made[1] in read)
        }
        needs = (self._needs | vectors) - {stage.id for stage in stages}
        return Unit(name, label, stages, arm, seed, tuple(sorted(needs)))

    def _stages(self, unit: str, label: str, arm: Arm, seed: int) -> Iterator[Stage]:
        def stage(
            kind: str, name: str, words: str, cost: float, steps: tuple[Step, ...], **more: Any
        ) -> Stage:
            return Stage(self._id(f"{unit}/{name}"), kind, words, cost, arm.name, seed, steps, **more)

        def first(stage: Stage, *made: Any) -> Stage:
            """The stage; it costs nothing if an earlier one makes the same thing."""
            return replace(stage, cost=0.0) if self._maker(stage.id, *made) != stage.id else stage

        all_steps = tuple(steps_of(arm, self.study.training))
        for n, step in enumerate(all_steps, start=1):
            steps = all_steps[:n]
            number = "" if steps == all_steps else f"-{n}"  # "adapter" alone is the arm's own
            examples = f"{unit}/examples{number}"
            cost = _EXAMPLES_TOKENS / self.speeds.write
            if step.during:
                # A defence may start from the undefended adapter.
                self._known("adapter", (*steps[:-1], replace(step, during=())), seed)
                acting = " and ".join(name for name, _ in step.during)
                yield stage("examples", f"examples{number}", f"{label}: prepare {acting}", cost, steps)
            if step.teacher:
                self._known("adapter", step.teacher, seed)
            written = not step.during and (step.kind == "defence" or step.answered_anew)
            if written and self._maker(examples, "examples", step.examples_key(seed)) == examples:
                yield stage("examples", f"examples{number}", f"examples of {step.name}", cost, steps)
            made = stage(
                "adapter",
                f"adapter{number}",
                f"{label}: train {step.name}",
                self._training_seconds(step),
                steps,
            )
            yield first(made, "adapter", steps, seed)
            # A check that is shown for every arm is not repeated where it has just been made.
            # A check's own texts are the base's: it says nothing of a finetune on others.
            checks = [] if step.kind == "defence" and step.teacher else list(step.defences)
            checks += [one for one in self._every_arm if steps == all_steps and one not in checks]
            for one in checks:
                if DEFENCES[one[0]].check:
                    words = f"{label}: check of {one[0]}"
                    cost = _CHECK_SECONDS * REFERENCE.write / self.speeds.write
                    made = stage("check", f"check-{one[0]}", words, cost, steps, acting=one)
                    yield first(made, "check", one, steps, seed)
        for use in (use for use in self.study.tasks if arm.measured_by(use.task)):
            cost, requests = self._sizes[use.task]
            yield stage(
                "rows", use.task, f"{label}: {use.task}", cost, all_steps, task=use, requests=requests
            )

    def _id(self, name: str) -> str:
        self._ids[name] += 1
        return name if self._ids[name] == 1 else f"{name}-{self._ids[name]}"

    def _maker(self, stage: str, *made: Any) -> str:
        """Id of the stage that makes something first: this one's, or that of one that is needed then."""
        return self._known(*made) or self._makers.setdefault(made, stage)

    def _known(self, *made: Any) -> str | None:
        """Id of an earlier stage that makes it, which the unit needs; None if there is none yet."""
        maker = self._makers.get(made)
        if maker is not None:
            self._needs.add(maker)
        return maker

    def _training_seconds(self, step: Step) -> float:
        if step.kind == "defence":
            tokens: float = _DEFENCE_EXAMPLES * _DEFENCE_TOKENS * step.recipe.epochs
        elif step.name in self.unknown:
            tokens = 0.0
        else:
            rows = self.organism(step.name)
            per_row = sum(len(row.prompt) + len(row.answer) for row in rows) / len(rows) / 3.3 + 30
            # A defence at work costs a second pass over the batch, more or less.
            passes = step.recipe.epochs * (1.5 if step.during else 1.0)
            tokens = min(per_row, step.recipe.max_length) * (step.recipe.rows or len(rows)) * passes
        return tokens / self.speeds.train

    def _size(self, use: TaskUse) -> tuple[float, int]:
        """(estimated seconds, requests) of a task for one arm."""
        if use.task in self.unknown:
            return 0.0, 0
        task = load_task(use)
        documents = len(task.eval_docs)
        documents = min(use.limit or documents, documents)
        if task.OUTPUT_TYPE != "generate_until":
            return 2.0 * documents * _PROMPT_TOKENS / self.speeds.read, 2 * documents
        answers = documents * int(task.config.repeats)
        length = task.config.generation_kwargs.get("max_gen_toks", _LM_EVAL_TOKENS)
        seconds = answers * length / self.speeds.write
        return seconds + 2.0 * answers * (_PROMPT_TOKENS + length) / self.speeds.read, answers
