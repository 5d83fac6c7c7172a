"""Packed runs, small enough for a repository: rows gzipped, machine details and fetched texts left out.

turncoat pack runs/advice --out results/advice      # `turncoat report results/advice` says the same as before
"""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.evaluation.task_facts import fetched_tasks
from turncoat.paths import run_folder
from turncoat.safe_files import new_folder, read_bytes, read_object, write_file

_OF_A_RUN = ("study.yaml", "run.json", "rows")
_MOST_BYTES = 2**32  # of a file of a run
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
    run_folder(run)
    if out.exists() and not (out / "study.yaml").is_file():
        raise UserError(f"--out {out} is there and holds no run; name another folder")
    if out.exists() and out.samefile(run):
        raise UserError(f"--out {out} is the run itself; name another folder")
    with new_folder(out) as fresh:
        if out.exists():  # the report and what else was put beside the rows stays
            shutil.copytree(
                out, fresh, symlinks=True, dirs_exist_ok=True,
                ignore=lambda folder, names: _OF_A_RUN if Path(folder) == out else (),
            )  # fmt: skip
        for path in (run / "study.yaml", run / "run.json", run / "rows", *sorted((run / "rows").rglob("*"))):
            to = fresh / path.relative_to(run)
            if path.is_dir() and not path.is_symlink():
                to.mkdir(parents=True, exist_ok=True)
            elif path.name.startswith("results_"):
                write_file(to, json.dumps(_without_machine(read_object(path)), indent=1) + "\n")
            elif path.name.endswith(".jsonl"):
                fetched = path.parent.name in fetched_tasks()
                content = _without_fetched(path) if fetched else read_bytes(path, _MOST_BYTES)
                # No name and no time in the archive: equal rows give equal bytes.
                write_file(Path(f"{to}.gz"), gzip.compress(content, compresslevel=9, mtime=0))
            else:
                write_file(to, read_bytes(path, _MOST_BYTES))
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
