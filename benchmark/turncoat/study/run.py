"""Run of a study: the stages of its plan that are not done yet, then the rows gathered in one folder."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.outline import NoWeights
from turncoat.errors import UserError
from turncoat.formats import counted, first_of, weights
from turncoat.judges.spec import check_host
from turncoat.plug_ins import included
from turncoat.safe_files import check_writable
from turncoat.shown_text import TextConsole, visible
from turncoat.store import Store
from turncoat.study.before_run.out_folder import check_out, claim
from turncoat.study.carried import Carried, missing_units, persona_record
from turncoat.study.config import Study
from turncoat.study.engines import Engine, drive, job_of
from turncoat.study.evaluate import judge_of
from turncoat.study.gather import Made, gather, judge_record
from turncoat.study.progress import StudyProgress, duration
from turncoat.study.progress_file import ProgressFile
from turncoat.study.remote import refuse_remote_mistakes, run_remote
from turncoat.study.units.done import LookingStore, done_stages
from turncoat.study.units.maker import Event, Tell, UnitMaker, planned
from turncoat.study.units.plan import Plan
from turncoat.study.units.worker import Worker


def run_study(
    study: Study,
    out: Path,
    *,
    store: Store | None = None,
    console: Console | None = None,
    replace: bool = False,
    engine: Engine | None = None,
    tell: Tell | None = None,
    carried: Carried | None = None,
    make: bool = True,
) -> list[str]:
    """Make what is missing and gather the rows.

    Args:
        out: Run folder; rows of an earlier run of this study there are replaced.
        store: Where stages are kept; the user cache by default.
        replace: Other rows in `out` may go, too.
        engine: Makes the units elsewhere (`engine_from_name`); this process, by default.
        tell: Called with each event of a unit, wherever it is made.
        carried: Units of an earlier run that count as made.
        make: Make what is missing; else gather the units that are made, and record which are not.

    Raises:
        UserError: `out` or the store cannot be written to, `out` holds other rows, or something is to be made
            and the judge does not work; nothing is made, and `make` is false.

    Returns:
        The units whose training diverged, such as "sgtr, seed 1"; the others are complete.
    """
    console, store = console or TextConsole(stderr=True), store or Store()
    refuse_remote_mistakes(study)
    if study.is_remote:
        if engine is not None or carried is not None or not make:
            raise UserError(
                "a study of an endpoint is made whole, in this process; leave --engine, --with and --no-make "
                "out"
            )
        return run_remote(study, out, store=store, console=console, replace=replace)
    if leaving := check_out(out, study, replace=replace):
        console.print(f"  {leaving}")
    worker, plan = _started(study, store, console, outline=engine is not None or not make)
    if carried is not None:
        carried.check(worker.base, judge_record(study))
        plan = carried.rest(plan)
        console.print(f"  {counted(len(carried.units), 'unit')} of {carried.folder}: made there")
    if not make:
        _gather_made(out, worker, plan, carried, console)
        return []
    if carried is not None and engine is None:
        _check_vector(carried, worker, plan, console)
    claim(out, study)
    heard = _Heard(plan, console, tell, out)
    try:
        if engine is None:
            UnitMaker(worker, plan).make_all(heard.hear)
        else:
            console.print(Text(f"  {engine.described}", style="dim"))
            drive(engine, job_of(study, store, included()), plan, heard.hear)
    finally:
        heard.progress.close()
    try:
        _gather(out, worker, plan, heard, carried)
    except NoWeights:  # a defence looks at the base model itself when it is built
        worker.base = load_base(study.model, dtype=study.dtype)
        worker = Worker(study, worker.base, store)
        _gather(out, worker, plan, heard, carried)
    if heard.file is not None:
        heard.file.remove()
    return [f"{unit['arm']}, seed {unit['seed']}" for unit in heard.failed]


def run_unit(
    study: Study, unit: str, *, store: Store | None = None, console: Console | None = None
) -> list[str]:
    """Make one unit of a study and gather nothing. Another process may make others at the same time.

    Args:
        unit: Its id in the plan: "insecure/0".

    Raises:
        UserError: There is no such unit, or as `run_study`.

    Returns:
        The unit if its training diverged, as `run_study` names it.
    """
    console, store = console or TextConsole(stderr=True), store or Store()
    worker, plan = _started(study, store, console, only=unit)
    heard = _Heard(plan, console)
    try:
        UnitMaker(worker, plan).make(plan.unit(unit), heard.hear)
    finally:
        heard.progress.close()
    return [f"{failed['arm']}, seed {failed['seed']}" for failed in heard.failed]


def _started(
    study: Study, store: Store, console: Console, *, outline: bool = False, only: str | None = None
) -> tuple[Worker, Plan]:
    if study.is_remote:
        raise UserError("a study of an endpoint has no units of its own; run it without --only")
    # A finished study can be gathered from a store on a read-only file system; where a stage is missing
    # there, the store says what to do.
    if not (store.root.is_dir() and os.statvfs(store.root).f_flag & os.ST_RDONLY):
        check_writable(store.root, "the cache (TURNCOAT_CACHE)")
    if any(judge_of(study.judge, use.task) for use in study.tasks):
        check_host(study.judge)  # before anything: the study may be somebody else's
    base = load_base(study.model, dtype=study.dtype, outline=outline)
    worker, plan = planned(study, base, store, lambda text: console.print(f"  {text}"))
    if only is not None:
        plan = Plan((plan.unit(only),))
    _announce(study, base, plan, console)
    return worker, plan


class _Heard:
    """Prints a run's events and keeps what its record needs."""

    def __init__(
        self, plan: Plan, console: Console, tell: Tell | None = None, out: Path | None = None
    ) -> None:
        self.console, self.tell = console, tell
        self.progress = progress = StudyProgress(console, plan.cost)
        self.file = ProgressFile(out, plan.stages, lambda: progress.remaining) if out else None
        self.made: dict[str, bool] = {}  # id of each stage that is done -> whether it was before
        self.failed: list[dict[str, Any]] = []  # arm, seed and reason of each unit whose training diverged
        self._busy: set[str] = set()  # units that another process was at work on
        self.peak = 0.0  # most memory of a process, in GiB
        self._stages = {stage.id: stage for stage in plan.stages}
        self._units = {unit.id: unit for unit in plan.units}

    def hear(self, event: Event) -> None:
        """One more event."""
        if self.tell is not None:
            self.tell(event)
        unit = self._units[event.unit]
        stage = self._stages.get(event.stage)
        self.peak = max(self.peak, event.peak)
        if event.kind == "note":
            self.console.print(f"  {visible(event.text)}")
        elif event.kind == "begin" and stage:
            self.progress.begin(stage.label, stage.cost)
            if self.file:
                self.file.begin(stage.id)
        elif event.kind == "progress" and stage:
            self.progress.update(event.done, event.total, event.text, stage.label)
            if self.file:
                self.file.update(stage.id, event.done, event.total, event.text)
        elif event.kind == "made" and stage and stage.id not in self.made:
            self.made[stage.id] = event.before
            seconds = None if event.before and event.complete else event.seconds
            self.progress.end(stage.label, stage.cost, seconds)
            if self.file:
                self.file.end(stage.id, seconds, event.result)
            if event.text:
                self.console.print(f"    {visible(event.text)}")
        elif event.kind == "busy":
            self.progress.close()
            if event.unit not in self._busy:
                self.console.print(f"  {visible(unit.label)}: {visible(event.text)}; other units first")
            self._busy.add(event.unit)
        elif event.kind == "lost":
            self.progress.close()
            self.console.print(f"  {visible(unit.label)} again: {visible(event.text)}")
        elif event.kind == "diverged" and unit.arm:
            self.progress.close()
            self.failed.append({"arm": unit.arm.name, "seed": unit.seed, "reason": event.text})
            if self.file:
                self.file.fail(unit.arm.name, unit.seed, event.text)
            failure = (visible(f"  {unit.label} failed"), "bold red")
            self.console.print(Text.assemble(failure, visible(f": {event.text}; the other arms go on")))


def _check_vector(carried: Carried, worker: Worker, plan: Plan, console: Console) -> None:
    """Make the study's vector first: hours later its difference from the rows' would be a waste."""
    stage = next((stage for stage in plan.stages[:1] if stage.kind == "vector"), None)
    if stage is not None and "persona" in carried.record:
        console.print(f"  {stage.label} first: it has to be the one of {carried.folder}")
        folder = worker.make(stage)
        assert folder is not None
        carried.check_persona(persona_record(folder))


def _gather_made(out: Path, worker: Worker, plan: Plan, carried: Carried | None, console: Console) -> None:
    """Gather the units whose stages are all in the store; the others are recorded as missing."""
    looking = Worker(worker.study, worker.base, LookingStore(worker.store.root))
    done = done_stages(looking, plan)
    missing = list(missing_units(plan, done))
    units = [unit for unit in plan.units if unit not in missing]
    if not any(unit.arm for unit in units) and carried is None:
        raise UserError(f"{worker.study.study}: no unit is made yet; run it without --no-make")
    claim(out, worker.study)
    made = {}
    for stage in (stage for unit in units for stage in unit.stages if stage.id in done):
        if (key := looking.key(stage)) is not None:
            made[stage.id] = Made(worker.store.folder(*key), before=False)  # its time counts: no run has
    try:
        gather(out, looking, plan, made, [], missing=missing, carried=carried)
    except NoWeights:
        base = load_base(worker.study.model, dtype=worker.study.dtype)
        looking = Worker(worker.study, base, LookingStore(worker.store.root))
        gather(out, looking, plan, made, [], missing=missing, carried=carried)
    if missing:
        console.print(
            f"  not made yet: {counted(len(missing), 'unit')}, {first_of([u.id for u in missing], 6)}"
        )


def _gather(out: Path, worker: Worker, plan: Plan, heard: _Heard, carried: Carried | None = None) -> None:
    made = {}
    for stage in plan.stages:
        if stage.id in heard.made and (key := worker.key(stage)) is not None:
            if not worker.store.has(*key):
                raise UserError(
                    f"{stage.label}: made, and not in the store at {worker.store.root}; if its worker is on "
                    "another host, that host keeps its stages elsewhere: TURNCOAT_CACHE has to name one "
                    "shared folder on both, or TURNCOAT_STORE a place that both can reach"
                )
            made[stage.id] = Made(worker.store.folder(*key), heard.made[stage.id])
    gather(out, worker, plan, made, heard.failed, heard.peak, carried=carried)


def _announce(study: Study, base: BaseModel, plan: Plan, console: Console) -> None:
    seeds = len(study.training_seeds)
    of_seeds = counted(seeds, "training seed")
    where = "" if base.model.device.type == "meta" else f", {base.model.device}"
    units = (
        f"unit {plan.units[0].id}"
        if len(plan.units) == 1
        else f"{counted(len(study.arms), 'arm')}, {of_seeds}"
    )
    console.print(Text(study.study, "bold"), end="")
    console.print(
        f": {study.title or study.question}\n  {base.name} "
        f"({weights(base.model.num_parameters())} parameters, {base.spec['dtype']}{where}); "
        f"{units}, {counted(len(study.tasks), 'task')}\n  about {duration(plan.cost)} on two "
        "idle cores if nothing is done yet; Ctrl-C loses only the stage at work",
    )
    if seeds < 3 and len(plan.units) > 1:
        console.print(
            f"  {of_seeds}: this run can speak about its own adapters, not about the recipe (that takes 3 or "
            "more)",
        )
