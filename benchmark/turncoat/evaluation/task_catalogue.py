"""Task catalogue: the registered tasks, read from their YAML without building them."""

import copy
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from turncoat.errors import UserError, accepted, did_you_mean
from turncoat.plug_ins import by_name, task_folders, task_yamls
from turncoat.yaml_model import not_yaml


class _Plain(yaml.CSafeLoader):
    """YAML with `!function` left as text: nothing is imported to list tasks."""


_Plain.add_multi_constructor("!", lambda loader, suffix, node: str(getattr(node, "value", "")))


def task_files() -> dict[str, Path]:
    """The YAML file of each task: those that ship, then those of the user's folders (`turncoat.plug_ins`).

    Raises:
        UserError: Two files define one task, or a file cannot be read as a task.
    """
    return _task_files(task_folders())


@cache
def _task_files(folders: tuple[Path, ...]) -> dict[str, Path]:
    contents = [(_read(path), path) for path in task_yamls(folders)]
    tasks = [(content, path) for content, path in contents if isinstance(content, dict)]
    return by_name("task", ((c["task"], path) for c, path in tasks if isinstance(c.get("task"), str)))


def task_names() -> list[str]:
    """All tasks, those that ship and those of the user's folders."""
    return list(task_files())


def is_task(task: str) -> bool:
    """True for one of these tasks, or a single task of lm-eval's own."""
    return task in task_files() or _of_lm_eval(task) is not None


def _of_lm_eval(task: str) -> Path | None:
    from turncoat.evaluation.lm_eval_compat import default_task_file  # loads asyncio and ssl by way of mock

    return default_task_file(task)


def task_file(task: str) -> Path:
    """The task's YAML, which may be lm-eval's own.

    Raises:
        UserError: There is no such task.
    """
    path = task_files().get(task) or _of_lm_eval(task)
    if path is None:
        raise UserError(unknown_task(task))
    return path


def unknown_task(task: str) -> str:
    """The message about a name that no task has: the nearest of these, else of lm-eval's own, then these."""
    from turncoat.evaluation.lm_eval_compat import default_folder, names_in

    ours = task_names()
    near = did_you_mean(ours, task) or did_you_mean(names_in(default_folder()).files, task)
    return f"'{task}' is not a task; {near}{accepted(ours)}"


def hub_dataset(task: str) -> str:
    """For a task of lm-eval's own: the data set that it fetches from the Hugging Face hub; "" for any
    other."""
    return "" if task in task_files() else str(task_content(task).get("dataset_path") or "")


def task_content(task: str) -> dict[str, Any]:
    """The task's YAML with its `include`d parts, functions left as text."""
    content: dict[str, Any] = copy.deepcopy(_content(task_file(task)))
    return content


def task_metadata(task: str) -> Mapping[str, Any]:
    """The task's `metadata`, with those keys of an included file that it does not replace."""
    return MappingProxyType(_content(task_file(task)).get("metadata") or {})


@cache  # a report asks for every metric's facts, and parsing YAML is most of its time
def _content(path: Path) -> Any:
    return _read(path)


def task_metrics(task: str) -> list[str]:
    """The metrics a task can report, one value per question each.

    Not among them: `samples` (the answers) and `<metric>_stderr` (a clustered standard error for lm-eval's
    own table).
    """
    content = _content(task_file(task))  # asked for once a row: not copied
    listed = content.get("metric_list")
    if listed:
        names = [entry["metric"] for entry in listed]
    else:
        from turncoat.evaluation.lm_eval_compat import default_metrics

        names = default_metrics(content.get("output_type", ""))
    return [name for name in names if name != "samples" and not name.endswith("_stderr")]


def is_judged(task: str) -> bool:
    """True if the task's answers get a judge's verdicts."""
    return "JudgeAnswers" in json.dumps(task_content(task).get("filter_list"))


def has_trait_scores(task: str) -> bool:
    """True if a judge that can rate a trait scores the task's answers for it."""
    return "TraitScores" in json.dumps(task_content(task).get("filter_list"))


def trait_of(task: str) -> str | None:
    """The persona whose vector the task's documents are projected on; None without one."""
    trait = (task_content(task).get("dataset_kwargs") or {}).get("trait")
    return None if trait is None else str(trait)


def metric_names(tasks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The metrics of several tasks under names that tell them apart: {name: (task, metric)}.

    A metric that several of the tasks have is called `metric@task`, without the task's prefix:
    `em_rate@em_cue`.
    """
    pairs = [(task, metric) for task in tasks for metric in task_metrics(task)]
    shared = Counter(metric for _, metric in pairs)
    return {
        metric if shared[metric] == 1 else f"{metric}@{task.removeprefix('turncoat_')}": (task, metric)
        for task, metric in pairs
    }


def metric_facts(task: str) -> dict[str, dict[str, str]]:
    """Label, unit and direction of each metric, from `metadata.metrics` of the task's YAML."""
    declared = task_metadata(task).get("metrics") or {}
    plain = {"unit": "", "direction": ""}
    return {name: {"label": name, **plain, **declared.get(name, {})} for name in task_metrics(task)}


def task_summary(task: str) -> str:
    """The first comment of the task's YAML: one line of what it measures."""
    first = task_file(task).read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("#").strip()


def _read(path: Path, including: tuple[Path, ...] = ()) -> Any:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain)
    except OSError as error:
        by = f" (included by {including[-1]})" if including else ""
        raise UserError(f"{path}: {error.strerror}{by}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise not_yaml(path, error) from error
    if not isinstance(content, dict):
        return content
    _check_shape(path, content)
    if "include" not in content:
        return content
    parts = content.pop("include")
    merged: dict[str, Any] = {}
    for part in parts if isinstance(parts, list) else [parts]:
        file = path.parent / str(part)
        if file in (*including, path):
            raise UserError(f"{path}, include: {part} includes itself")
        merged.update(_read(file, (*including, path)) or {})
    included, own = merged.get("metadata"), content.get("metadata")
    if isinstance(included, dict) and isinstance(own, dict):
        content["metadata"] = _with_included(included, own)
    return {**merged, **content}  # as in lm-eval: the file's own keys win


def _check_shape(path: Path, content: dict[str, Any]) -> None:
    metrics = content.get("metric_list") or []
    if not (isinstance(metrics, list) and all(isinstance(m, dict) and "metric" in m for m in metrics)):
        raise UserError(
            f"{path}, metric_list: {metrics!r} is not accepted; accepted: - {{metric: NAME}}, ..."
        )
    if not isinstance(content.get("task", ""), str | list):
        raise UserError(f"{path}, task: {content['task']!r} is not accepted; accepted: a name")
    for key in ("metadata", "dataset_kwargs"):
        if not isinstance(content.get(key) or {}, dict):
            raise UserError(f"{path}, {key}: {content[key]!r} is not accepted; accepted: {{key: value}}")


def _with_included(included: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`metadata` of a variant: what it says, and of the included file the rest; metrics fact by fact.

    lm-eval itself takes the variant's `metadata` alone; it reads the version there, so a variant repeats
    that.
    """
    metrics = {name: dict(facts) for name, facts in (included.get("metrics") or {}).items()}
    for name, facts in (own.get("metrics") or {}).items():
        metrics[name] = {**metrics.get(name, {}), **facts}
    return {**included, **own, "metrics": metrics}
