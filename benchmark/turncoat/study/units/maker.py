"""One unit of a study made on one base model, with an event for each thing that happens.

    worker, plan = planned(study, base, store)
    UnitMaker(worker, plan).make(plan.unit("insecure/0"), tell=print)

A study in one process, `turncoat run STUDY --only UNIT` and the workers of every engine make units here.
"""

import ctypes
import gc
import resource
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from turncoat.engine.base_model import BaseModel
from turncoat.errors import TrainingDiverged
from turncoat.evaluation.task_catalogue import hub_dataset
from turncoat.judges.spec import check_ready
from turncoat.persona.vectors import PersonaVector
from turncoat.store import StageBusy, Store
from turncoat.study.config import Study
from turncoat.study.evaluate import judge_of
from turncoat.study.units.plan import Plan, Stage, Unit, study_plan
from turncoat.study.units.speeds import REFERENCE
from turncoat.study.units.worker import Worker


@dataclass(frozen=True)
class Event:
    """Something that happened to a unit; plain values, so that it travels between processes and hosts."""

    # "begin", "progress" and "made" of a stage, "note"; a unit ends with "done", "diverged" (its training),
    # "refused" (a mistake of the user's), "failed" (any other error), "lost" (its worker is gone) or "busy"
    # (another process is making a stage of it: it comes later again)
    kind: str
    unit: str
    stage: str = ""  # Id of the stage
    text: str = ""  # Note of the progress, or what went wrong
    done: float = 0.0  # Of progress: how much of `total`
    total: float = 1.0
    seconds: float = 0.0  # Of "made": how long the stage took
    result: str = ""  # Of "made": its place in the store, "rows/0123..."
    before: bool = False  # Of "made": the stage was there before
    complete: bool = True  # Of "made": False if it was there without all verdicts, which are asked for again
    peak: float = 0.0  # Of "done": most memory of the process so far, in GiB

    @property
    def ends(self) -> bool:
        """True if nothing more comes of this unit."""
        return self.kind in ("done", "diverged", "refused", "failed", "lost", "busy")


Tell = Callable[[Event], None]


def planned(
    study: Study,
    base: BaseModel,
    store: Store,
    log: Callable[[str], None] | None = None,
) -> tuple[Worker, Plan]:
    """A worker of the study and its plan.

    Args:
        log: Called with a line on what has to be made or fetched first.

    Raises:
        UserError: A task's data are missing.
    """
    worker = Worker(study, base, store, log)
    # Tasks are built for the plan, before anything is trained: a first use of the hub is said before that.
    for use in study.tasks:
        if dataset := hub_dataset(use.task):
            worker.adapters.log(
                f"{use.task} is a task of lm-eval's own: {dataset} is fetched from the Hugging Face hub on "
                "first use"
            )
    speeds = REFERENCE.of(base.model.num_parameters())
    return worker, study_plan(study, organism=worker.adapters.organism, speeds=speeds)


class UnitMaker:
    """Makes units of one study, one after the other, on the base model of its worker."""

    def __init__(self, worker: Worker, plan: Plan) -> None:
        self.worker, self.plan = worker, plan
        study = worker.study
        self._judge_works = not any(judge_of(study.judge, use.task) for use in study.tasks)
        self._ready: set[str] = set()  # units whose rows vLLM may be asked for with those of another unit
        self._diverged: set[str] = set()

    def make_all(self, tell: Tell) -> None:
        """Make all units in the plan's order, but those that another process is at work on last.

        Where vLLM measures several adapters in one call, all of them are trained before any is measured.

        Raises:
            UserError: As `make`.
        """
        left, in_a_row = deque(self.plan.units), 0
        if self._many_at_once:
            left.extendleft(reversed([_without_rows(unit) for unit in self.plan.units]))
        while left:
            unit, store = left.popleft(), self.worker.store
            if unit.id in self._diverged:
                continue
            try:
                # Others make all that is left: now it is time to wait.
                with nullcontext() if in_a_row > len(left) else store.not_waiting():
                    self.make(unit, tell)
                in_a_row = 0
                if self._many_at_once and unit.id not in self._diverged:
                    self._ready.add(unit.id)
            except StageBusy as error:
                tell(Event("busy", unit.id, text=str(error)))
                left.append(unit)
                in_a_row += 1

    def make(self, unit: Unit, tell: Tell) -> None:
        """Make what is missing of a unit. A finetune that diverges is an event, not an error.

        Raises:
            UserError: Something is to be made, and the judge does not work.
            StageBusy: Inside `not_waiting()` of the store.
        """
        self.worker.adapters.log = self.worker.store.log = lambda text: tell(
            Event("note", unit.id, text=text)
        )
        try:
            with self.worker.unit():
                for stage in unit.stages:
                    self._make(unit, stage, tell)
        except TrainingDiverged as error:
            self._diverged.add(unit.id)
            tell(Event("diverged", unit.id, text=str(error)))
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            tell(Event("done", unit.id, peak=round(peak, 2)))

    def _make(self, unit: Unit, stage: Stage, tell: Tell) -> None:
        made, done = self.worker.made(stage), self.worker.done(stage)
        if not (done or self._judge_works):
            check_ready(self.worker.study.judge)
            self._judge_works = True
        begun = time.perf_counter()
        if not done:
            tell(Event("begin", unit.id, stage.id))

        def progress(part: float, total: float, note: str = "") -> None:
            tell(Event("progress", unit.id, stage.id, note, part, total))

        folder = self.worker.make(stage, progress, () if made else self._together(stage))
        note = _vector_note(folder) if stage.kind == "vector" and folder and not made else ""
        event = Event("made", unit.id, stage.id, note, seconds=time.perf_counter() - begun, before=made)
        place = folder.relative_to(self.worker.store.root).as_posix() if folder else ""
        tell(replace(event, result=place, complete=done or not made))
        if not done:
            return_memory()

    @property
    def _many_at_once(self) -> bool:
        return self.worker.vllm is not None and not self.worker.vllm.arms.merges

    def _together(self, stage: Stage) -> list[Stage]:
        """Missing rows of the task of other arms that are trained and get the same prompts."""
        if stage.task is None or not self._ready:
            return []
        acting = self.worker.intervention(stage.arm)
        if acting is not None and not acting.on_prompts_alone:  # our engine's
            return []
        others = (one for unit in self.plan.units if unit.id in self._ready for one in unit.stages)
        same = [one for one in others if one.task == stage.task and one.id != stage.id]
        prompts = acting and acting.described()
        return [
            one
            for one in same
            if ((part := self.worker.intervention(one.arm)) and part.described()) == prompts
            and not self.worker.made(one)
        ]


def _without_rows(unit: Unit) -> Unit:
    return replace(unit, stages=tuple(stage for stage in unit.stages if stage.kind != "rows"))


def return_memory() -> None:
    """Give freed memory back to the system.

    glibc keeps what lies between blocks in use, so that each stage's peak would come on top of what the
    largest one before it left. Nothing happens with other C libraries.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _vector_note(folder: Path) -> str:
    vector = PersonaVector.load(folder)
    return (
        f"layer {vector.layer} of {len(vector.directions) - 1}, fixed now: it ranks "
        f"{vector.card['pairs_ranked_right']:.0%} of {vector.card['n_selection_pairs']} pairs right"
    )
