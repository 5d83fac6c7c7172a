"""Workarounds for lm-eval are in one module and do what they say with the installed release."""

import re

import lm_eval.evaluator
import lm_eval.loggers.evaluation_tracker as tracker
import pytest
from lm_eval.loggers.utils import add_env_info
from turncoat.errors import UserError
from turncoat.evaluation.lm_eval_compat import (
    filter_steps,
    fixed_environment,
    output_folder_name,
    results_kept,
)
from turncoat.judges.filter import JudgeAnswers
from turncoat.paths import PACKAGE
from turncoat.study.config import TaskUse
from turncoat.study.evaluate import load_task

_PATCHES = re.compile(r"^(from|import) unittest|\._filters\b", re.MULTILINE)


def test_no_other_module_of_the_package_patches_a_library():
    # testing.py patches constants of Turncoat's own, for tests of plug-ins.
    elsewhere = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("lm_eval_compat.py", "testing.py") and _PATCHES.search(path.read_text("utf-8"))
    ]
    assert elsewhere == []


def test_environment_and_output_folder_are_as_given():
    results: dict[str, str] = {}
    with fixed_environment("a machine"):
        add_env_info(results)
        assert lm_eval.evaluator.get_git_commit_hash() is None
    assert results["pretty_env_info"] == "a machine"
    with output_folder_name("demo-sgtr-0"):
        assert tracker.random_name_id() == "demo-sgtr-0"
    assert tracker.random_name_id() != "demo-sgtr-0"


def results_of(output, model: str, **more) -> list[str]:
    """Parts of a small result of the model that could not be saved."""
    from lm_eval import loggers

    with results_kept() as lost:
        made = loggers.EvaluationTracker(output_path=str(output), **more)
        made.general_config_tracker.log_experiment_args("turncoat", {"pretrained": model}, None, None, False)
        made.save_results_aggregated({"results": {}}, {})
        made.save_results_samples("task", [])
    return lost


def test_results_of_a_model_with_a_long_path_are_saved(tmp_path):
    names = []
    for tail in ("x", "y", "é" * 10):
        long = "/" + "/".join(["a folder, of many"] * 20 + [tail])
        assert results_of(tmp_path / "out", long) == []
        (folder,) = [path for path in (tmp_path / "out").iterdir() if path.name not in names]
        names.append(folder.name)
        assert len(folder.name.encode()) <= 200 and folder.name.endswith(f"many__{tail}")
        assert sorted(path.name.partition("_")[0] for path in folder.iterdir()) == ["results", "samples"]
    assert results_of(tmp_path / "short", "models/tiny") == []
    assert (tmp_path / "short" / "models__tiny").is_dir()
    assert results_of(tmp_path / "file" / "mine.json", "m") == [] and list((tmp_path / "file").glob("mine_*"))


def test_an_output_folder_that_cannot_be_written_is_refused_first(tmp_path):
    from lm_eval import loggers

    with results_kept() as lost:
        loggers.EvaluationTracker(output_path=str(tmp_path / "a" / "b"))
        assert list(tmp_path.iterdir()) == [], "what was tried is taken away"
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"--output_path .*file/out: cannot be written to \(Not a dir"):
            loggers.EvaluationTracker(output_path=str(tmp_path / "file" / "out"))
        loggers.EvaluationTracker()
    assert lost == []


def test_results_that_were_not_saved_are_named(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "models__tiny").write_text("in the way")
    assert results_of(tmp_path / "out", "models/tiny") == [f"results in {tmp_path / 'out'}"]


def test_steps_of_a_tasks_filter():
    task = load_task(TaskUse(task="turncoat_em"))
    steps = filter_steps(task)
    assert isinstance(steps[-1], JudgeAnswers)
    assert steps[-1] is not filter_steps(task)[-1], "each call gives steps of its own"
