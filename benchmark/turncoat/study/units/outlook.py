"""Outlook of a study before it runs: what is done, minutes, memory, disk, judge calls, what is fetched.

    outlook(study, Store()).lines()      # for people; `as_json()` for scripts

Nothing is made. Weights are read only for a measurement, where the store has no like stage to go by.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from turncoat.data.availability import mistaken_model
from turncoat.data.fetch import NotHere, without_fetching
from turncoat.data.organisms import find_organism
from turncoat.data.registry_models import REGISTRY_MODELS
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import hub_dataset, task_metadata
from turncoat.formats import counted
from turncoat.judges.spec import judge_from_name
from turncoat.paths import cache_dir
from turncoat.store import SPEC_FILE, TIMING_FILE, Store, canonical_json
from turncoat.study.arms.steps import Step, steps_of
from turncoat.study.config import Study
from turncoat.study.evaluate import engine_of, judge_of, load_task, task_settings
from turncoat.study.progress import duration
from turncoat.study.units.done import LookingStore, done_stages
from turncoat.study.units.plan import Plan, Stage, Unit, study_plan
from turncoat.study.units.speeds import REFERENCE, Measured, Speeds, measure
from turncoat.study.units.worker import Worker

_NOT_HERE = "minutes, memory and what is done are known once the model is here"


@dataclass(frozen=True)
class Outlook:
    """State of a study's stages, and what the rest takes."""

    study: Study
    plan: Plan
    done: frozenset[str]  # ids of the stages that are made; examples are, once their adapter is
    seconds: dict[str, float]  # of the stages to make, by id; empty if the model is not here
    basis: str  # of the seconds, in words
    memory: str
    disk: str
    judge: str
    fetched: tuple[str, ...]

    def left(self, unit: Unit) -> list[Stage]:
        """Stages of a unit that are to be made."""
        return [stage for stage in unit.stages if stage.id not in self.done]

    def as_json(self) -> dict[str, Any]:
        """The same as values; `seconds` are null where they are not known."""
        units = [
            {
                "id": unit.id, "needs": list(unit.needs), "done": not self.left(unit),
                "stages": [
                    {
                        "id": stage.id, "kind": stage.kind, "label": stage.label,
                        "done": stage.id in self.done, "seconds": self.seconds.get(stage.id),
                    }
                    for stage in unit.stages
                ],
            }
            for unit in self.plan.units
        ]  # fmt: skip
        total = sum(self.seconds.values()) if self.seconds or not self._any_left else None
        return {
            "study": self.study.study, "model": self.study.model, "units": units, "seconds": total,
            "basis": self.basis, "memory": self.memory, "disk": self.disk, "judge": self.judge,
            "fetched": list(self.fetched),
        }  # fmt: skip

    @property
    def _any_left(self) -> bool:
        return any(self.left(unit) for unit in self.plan.units)

    def lines(self) -> list[str]:
        """One line a unit, then what is known of the whole."""
        width = max(len(unit.id) for unit in self.plan.units)
        shown = [f"{self.study.study}: {self.study.model}, {counted(len(self.plan.units), 'unit')}"]
        for unit in self.plan.units:
            left = self.left(unit)
            words = "done"
            if left:
                parts = (stage.id.removeprefix(f"{unit.id}/") for stage in left)
                names = "extract" if unit.arm is None else ", ".join(parts)
                seconds = sum(self.seconds.get(stage.id, 0.0) for stage in left)
                words = f"{duration(seconds) if self.seconds else '?'}: {names}"
                owners = {need.rpartition("/")[0] for need in unit.needs if need not in self.done}
                after = [owner if owner != "vector" else "the vector" for owner in sorted(owners)]
                words += f" (after {', '.join(after)})" if after else ""
            shown.append(f"  {unit.id:{width}}  {words}")
        stages = len(self.plan.stages)
        count = stages - len(self.done)
        time = f", about {duration(sum(self.seconds.values()))} in one process" if self.seconds else ""
        shown.append(f"to make: {count} of {stages} stages{time if count else ''}")
        facts = {
            "time": self.basis if count else "", "memory": self.memory, "disk": self.disk if count else "",
            "judge": self.judge, "to be fetched": "; ".join(self.fetched) or "nothing",
        }  # fmt: skip
        return shown + [f"  {name}: {text}" for name, text in facts.items() if text]


def outlook(
    study: Study, store: Store, *, measured: bool = True, made: Collection[tuple[str, int]] = ()
) -> Outlook:
    """The outlook of a study.

    Args:
        made: (arm, seed) of the units that an earlier run has, as `Carried.units`.
        measured: Read, write and train for less than a minute where the store has no stages to go by;
            else the speed of a reference machine is taken.
    """
    if study.is_remote:
        raise UserError(
            f"{study.study}: models behind an endpoint have no units; `turncoat run` says the cost first"
        )
    missing = _missing_data(study)
    fetched = [f"the data of {name} ({text})" for name, text in missing.items()] + _from_hub(study)
    here = not (model := _missing_model(study.model))
    base = load_base(study.model, dtype=study.dtype, outline=True) if here else None
    worker = Worker(study, base, LookingStore(store.root)) if base else None

    def organism(name: str) -> Any:
        return worker.adapters.organism(name) if worker else find_organism(name).build()

    def plan_at(speeds: Speeds) -> Plan:
        with without_fetching():
            return study_plan(study, organism=organism, speeds=speeds, unknown=missing)

    if base is None or worker is None:
        plan = plan_at(REFERENCE)
        return Outlook(
            study, plan, frozenset(), {}, _NOT_HERE, "", "", _judge(study, plan.stages), (model, *fetched)
        )
    plan = plan_at(REFERENCE.of(base.model.num_parameters()))
    with without_fetching():
        done = done_stages(worker, plan)
    there = [unit for unit in plan.units if unit.arm and (unit.arm.name, unit.seed) in made]
    done |= {stage.id for unit in there for stage in unit.stages}
    recorded = _Recorded(store.root, base)
    left = [stage for stage in plan.stages if stage.id not in done]
    own = [recorded.seconds(worker, stage) for stage in left if stage.cost]
    measurement: Measured | None = None
    basis = (
        f"{sum(s is not None for s in own)} of {len(own)} stages as like ones in the store took, wherever "
        "they were made; the others as on two idle cores"
    )
    if not any(s is not None for s in own):
        basis = "as on two idle cores, by the size of the model"
        if measured and left:
            base = load_base(study.model, dtype=study.dtype)
            name = next((s.name for a in study.arms for s in _steps(study, a) if s.kind == "organism"), "")
            rows = [] if name in missing or not name else worker.adapters.organism(name)
            measurement = measure(base, list(rows), study.training)
            plan = plan_at(measurement.speeds)
            s = measurement.speeds
            basis = (
                f"measured now, {measurement.seconds:.0f} s on this machine: {s.train:,.0f} tokens/s "
                f"trained, {s.write:,.0f} written, {s.read:,.0f} read"
            )
    by_vllm = [s for s in left if s.task and engine_of(study, s.task.task)[1] == "vllm"]
    if unknown := sum(recorded.seconds(worker, stage) is None for stage in by_vllm):
        basis += f"; {counted(unknown, 'stage')} by vLLM as our engine would take, since vLLM is not measured"
    if missing:
        basis += f"; without {', '.join(missing)}"
    seconds = {}
    for stage in plan.stages:
        if stage.id not in done:
            like = recorded.seconds(worker, stage) if stage.cost else None
            seconds[stage.id] = round(stage.cost if like is None else like, 1)
    waiting = [stage for stage in plan.stages if stage.id not in done]
    return Outlook(
        study, plan, frozenset(done), seconds, basis, _memory(base, measurement),
        _disk(study, base, store, waiting), _judge(study, waiting), tuple(fetched),
    )  # fmt: skip


class _Recorded:
    """Seconds that finished stages of a model took, by what makes them alike."""

    def __init__(self, root: Path, base: BaseModel) -> None:
        self._seconds: dict[str, list[float]] = {}
        for kind in ("adapter", "rows", "check", "persona"):
            for file in sorted((root / kind).glob("*/" + SPEC_FILE)):
                with suppress(OSError, ValueError, KeyError):
                    spec = json.loads(file.read_text(encoding="utf-8"))
                    if spec.get("base") == base.spec and (like := _like(kind, spec)):
                        timing = json.loads(file.with_name(TIMING_FILE).read_text(encoding="utf-8"))
                        self._seconds.setdefault(like, []).append(float(timing["seconds"]))

    def seconds(self, worker: Worker, stage: Stage) -> float | None:
        """Median of the like ones; None if there are none."""
        if stage.kind == "examples":
            return None
        known = self._seconds.get(_like_of(worker, stage))
        return None if known is None else median(known)


def _like(kind: str, spec: dict[str, Any]) -> str:
    if kind == "rows":
        return canonical_json([kind, spec["task"], any(spec.get(part) for part in ("writer", "reader"))])
    if kind == "check":
        return canonical_json([kind, spec["defence"], spec["options"]])
    if kind == "persona":
        return canonical_json([kind, spec["questions"]["trait"], spec["sampling"]])
    return canonical_json([kind, spec["recipe"], bool(spec.get("during"))])


def _like_of(worker: Worker, stage: Stage) -> str:
    if stage.task is not None:
        by_vllm = engine_of(worker.study, stage.task.task)[1] == "vllm"
        return _like("rows", {"task": task_settings(stage.task), "writer": by_vllm})
    if stage.acting is not None:
        return _like("check", {"defence": stage.acting[0], "options": json.loads(stage.acting[1])})
    if stage.kind == "vector":
        key = worker.key(stage)
        assert key is not None
        return _like("persona", key[1])
    step = stage.steps[-1]
    acting = step.during or step.recipe.system != "default"
    return _like("adapter", {"recipe": step.recipe.settings(), "during": acting})


def _memory(base: BaseModel, measurement: Measured | None) -> str:
    model = base.model
    weights = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**30
    peak = f"; {measurement.peak:.1f} GiB at most while measuring" if measurement else ""
    return f"{weights:.2f} GiB of weights for each process that makes units{peak}"


def _disk(study: Study, base: BaseModel, store: Store, left: Sequence[Stage]) -> str:
    size = sum(
        4 * recipe.rank * (module.in_features + module.out_features)
        for stage in left
        if stage.kind == "adapter" and stage.cost
        for step in stage.steps
        for recipe in [step.recipe]
        for name, module in base.model.named_modules()
        if name.rpartition(".")[2] in recipe.target_modules and hasattr(module, "in_features")
    )
    place = next(p for p in (store.root, *store.root.parents) if p.exists())
    free = shutil.disk_usage(place).free
    return (
        f"{_bytes(size)} of adapters (float32) at {store.root} (TURNCOAT_CACHE moves it), about three times "
        f"an adapter while it is trained, besides the rows; {_bytes(free)} free"
    )


def _bytes(count: float) -> str:
    power = 1 + sum(count >= 1024 * 2**limit for limit in (10, 20))
    return f"{count / 2 ** (10 * power):,.0f} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _judge(study: Study, left: Iterable[Stage]) -> str:
    judged = [(s.task, s.requests) for s in left if s.task and judge_of(study.judge, s.task.task)]
    answers = sum(requests for _, requests in judged)
    if not answers:
        return ""
    judge = judge_from_name(study.judge)
    cost = getattr(judge, "cost", None)
    if cost is None:
        return f"{answers:,} answers for '{study.judge}', on this machine"
    lengths = [load_task(use).config.generation_kwargs.get("max_gen_toks", 256) for use, _ in judged]
    try:
        return str(cost(answers, max(lengths)))
    except UserError as error:
        return str(error)


def _steps(study: Study, arm: Any) -> list[Step]:
    return steps_of(arm, study.training)


def _missing_data(study: Study) -> dict[str, str]:
    """Organisms and tasks whose published sets are not here, and what is said about them."""
    missing = {}
    with without_fetching():
        for name in dict.fromkeys(arm.organism for arm in study.arms if arm.organism):
            try:
                find_organism(name).build()
            except NotHere as error:
                missing[name] = str(error).partition(",")[0]
        for use in study.tasks:
            if hub_dataset(use.task) and not _in_hub_cache(hub_dataset(use.task), "dataset"):
                missing[use.task] = "a data set of the Hugging Face hub"
            elif task_metadata(use.task).get("fetched"):
                try:
                    load_task(use)
                except UserError as error:
                    missing[use.task] = str(error).partition(",")[0]
    return missing


def _missing_model(name: str) -> str:
    """Packages or the hub for a model that is not here; "" if it is."""
    if name in REGISTRY_MODELS:
        model = REGISTRY_MODELS[name]
        made = Store(cache_dir() / "models").has(model.name, model.spec)
        return "" if made else f"model {name}: {', '.join(model.packages)}, then converted"
    if Path(name).is_dir():
        return ""
    if mistake := mistaken_model(name):
        raise UserError(mistake)
    return "" if _in_hub_cache(name, "model") else f"model {name}, from the Hugging Face hub"


def _from_hub(study: Study) -> list[str]:
    names = dict.fromkeys(filter(None, (hub_dataset(use.task) for use in study.tasks)))
    return [f"{name}, from the Hugging Face hub" for name in names if not _in_hub_cache(name, "dataset")]


def _in_hub_cache(name: str, kind: str) -> bool:
    return (Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind)).is_dir()
