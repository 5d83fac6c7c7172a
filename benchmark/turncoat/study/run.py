"""Run of a study: the stages of its plan that are not done yet, then the rows gathered in one folder."""

import ctypes
import gc
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from turncoat.engine.base_model import BaseModel, load_base
from turncoat.errors import TrainingDiverged
from turncoat.evaluation.task_catalogue import hub_dataset
from turncoat.judges.spec import check_host, check_ready
from turncoat.persona.vectors import PersonaVector
from turncoat.safe_files import check_writable
from turncoat.shown_text import TextConsole, visible
from turncoat.store import Store
from turncoat.study.config import Study
from turncoat.study.evaluate import judge_of
from turncoat.study.gather import Made, gather
from turncoat.study.out_folder import check_out, claim
from turncoat.study.plan import REFERENCE_PARAMETERS, Plan, Stage, study_plan
from turncoat.study.progress import StudyProgress, duration
from turncoat.study.worker import Worker


def run_study(
    study: Study,
    out: Path,
    *,
    store: Store | None = None,
    console: Console | None = None,
    replace: bool = False,
) -> list[str]:
    """Make what is missing and gather the rows.

    Args:
        out: Run folder; rows of an earlier run of this study there are replaced.
        store: Where stages are kept; the user cache by default.
        replace: Other rows in `out` may go, too.

    Raises:
        UserError: `out` or the store cannot be written to, `out` holds other rows, or something is to be made
            and the judge does not work.

    Returns:
        The units whose training diverged, such as "sgtr, seed 1"; the others are complete.
    """
    console, store = console or TextConsole(stderr=True), store or Store()
    check_writable(store.root, "the cache (TURNCOAT_CACHE)")
    if leaving := check_out(out, study, replace=replace):
        console.print(f"  {leaving}")
    judged = any(judge_of(study.judge, use.task) for use in study.tasks)
    if judged:
        check_host(study.judge)  # before anything: the study may be somebody else's
    base = load_base(study.model, dtype=study.dtype)
    worker = Worker(study, base, store, lambda text: console.print(f"  {text}"))
    # Tasks are built for the plan, before anything is trained: a first use of the hub is said before that.
    for use in study.tasks:
        if dataset := hub_dataset(use.task):
            worker.adapters.log(
                f"{use.task} is a task of lm-eval's own: {dataset} is fetched from the Hugging Face hub on "
                "first use"
            )
    scale = base.model.num_parameters() / REFERENCE_PARAMETERS
    plan = study_plan(study, organism=worker.adapters.organism, scale=scale)
    claim(out, study)
    _announce(study, base, plan, console)
    progress = StudyProgress(console, plan.cost)
    made: dict[str, Made] = {}
    failed: list[dict[str, Any]] = []
    judge_works = not judged

    def make(stage: Stage) -> None:
        nonlocal judge_works
        made_before, done = worker.made(stage), worker.done(stage)
        if not (done or judge_works):
            check_ready(study.judge)
            judge_works = True
        with progress.stage(stage.label, stage.cost, done):
            folder = worker.make(stage, progress.update)
        if not done:
            return_memory()
        if folder is not None:
            made[stage.id] = Made(folder, made_before)

    for vector in plan.vectors:
        make(vector)
        _announce_vector(made[vector.id], console)
    for unit in plan.units:
        try:
            with worker.unit():
                for stage in unit.stages:
                    make(stage)
        except TrainingDiverged as error:
            failed.append({"arm": unit.arm.name, "seed": unit.seed, "reason": str(error)})
            failure = (visible(f"  {unit.label} failed"), "bold red")
            console.print(Text.assemble(failure, visible(f": {error}; the other arms go on")))
    gather(out, worker, plan, made, failed)
    return [f"{unit['arm']}, seed {unit['seed']}" for unit in failed]


def return_memory() -> None:
    """Give freed memory back to the system.

    glibc keeps what lies between blocks in use, so that each stage's peak would come on top of what the
    largest one before it left. Nothing happens with other C libraries.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _announce(study: Study, base: BaseModel, plan: Plan, console: Console) -> None:
    seeds = len(study.training_seeds)
    counted = f"{seeds} training seed{'s' * (seeds > 1)}"
    console.print(Text(study.study, "bold"), end="")
    console.print(
        f": {study.title or study.question}\n  {base.name} "
        f"({base.model.num_parameters() / 1e6:.0f}M parameters, {base.spec['dtype']}, {base.model.device}); "
        f"{len(study.arms)} arms, {counted}, {len(study.tasks)} tasks\n  about {duration(plan.cost)} on two "
        "idle cores if nothing is done yet; Ctrl-C loses only the stage at work",
    )
    if seeds < 3:
        console.print(
            f"  {counted}: this run can speak about its own adapters, not about the recipe (that takes 3 or "
            "more)",
        )


def _announce_vector(made: Made, console: Console) -> None:
    if not made.before:
        vector = PersonaVector.load(made.folder)
        console.print(
            f"    layer {vector.layer} of {len(vector.directions) - 1}, fixed now: it ranks "
            f"{vector.card['pairs_ranked_right']:.0%} of {vector.card['n_selection_pairs']} selection pairs "
            "right",
        )
