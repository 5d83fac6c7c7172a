"""Export to lm-eval's results files, one per role and training seed.

Aggregated by the tasks' own functions over the rows, as lm-eval does with `--bootstrap_iters 0`: standard
errors are those that a task gives itself. `model_name` is the arm, and `pretrained` is left out: readers take
that for the model. `n-samples` has the questions that were asked; how many the task has beside them is not in
the rows.
"""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import task_content
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.exports.parts import Exported, strict_json

_STDERR = "_stderr"


def files(exported: Exported) -> dict[str, str]:
    """Path -> content of every results file."""
    cells: dict[tuple[str, str], list[str]] = {}
    for role, seed, task in exported.entry.cells():
        cells.setdefault((role, seed), []).append(task)
    name = f"results_{exported.facts.slug}.json"
    return {
        f"{role}/{seed}/{name}": strict_json(lm_eval_results(exported, role, seed, tasks))
        for (role, seed), tasks in cells.items()
    }


def lm_eval_results(exported: Exported, role: str, seed: str, tasks: Sequence[str]) -> dict[str, Any]:
    """The content of one results file.

    Raises:
        EntryRefused: The rows may not be read.
    """
    facts = exported.facts
    rows = {task: [row for _, row in exported.entry.rows(role, seed, task)] for task in tasks}
    uses = {use.task: use for use in exported.entry.track.tasks_of_role(role, facts.organism.name)}
    better = {
        task: {one["metric"]: one.get("higher_is_better", True) for one in task_content(task)["metric_list"]}
        for task in tasks
    }
    name = exported.arm(role) + ("" if seed == "base" else f"+{seed}")
    about, number = exported.about(role), seed.removeprefix("seed-")
    adapters: Mapping[str, str | None] = facts.adapters.get(role, {})  # type: ignore[call-overload]
    arm = {key: value for key, value in about.items() if not key.startswith("adapter_")}
    return {
        "results": {
            task: {"name": task, "alias": task, "sample_len": len(rows[task]), **aggregated(task, rows[task])}
            for task in tasks
        },
        "group_subtasks": {task: [] for task in tasks},
        "configs": {task: _config(uses[task], facts.tasks.get(task)) for task in tasks},
        "versions": {task: facts.tasks.get(task) for task in tasks},
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": better,
        "n-samples": {task: {"effective": len(rows[task])} for task in tasks},
        "config": {
            "model": "turncoat",
            "model_args": arm,
            "model_num_parameters": facts.model.parameters,
            "model_dtype": facts.model.dtype,
            "model_revision": facts.model.revision,
            "model_sha": adapters.get(number, facts.model.revision),
            "bootstrap_iters": 0,
            "limit": None,
            "turncoat": {**about, "training_seed": None if seed == "base" else int(number)},
        },
        "task_hashes": {task: task_hash(rows[task]) for task in tasks},
        "model_source": "turncoat",
        "model_name": name,
        "model_name_sanitized": name.replace("/", "__"),
        "chat_template_sha": facts.model.chat_template,
        "lm_eval_version": facts.versions.get("lm_eval", "unknown"),
        "transformers_version": facts.versions.get("transformers", "unknown"),
    }


def aggregated(task: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`"<metric>,<filter>"` -> its value over the rows, as lm-eval computes it from the same rows.

    A value that is not defined (a rate without a denominator) is None.
    """
    metrics = task_content(task)["metric_list"]
    functions = {one["metric"]: _function(task, str(one["aggregation"])) for one in metrics}
    values_of: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        for metric in _reported(row, functions):
            value = row[metric] if metric in row else row[metric.removesuffix(_STDERR)]
            values_of.setdefault((metric, str(row.get("filter", "none"))), []).append(value)
    results: dict[str, Any] = {}
    for (metric, filter_name), values in values_of.items():
        # lm-eval writes its own standard error of each metric after it, and a task's own one over that.
        results[f"{metric},{filter_name}"] = functions.get(metric, _mean)(values)
        results.setdefault(f"{metric}{_STDERR},{filter_name}", "N/A")
    return results


def task_hash(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """lm-eval's hash of a task's documents, prompts and targets; None where the rows lack one of them."""
    keys = ("doc_hash", "prompt_hash", "target_hash")
    parts = [str(row[key]) if key in row else "" for row in rows for key in keys]
    return hashlib.sha256("".join(parts).encode()).hexdigest() if all(parts) else None


def _reported(row: Mapping[str, Any], functions: Mapping[str, Any]) -> list[str]:
    """The row's metrics with the standard errors that a task gives and an entry leaves out, as they repeat a
    rate."""
    named = [metric for metric in row["metrics"] if metric in row]
    errors = [f"{metric}{_STDERR}" for metric in named if f"{metric}{_STDERR}" in functions]
    return named + [metric for metric in errors if metric not in named]


def _function(task: str, name: str) -> Callable[[list[Any]], Any]:
    if name == "mean":
        return _mean
    module, _, function = name.rpartition(".")
    if not module.startswith("turncoat."):
        needed = "an export needs 'mean' or one of turncoat's modules"
        raise UserError(f"{task}: its aggregation '{name}' is the task's own; {needed}")
    return getattr(importlib.import_module(module), function)


def _mean(values: list[Any]) -> float:
    # In lm-eval's order of additions, so that its value is met to the last bit.
    return float(sum(values) / len(values))


def _config(use: TrackTask, version: float | None) -> dict[str, Any]:
    content = task_content(use.task)
    config: dict[str, Any] = {"task": use.task, "output_type": content.get("output_type"), "num_fewshot": 0}
    config["metadata"] = {"version": version}
    metrics = content["metric_list"]
    config["metric_list"] = [{**one, "aggregation": str(one["aggregation"])} for one in metrics]
    if use.samples is not None:
        config["repeats"] = use.samples
        options = content.get("generation_kwargs", {})
        config["generation_kwargs"] = {**options, "max_gen_toks": use.max_gen_toks}
    return config
