"""Workarounds for lm-eval: every patch of the library and every use of its private parts, and when each can
go.

All are needed with lm-eval 0.4.13, the newest release when this was written. Look through this file when the
bound on lm-eval in pyproject.toml is raised: each function says what a release must offer for it to be
deleted.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from turncoat.errors import UserError, did_you_mean
from turncoat.safe_files import check_writable

_LONGEST_NAME = 200  # Bytes; file systems take 255 for one part of a path


@contextmanager
def fixed_environment(description: str = "") -> Iterator[None]:
    """Results of `simple_evaluate` hold `description` instead of the machine's, and no git commit.

    lm-eval describes the machine again for each evaluation, by `pip list` and others: some five seconds. Its
    commit is that of the working directory, with git's complaint on the screen where that is not a checkout.
    Until: `simple_evaluate` has an argument that leaves both out.
    """
    with (
        mock.patch("torch.utils.collect_env.get_pretty_env_info", return_value=description),
        mock.patch("lm_eval.evaluator.get_git_commit_hash", return_value=None),
    ):
        yield


@functools.cache
def machine_description() -> str:
    """The description of the machine as lm-eval writes it, made once per process."""
    from torch.utils.collect_env import get_pretty_env_info

    return str(get_pretty_env_info())


@contextmanager
def output_folder_name(name: str) -> Iterator[None]:
    """The output folder of a model without `pretrained=` is called `name`.

    lm-eval draws a random name for it in each run.
    Until: `EvaluationTracker` takes the name from the model, or as an argument.
    """
    with mock.patch("lm_eval.loggers.evaluation_tracker.random_name_id", return_value=name):
        yield


@contextmanager
def results_kept() -> Iterator[list[str]]:
    """`--output_path` is made before anything is measured, and a model's folder in it gets a name that fits.

    Yields a list of what could not be written: lm-eval logs that and ends as if nothing had happened.
    Until: `EvaluationTracker` makes its folder when it is made, and raises where it cannot write.
    """
    from lm_eval.loggers import EvaluationTracker, evaluation_tracker

    lost: list[str] = []

    class Tracker(EvaluationTracker):
        def __init__(self, output_path: str | None = None, **options: Any) -> None:
            if output_path:
                output = Path(output_path)
                check_writable(output.parent if output.suffix == ".json" else output, "--output_path")
            super().__init__(output_path, **options)

        def save_results_aggregated(self, results: dict[str, Any], samples: Any = None) -> None:
            super().save_results_aggregated(results, samples)
            if self.output_path and not any(Path(self.output_path).parent.rglob(f"*_{self.date_id}.json")):
                lost.append(f"results in {self.output_path}")

    full = evaluation_tracker.sanitize_model_name
    with (
        mock.patch("lm_eval.loggers.EvaluationTracker", Tracker),
        mock.patch.object(evaluation_tracker, "sanitize_model_name", lambda name: _short(full(name))),
    ):
        yield lost


def _short(name: str) -> str:
    """A folder's name of at most 200 bytes: a hash and the end of one that is longer."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    mark = hashlib.sha256(encoded).hexdigest()[:12]
    return f"{mark}__{encoded[len(mark) + 2 - _LONGEST_NAME :].decode(errors='ignore')}"


@contextmanager
def more_task_folders(folders: Sequence[Path]) -> Iterator[None]:
    """The `lm_eval` command line finds tasks in these folders too, and says what a wrong name may mean.

    Its `--include_path` takes one folder, its `TaskManager` any number.
    Until: `--include_path` may be given several times; an unknown task is a message with near names.
    """
    from lm_eval.tasks import TaskManager

    class Manager(TaskManager):
        def __init__(self, *arguments: Any, include_path: str | None = None, **options: Any) -> None:
            paths = [*([include_path] if include_path else []), *map(str, folders)]
            super().__init__(*arguments, include_path=paths, **options)

        def match_tasks(self, task_list: list[str]) -> list[str]:
            found = super().match_tasks(task_list)
            if not found and not Path(task_list[0]).is_dir():
                wrong = task_list[0]
                raise UserError(
                    f"--tasks {wrong}: there is no such task; {did_you_mean(self.all_tasks, wrong)}`turncoat "
                    "list tasks` names those of Turncoat, `turncoat lm-eval ls tasks` all"
                )
            return found

    with mock.patch("lm_eval.tasks.TaskManager", Manager):
        yield


@contextmanager
def plain_mistakes() -> Iterator[None]:
    """A mistake in the arguments or the configuration of lm-eval is a UserError with lm-eval's sentence.

    Until: `lm_eval` ends with a message of its own, without a traceback.
    """
    from lm_eval.config.evaluate_config import EvaluatorConfig

    def plain(method: Any) -> Any:
        @functools.wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except UserError:
                raise
            except (ValueError, TypeError, KeyError, OSError, ImportError, yaml.YAMLError) as error:
                raise UserError(f"lm-eval: {' '.join(str(error).split())}") from error

        return call

    process = plain(EvaluatorConfig.process_tasks)

    def some_tasks(config: Any, *arguments: Any, **options: Any) -> Any:
        manager = process(config, *arguments, **options)
        if not config.tasks:
            raise UserError("--tasks is missing, or its folder holds no task; see `turncoat list tasks`")
        return manager

    with (
        mock.patch.object(EvaluatorConfig, "from_cli", plain(EvaluatorConfig.from_cli)),
        mock.patch.object(EvaluatorConfig, "process_tasks", some_tasks),
    ):
        yield


@functools.cache
def default_task_file(task: str) -> Path | None:
    """The YAML of a single task of lm-eval's own (gsm8k, mmlu_anatomy); None for groups and unknown names.

    The files are searched as text: the index of lm-eval takes ten times as long.
    Until: the index can be asked for one task.
    """
    import lm_eval.tasks

    line = re.compile(rf"""^["']?task["']?:\s*["']?{re.escape(task)}["']?\s*(#.*)?$""", re.MULTILINE)
    for path in sorted(Path(lm_eval.tasks.__file__).parent.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if task in text and line.search(text):
            return path
    return None


def default_metrics(output_type: str) -> list[str]:
    """Metrics of a task whose YAML lists none.

    Until: lm-eval documents them; its registry is not public.
    """
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

    return list(DEFAULT_METRIC_REGISTRY.get(output_type, []))


@contextmanager
def without_request_bar() -> Iterator[None]:
    """`task.build_all_requests` shows no progress bar: it takes milliseconds.

    Until: `build_all_requests` has an argument for it.
    """
    with mock.patch("lm_eval.api.task.tqdm", lambda items, **_: items):
        yield


def filter_steps(task: Any) -> list[Any]:
    """New instances of the steps of a task's first filter, in order.

    Until: a task gives its filters by a public name; its config holds their names alone.
    """
    return [build() for build in task._filters[0].filters]
