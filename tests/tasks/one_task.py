"""One task of ours in this process: its score module, and a run through lm-eval's evaluator."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from turncoat.paths import tasks_dir

needs_data = pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
SHORT = {"max_gen_toks": 6}


def lines_of(path: Path) -> list[Any]:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def module_of(folder: str, name: str = "score") -> ModuleType:
    """A task folder's own Python file, as lm-eval would load it."""
    path = tasks_dir() / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_of_{folder}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def evaluate(lm: Any, manager: Any, *tasks: Any, limit: int = 4, repeats: int = 0, **more: Any) -> Any:
    """lm-eval's results of tasks given by name or loaded; `repeats` cuts the answers to a question."""
    import lm_eval

    if repeats:
        tasks = tuple(manager.load([name])["tasks"][name] for name in tasks)
        for task in tasks:
            task.set_config(key="repeats", value=repeats)
    results = lm_eval.simple_evaluate(
        model=lm, tasks=list(tasks), task_manager=manager, apply_chat_template=True, bootstrap_iters=0,
        log_samples=True, verbosity="ERROR", limit=limit, **more,
    )  # fmt: skip
    assert results is not None
    return results


def run_one(lm: Any, folder: str, task: str, *, limit: int, repeats: int = 0, **metadata: Any) -> Any:
    """Results (metric -> value) and rows, as a samples file would hold them; answers of at most 6 tokens."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks_dir() / folder), include_defaults=False, metadata=metadata)
    loaded = manager.load([task])["tasks"][task]
    if repeats:
        loaded.set_config(key="repeats", value=repeats)
    if loaded.config.generation_kwargs:
        loaded.config.generation_kwargs["max_gen_toks"] = 6
    found = evaluate(lm, manager, loaded, limit=limit)
    values = {
        key.partition(",")[0]: value
        for key, value in found["results"][task].items()
        if "_stderr" not in key and not isinstance(value, str)
    }
    return values, json.loads(json.dumps(found["samples"][task], default=str))
