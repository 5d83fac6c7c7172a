"""One task of ours in this process: its score module, and a run through lm-eval's evaluator."""

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

from turncoat.paths import tasks_dir


def module_of(folder: str, name: str = "score") -> ModuleType:
    """A task folder's own Python file, as lm-eval would load it."""
    path = tasks_dir() / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_of_{folder}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_one(
    lm: Any, folder: str, task: str, *, limit: int, repeats: int | None = None, **metadata: Any
) -> Any:
    """Results (metric -> value) and rows, as the samples file would hold them; answers are cut at 6 tokens."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks_dir() / folder), include_defaults=False, metadata=metadata)
    loaded = manager.load([task])["tasks"][task]
    if repeats is not None:
        loaded.set_config(key="repeats", value=repeats)
    if loaded.config.generation_kwargs:
        loaded.config.generation_kwargs["max_gen_toks"] = 6
    found = lm_eval.simple_evaluate(
        model=lm, tasks=[loaded], task_manager=manager, limit=limit, apply_chat_template=True,
        bootstrap_iters=0, log_samples=True, verbosity="ERROR",
    )  # fmt: skip
    assert found is not None
    values = {
        key.partition(",")[0]: value
        for key, value in found["results"][task].items()
        if "_stderr" not in key and not isinstance(value, str)
    }
    return values, json.loads(json.dumps(found["samples"][task], default=str))
