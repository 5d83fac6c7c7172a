"""Workarounds for lm-eval are in one module and do what they say with the installed release."""

import re

import lm_eval.evaluator
import lm_eval.loggers.evaluation_tracker as tracker
from lm_eval.loggers.utils import add_env_info
from turncoat.evaluation.lm_eval_compat import filter_steps, fixed_environment, output_folder_name
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


def test_steps_of_a_tasks_filter():
    task = load_task(TaskUse(task="turncoat_em"))
    steps = filter_steps(task)
    assert isinstance(steps[-1], JudgeAnswers)
    assert steps[-1] is not filter_steps(task)[-1], "each call gives steps of its own"
