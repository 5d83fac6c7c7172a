"""Packed runs, small enough for a repository: rows gzipped, machine details and fetched texts left out.

turncoat pack runs/advice --out results/advice      # `turncoat report results/advice` says the same as before
"""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.evaluation.task_facts import fetched_tasks
from turncoat.safe_files import read_object

# Kept of lm-eval's results file. The rest is paths, source code and the machine.
_KEPT = ("results", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes", "lm_eval_version",
         "transformers_version", "chat_template_sha", "system_instruction_sha")  # fmt: skip
_CONFIG = ("model_num_parameters", "model_dtype", "model_revision", "model_sha", "limit", "turncoat")


def pack_run(run: Path, out: Path) -> Path:
    """Write the packed run; the same run gives the same bytes.

    Args:
        out: The folder to write; an earlier packed run there is replaced.

    Raises:
        UserError: `run` is not a finished run, or `out` is something else than a packed run.
    """
    for needed in ("study.yaml", "run.json", "rows"):
        if not (run / needed).exists():
            raise UserError(
                f"{run} is not a run folder: {needed} is missing; make one with `turncoat run STUDY`"
            )
    if out.exists() and not (out / "study.yaml").is_file():
        raise UserError(f"--out {out} is there and holds no run; name another folder")
    if out.exists() and out.samefile(run):
        raise UserError(f"--out {out} is the run itself; name another folder")
    fresh = out.parent / f".{out.name}.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    shutil.copyfile(run / "study.yaml", fresh / "study.yaml")
    shutil.copyfile(run / "run.json", fresh / "run.json")
    for path in sorted((run / "rows").rglob("*")):
        to = fresh / path.relative_to(run)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        elif path.name.startswith("results_"):
            to.write_text(json.dumps(_without_machine(read_object(path)), indent=1) + "\n", encoding="utf-8")
        elif path.name.endswith(".jsonl"):
            content = _without_fetched(path) if path.parent.name in fetched_tasks() else path.read_bytes()
            # No name and no time in the archive: equal rows give equal bytes.
            packed = gzip.compress(content, compresslevel=9, mtime=0)
            to.with_name(f"{to.name}.gz").write_bytes(packed)
        else:
            shutil.copyfile(path, to)
    kept = (
        [path for path in out.glob("*") if path.name not in ("study.yaml", "run.json", "rows")]
        if out.exists()
        else []
    )
    for path in kept:
        shutil.move(str(path), fresh / path.name)
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return out


def without_fetched_texts(row: dict[str, Any]) -> dict[str, Any]:
    """A row with ids, scores and the model's own words; prompts and texts of the set are left out."""
    kept = {key: value for key, value in row.items() if key not in ("arguments", "target")}
    doc = {key: value for key, value in row["doc"].items() if key in ("id", "cluster", "organism", "trait")}
    return {**kept, "doc": doc}


def _without_fetched(path: Path) -> bytes:
    rows = (json.dumps(without_fetched_texts(row), ensure_ascii=False) + "\n" for row in sample_rows(path))
    return "".join(rows).encode()


def _without_machine(results: dict[str, Any]) -> dict[str, Any]:
    config = {key: results["config"][key] for key in _CONFIG if key in results.get("config", {})}
    arm = dict(config.get("turncoat", {}))
    arm["arm"] = {key: value for key, value in arm.get("arm", {}).items() if key != "peft"}
    return {**{key: results[key] for key in _KEPT if key in results}, "config": {**config, "turncoat": arm}}
