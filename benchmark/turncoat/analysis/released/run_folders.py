"""Run folders of released rows: one per base model and kind of training, as `turncoat run` leaves them.

`turncoat tables`, `report`, `rates` and `claims` read them. Where a seed of an arm was not measured, its
samples file is empty and the arm has fewer seeds.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from turncoat import __version__
from turncoat.analysis.released.arm_names import BASES, CONDITIONS, NAMES, ReleasedArm
from turncoat.analysis.released.sgtr_em import EM, MMLU, RUBRIC, Release
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.judges.rates import ratio
from turncoat.safe_files import new_folder, replace_folder

SOURCE = "released rows of arXiv:2606.23700 (github.com/atagade/sgtr-em; no licence)"
_DATE = "2026-03-14T00-00-00.000000"  # of the release: a name that says the same in every import
_WORDS = NAMES["conditions"] | NAMES["other_tags"]
Rows = dict[str, dict[str, Any]]
# Arm -> (seed, task) -> the arm, its rows
Arms = dict[str, dict[tuple[int, str], tuple[ReleasedArm, Rows]]]


def write_runs(release: Release, out: Path) -> list[Path]:
    """Write every run below `out`, by base model and kind of training; the paths of the runs."""
    groups: dict[tuple[str, str], Arms] = {}
    numbered = {(a.base, a.tag, a.name) for a, _ in release.rows if a.seed is not None}
    for (arm, task), rows in release.rows.items():
        tag = arm.tag
        if arm.is_trained and arm.seed is None and (arm.base, tag, arm.name) in numbered:
            tag = f"{tag}_single".lstrip("_")  # another checkpoint than those with a number
        seed = (arm.seed or 0) if arm.is_trained else BASE_SEED
        groups.setdefault((arm.base, tag), {}).setdefault(arm.name, {})[seed, task] = (arm, rows)
    with new_folder(out) as fresh:
        for (base, tag), arms in sorted(groups.items()):
            name = "_".join(filter(None, (base.removeprefix("hf_").replace(".", "_"), tag)))
            whole = _with_references(arms, groups, base, tag)
            replace_folder(fresh / name, _files(f"sgtr_{name}", base, tag, whole, release))
    return [out / path.name for path in sorted(out.iterdir())]


def _with_references(arms: Arms, groups: dict[tuple[str, str], Arms], base: str, tag: str) -> Arms:
    """The arms, with the base and the undefended organisms of the default run on the same tasks."""
    tasks = {task for measured in arms.values() for _, task in measured}
    parts = [part for part in tag.split("_") if part not in (*CONDITIONS, "em", "single")]
    usual = groups.get((base, "_".join(parts)), {}) | {"base": groups.get((base, ""), {}).get("base", {})}
    organisms = {one.organism for measured in arms.values() for one, _ in measured.values() if one.organism}
    wanted = [name for name in ("base", *sorted(organisms)) if name not in arms]
    extra = {
        name: {key: value for key, value in usual.get(name, {}).items() if key[1] in tasks} for name in wanted
    }
    return {name: measured for name, measured in (extra | arms).items() if measured}


def _files(study: str, base: str, tag: str, arms: Arms, release: Release) -> dict[str, bytes]:
    first = {name: next(iter(measured.values()))[0] for name, measured in arms.items()}
    trained = {name for name, arm in first.items() if arm.is_trained}
    seeds = sorted({seed for name in trained for seed, _ in arms[name]}) or [0]
    tasks = sorted({task for measured in arms.values() for _, task in measured})
    words = (
        "; ".join(_WORDS.get(part, part) for part in re.findall(r"(?:em_)?[a-z]+", tag))
        or "the default system prompts"
    )
    content = {
        "study": study, "title": f"{BASES[base]}: {words}", "question": f"What do the {SOURCE} say?",
        "model": BASES[base], "training_seeds": seeds, "judge": "off",
        "arms": [_arm(arm, sorted({task for _, task in arms[name]})) for name, arm in sorted(
            first.items(), key=lambda pair: (pair[1].is_trained, pair[0]))],
        "tasks": [{"task": task} for task in tasks],
    }  # fmt: skip
    files = {"study.yaml": yaml.safe_dump(content, sort_keys=False).encode()}
    judge = {"id": "gpt-4o-2024-08-06", "rubric": RUBRIC, "may_rate": True}
    record = {
        "provenance": {"turncoat": __version__, "source": SOURCE, **release.files},
        "model": {"name": BASES[base], "weights": "not here", "dtype": "as released", "parameters": None},
        "judge": judge if EM in tasks else None, "failed": [], "checks": [], "training": [], "seconds": {},
        "peak_memory_gb": None, "notes": release.notes,
    }  # fmt: skip
    files["run.json"] = _json(record)
    for name, measured in arms.items():
        for seed in seeds if name in trained else [BASE_SEED]:
            where = f"rows/{name}/{'base' if seed == BASE_SEED else f'seed-{seed}'}"
            for task in sorted({task for _, task in measured}):
                rows = list(measured[seed, task][1].values()) if (seed, task) in measured else []
                files[f"{where}/{task}/samples_{task}_{_DATE}.jsonl"] = b"".join(map(_line, rows))
                files[f"{where}/{task}/results_{_DATE}.json"] = _json(_results(task, rows, name, seed))
            if (lm_eval := release.results.get(first[name]._replace(seed=None))) and tag == "":
                files[f"{where}/{MMLU}/results_{_DATE}.json"] = _json({"results": lm_eval["results"]})
    return files


def _arm(arm: ReleasedArm, tasks: Iterable[str]) -> dict[str, Any]:
    given = {"organism": arm.organism, "defence": arm.defence, "setting": arm.setting}
    options = {"defence_options": dict(arm.options)} if arm.options else {}
    return {"name": arm.name, **{k: v for k, v in given.items() if v}, **options, "tasks": list(tasks)}


def _results(task: str, rows: list[dict[str, Any]], arm: str, seed: int) -> dict[str, Any]:
    """lm-eval's results of a run: each metric over all documents that have it."""
    totals: dict[str, float] = {}
    for metric in dict.fromkeys(name for row in rows for name in row["metrics"]):
        values = [row[metric] for row in rows if metric in row]
        pairs = [value if isinstance(value, list) else [value, 1] for value in values]
        if any(pair[1] for pair in pairs):
            totals[f"{metric},none"] = ratio(pairs)
    about = {"name": arm, "seed": None if seed == BASE_SEED else seed}
    return {
        "results": {task: totals}, "n-samples": {task: {"original": len(rows), "effective": len(rows)}},
        "config": {"model": SOURCE, "turncoat": {"arm": about}},
    }  # fmt: skip


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()
