"""Run folder: the rows of all arms, the study as it was run, and a record of the run.

<out>/study.yaml                  the study
<out>/run.json                    provenance, timings, checks, training summaries: nothing that a row holds
<out>/rows/<arm>/<seed>/<task>/   lm-eval's results and samples files
"""

import dataclasses
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from turncoat import __version__
from turncoat.data.organisms import find_organism
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.evaluation.task_catalogue import is_judged
from turncoat.judges.spec import judge_from_name
from turncoat.safe_files import new_folder, write_file
from turncoat.store import TIMING_FILE, digest
from turncoat.study.before_run.out_folder import study_text
from turncoat.study.carried import Carried, persona_record
from turncoat.study.config import Study
from turncoat.study.evaluate import vllm_sampler
from turncoat.study.progress_file import curves
from turncoat.study.units.plan import Plan, Stage, Unit
from turncoat.study.units.worker import CHECKS_FILE, Worker
from turncoat.training.adapter_digest import adapter_digest


@dataclass(frozen=True)
class Made:
    """Result of a stage."""

    folder: Path  # Its folder in the store
    before: bool  # Whether it was done before this run


_CLAIMS = (
    "contrasts",
    "pilot_seeds",
)  # of a study; changed after an earlier run they were not set beforehand
Results = list[tuple[Stage, Made]]  # in the plan's order, the vector's first, if any


def gather(
    out: Path,
    worker: Worker,
    plan: Plan,
    made: Mapping[str, Made],
    failed: Sequence[Mapping[str, Any]],
    peak: float = 0.0,
    *,
    missing: Sequence[Unit] = (),
    carried: Carried | None = None,
) -> None:
    """Write a run folder; its rows are complete or untouched.

    Args:
        out: The folder; rows of an earlier run there are replaced.
        failed: Arm, seed and reason of each unit whose training diverged.
        peak: Most memory of the processes that made the units, in GiB; this process's own counts too.
        missing: Units that are not made yet.
        carried: Units of an earlier run, whose rows are copied.
    """
    results = [(stage, made[stage.id]) for stage in plan.stages if stage.id in made]
    gather_rows(out, worker.study, results, carried)
    earlier = _read(out / "run.json") if (out / "run.json").is_file() else {}
    own = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    record = _record(worker, results, failed, earlier, max(own, peak))
    if carried is not None:
        record = carried.merged(record, worker.study)
    if missing:
        record["missing"] = [{"arm": unit.arm.name, "seed": unit.seed} for unit in missing if unit.arm]
    write_file(out / "run.json", json.dumps(record, indent=1) + "\n")


def gather_rows(out: Path, study: Study, results: Results, carried: Carried | None = None) -> None:
    """Put the rows of results, those of an earlier run and the study into a run folder."""
    with new_folder(out / "rows") as fresh:
        if carried is not None:
            carried.copy_rows(fresh)
        for stage, result in results:
            if stage.task is not None:
                seed = "base" if stage.seed == BASE_SEED else f"seed-{stage.seed}"
                rows = fresh / stage.arm / seed / stage.task.task
                rows.mkdir(parents=True)
                for path in sorted(result.folder.glob("*.json*")):
                    if path.name.startswith(("results_", "samples_")):
                        shutil.copyfile(path, rows / path.name)
    write_file(out / "study.yaml", study_text(study))


def _record(
    worker: Worker,
    results: Results,
    failed: Sequence[Mapping[str, Any]],
    earlier: dict[str, Any],
    peak: float,
) -> dict[str, Any]:
    ran, now = earlier.get("study"), worker.study.digests()
    changed = {key for key in _CLAIMS if ran and ran.get(key) != now.get(key)}
    base = worker.base
    read = [persona_record(made.folder) for stage, made in results[:1] if stage.kind == "vector"]
    persona = read[0] if read else {}
    return {
        "provenance": provenance(),
        "study": now,
        "changed": sorted({*earlier.get("changed", ()), *changed}),
        "model": {"name": base.name, **base.spec, "parameters": base.model.num_parameters()},
        **_written_by(worker),
        **({"persona": persona} if persona else {}),
        "judge": judge_record(worker.study),
        "failed": failed,
        # Which adapter each row came from, and which texts each organism was trained on: hashes of the bytes.
        "measured": _measured(worker, results),
        "data": _data(worker),
        "checks": _checks(worker, results),
        "training": [_training(stage, result.folder) for stage, result in results if stage.kind == "adapter"],
        # Stages that were done before took no time now: keep what they took when they ran.
        "seconds": {
            name: round(seconds, 1) if seconds else earlier.get("seconds", {}).get(name, 0.0)
            for name, seconds in seconds_of(results).items()
        },
        # A run that finds everything done needs little: what an earlier one needed is what the study needs.
        "peak_memory_gb": max(peak, earlier.get("peak_memory_gb", 0.0)),
    }


def seconds_of(results: Results) -> dict[str, float]:
    """Seconds of this run by task, and of the persona vector and all training."""
    seconds: dict[str, float] = {}
    for stage, result in results:
        name = {"vector": "persona vector", "adapter": "training"}.get(
            stage.kind, stage.task.task if stage.task else ""
        )
        file, before = ("training.json" if stage.kind == "adapter" else TIMING_FILE), result.before
        if name:
            spent = (
                0.0 if before and stage.kind != "vector" else float(_read(result.folder / file)["seconds"])
            )
            seconds[name] = seconds.get(name, 0.0) + spent
    return seconds


def _measured(worker: Worker, results: Results) -> list[dict[str, Any]]:
    """The adapter and the intervention of each unit, by their digests."""
    measured = {}
    for stage, _ in results:
        if stage.task is not None and (stage.arm, stage.seed) not in measured:
            adapter, acting = worker.adapter(stage), worker.intervention(stage.arm)
            measured[stage.arm, stage.seed] = {
                "arm": stage.arm,
                "seed": None if stage.seed == BASE_SEED else stage.seed,
                "adapter": adapter and adapter_digest(adapter),
                "intervention": acting and digest(acting.described()),
            }
    return list(measured.values())


def _written_by(worker: Worker) -> dict[str, str]:
    """The engine of sampled answers and log-likelihoods, if it is not ours, and the arms that are measured by
    ours all the same."""
    sampler = vllm_sampler(worker.study, worker.base)
    if sampler is None:
        return {}
    acting = ((arm.name, worker.intervention(arm.name)) for arm in worker.study.arms)
    ours = [name for name, part in acting if part is not None and not part.on_prompts_alone]
    but = f"; those of {', '.join(ours)} by turncoat: a defence acts inside the model" if ours else ""
    engines = {"written_by": worker.study.generation, "read_by": worker.study.log_likelihoods}
    return {key: sampler.name + but for key, engine in engines.items() if engine == "vllm"}


def _checks(worker: Worker, results: Results) -> list[dict[str, Any]]:
    base = next((arm.name for arm in worker.study.arms if arm.is_base), None)
    entries: list[dict[str, Any]] = []
    for stage, result in results:
        if stage.acting is None:
            continue
        for check in _read(result.folder / CHECKS_FILE):
            entry = {"arm": stage.arm, "seed": stage.seed, **check}
            if stage.acting not in stage.steps[-1].defences:
                # An organism may change self-recognition: that is a finding, not a failure.
                entry |= {"name": f"{check['name']}, at the end of the arm", "passed": None}
            entries.append(entry)
        for check in _read(worker.check(stage.acting, None) / CHECKS_FILE):
            entry = {"arm": base, "seed": None, **check, "passed": None}
            if entry not in entries:
                entries.append(entry)
    return entries


def _data(worker: Worker) -> dict[str, dict[str, Any]]:
    """The organisms' examples; those that the base model answers first are its own and carry no hash."""
    data = {}
    for name in dict.fromkeys(arm.organism for arm in worker.study.arms if arm.organism):
        if not find_organism(name).answered_by_base:
            rows = worker.adapters.organism(name)
            data[name] = {"examples": len(rows), "sha256": digest([dataclasses.astuple(row) for row in rows])}
    return data


def judge_record(study: Study) -> dict[str, Any] | None:
    """The judge, and the error counts of its card that correct a rate; None if nothing was judged."""
    judge = judge_from_name(study.judge) if any(is_judged(use.task) for use in study.tasks) else None
    if judge is None:
        return None
    card = judge.card or {}
    counts = {
        key: card[key] for key in (*(k for k in card if k.startswith("errors")), "auc_mean") if key in card
    }
    return {"id": judge.id, "rubric": judge.rubric, "may_rate": judge.may_rate, **counts}


def _training(stage: Stage, folder: Path) -> dict[str, Any]:
    record = _read(folder / "training.json")
    losses = record["losses"]
    tail = losses[-max(len(losses) // 4, 1) :]
    penalties = record.get("penalties")
    *below, step = stage.steps
    again = " (again)" if step.name in [one.name for one in below] else ""  # a defence before and after
    return {
        "arm": f"{stage.arm}, seed {stage.seed}", "step": f"{step.name}{again}", "seed": stage.seed,
        **{key: record[key] for key in ("examples", "tokens", "supervised_tokens", "steps")},
        "first_loss": losses[0], "last_loss": sum(tail) / len(tail), "seconds": record["seconds"],
        "left_out": record["left_out"], "curve": curves(record),
        **({"penalties": [penalties[0], penalties[-1]]} if penalties else {}),
        **({"defence": record["defence"]} if "defence" in record else {}),
    }  # fmt: skip


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def provenance() -> dict[str, str]:
    """Versions, commit, command and machine of this process."""
    packages = ("torch", "transformers", "peft", "trl", "lm_eval")
    return {
        "turncoat": __version__,
        "commit": _commit(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **{name: version(name) for name in packages},
    }


def _commit() -> str:
    folder = str(Path(__file__).parent)
    command = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "not a checkout"
