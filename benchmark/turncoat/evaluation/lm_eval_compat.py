"""Workarounds for lm-eval: every patch of the library and every use of its private parts, and when each can
go.

All are needed with lm-eval 0.4.13, the newest release when this was written. Look through this file when the
bound on lm-eval in pyproject.toml is raised: each function says what a release must offer for it to be
deleted.
"""

import functools
import glob
import hashlib
import importlib.util
import logging
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from turncoat.errors import UserError, did_you_mean
from turncoat.paths import tasks_dir
from turncoat.plug_ins import task_folders
from turncoat.safe_files import check_writable

_KEY = re.compile(r"""^([ \t]*(?:- +)?)["']?(task|group|tag)["']?:[ \t]*(.+)$""", re.MULTILINE)
_ITEM = re.compile(r"""^[ \t]*- +["']?([^\s"':#]+)["']?[ \t]*$""", re.MULTILINE)
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
def less_noise() -> Iterator[None]:
    """The `lm_eval` command line without complaints that are not about anything the user did.

    A line on `--metadata` for each of our tasks, and git's where the working directory is not a checkout.
    Until: the first is said at level DEBUG, and git's errors are caught with its exit code.
    """

    def commit() -> str | None:
        with suppress(OSError):
            done = subprocess.run(
                ["git", "describe", "--always"], capture_output=True, text=True, check=False
            )
            return done.stdout.strip() or None
        return None

    def asked(record: logging.LogRecord) -> bool:
        return "Custom kwargs can be passed" not in record.getMessage()

    log = logging.getLogger("lm_eval.api.task")
    log.addFilter(asked)
    try:
        with mock.patch("lm_eval.evaluator.get_git_commit_hash", commit):
            yield
    finally:
        log.removeFilter(asked)


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
    """The `lm_eval` command line finds tasks in these folders too.

    Its `--include_path` takes one folder, its `TaskManager` any number.
    Until: `--include_path` may be given several times.
    """
    from lm_eval.tasks import TaskManager

    class Manager(TaskManager):
        def __init__(self, *arguments: Any, include_path: str | None = None, **options: Any) -> None:
            paths = [*([include_path] if include_path else []), *map(str, folders)]
            super().__init__(*arguments, include_path=paths, **options)

    with mock.patch("lm_eval.tasks.TaskManager", Manager):
        yield


@contextmanager
def plain_mistakes() -> Iterator[None]:
    """A mistake in the arguments or the configuration of lm-eval is a UserError with lm-eval's sentence.

    A task that no YAML names is refused before lm-eval parses all of them, which takes it ten seconds.
    Until: `lm_eval` ends with a message of its own, without a traceback, and with the names that are near.
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
        given = [config.tasks] if isinstance(config.tasks, str) else config.tasks or []
        names = [name for part in given for name in (part.split(",") if isinstance(part, str) else [""])]
        more = [Path(config.include_path)] if isinstance(config.include_path, str) else []
        _check_names(names, [*task_folders(), *more])
        with _own_tasks_alone() if names_in(tasks_dir()).words.issuperset(names) else nullcontext():
            manager = process(config, *arguments, **options)
        if not config.tasks:
            raise UserError("--tasks is missing, or its folder holds no task; see `turncoat list tasks`")
        return manager

    with (
        mock.patch.object(EvaluatorConfig, "from_cli", plain(EvaluatorConfig.from_cli)),
        mock.patch.object(EvaluatorConfig, "process_tasks", some_tasks),
    ):
        yield


@dataclass(frozen=True)
class TaskNames:
    """Names in the YAML files of a folder, read as text: lm-eval's index takes ten times as long."""

    files: Mapping[str, Path]  # of single tasks
    words: frozenset[str]  # tasks, groups, tags and what stands in lists


@functools.cache
def names_in(folder: Path) -> TaskNames:
    """The names of tasks in a folder.

    Until: the index of lm-eval can be asked for one name.
    """
    files: dict[str, Path] = {}
    words: set[str] = set()
    for path in sorted(glob.iglob(f"{glob.escape(str(folder))}/**/*.yaml", recursive=True)):
        text = Path(path).read_text("utf-8", errors="replace")
        words.update(_ITEM.findall(text))
        for indent, key, value in _KEY.findall(text):
            names = re.findall(r"""[^\s\[\]{},"']+""", value.partition(" #")[0])
            words.update(names)
            if key == "task" and not indent and len(names) == 1 and not value.startswith("["):
                files.setdefault(names[0], Path(path))
    return TaskNames(files, frozenset(words))


def default_folder() -> Path:
    """The folder of lm-eval's own tasks, found without importing it, which takes seconds."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None and spec.origin is not None, "a dependency"
    return Path(spec.origin).parent / "tasks"


def default_task_file(task: str) -> Path | None:
    """The YAML of a single task of lm-eval's own (gsm8k, mmlu_anatomy); None for groups and unknown names."""
    return names_in(default_folder()).files.get(task)


def _check_names(names: Iterable[str], folders: Sequence[Path]) -> None:
    """Refuse names in `--tasks` that nothing goes by; patterns, files and folders are left to lm-eval.

    Raises:
        UserError: With the nearest name: of these folders, else of lm-eval's own.
    """
    places = [*folders, default_folder()]
    for name in names:
        left = not name or set(name) & set("*?[") or name.endswith(".yaml") or Path(name).exists()
        if not left and not any(name in names_in(folder).words for folder in places):
            near = next(filter(None, (did_you_mean(names_in(folder).words, name) for folder in places)), "")
            raise UserError(
                f"--tasks {name}: there is no such task; {near}`turncoat list tasks` names those of "
                "Turncoat, `turncoat lm-eval ls tasks` all"
            )


@contextmanager
def _own_tasks_alone() -> Iterator[None]:
    """lm-eval parses the YAML of its own tasks only where one of them is asked for.

    Until: its index is made when it is asked.
    """
    import lm_eval.tasks

    manager = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)
    with mock.patch("lm_eval.tasks.TaskManager", manager):
        yield


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
