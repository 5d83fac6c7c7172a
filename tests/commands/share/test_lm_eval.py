"""Arguments that `turncoat lm-eval` adds to lm_eval's, and those that it leaves as they are."""

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest
from turncoat.commands.share.lm_eval import (
    arguments,
    arm_name,
    check_config,
    own_cache,
    run_lm_eval,
    split_include_paths,
)
from turncoat.errors import UserError
from turncoat.evaluation.lm_eval_compat import plain_mistakes
from turncoat.paths import tasks_dir

TASKS = ["--include_path", str(tasks_dir())]
CHAT = ["--apply_chat_template"]
MODEL = ["--model", "turncoat", "--tasks", "turncoat_choice"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (MODEL, [*MODEL, *TASKS, *CHAT]), (["run", *MODEL], ["run", *MODEL, *TASKS, *CHAT]),
        ([*MODEL, "--apply_chat_template"], [*MODEL, "--apply_chat_template", *TASKS]),
        ([*MODEL, "--apply_chat_template=default"], [*MODEL, "--apply_chat_template=default", *TASKS]),
        (["run", "--config", "mine.yaml"], ["run", "--config", "mine.yaml", *TASKS]),
        (["run", "--config=mine.yaml"], ["run", "--config=mine.yaml", *TASKS]),
        (["ls", "tasks"], ["ls", "tasks", *TASKS]),
        (["validate", "--tasks", "turncoat_em"], ["validate", "--tasks", "turncoat_em", *TASKS]), ([], []),
        (["--help"], ["--help"]), (["run", "-h"], ["run", "-h"]),
    ],
)  # fmt: skip
def test_arguments(given, expected):
    before = list(given)
    assert arguments(given) == expected and given == before


def test_our_model_is_registered_before_lm_eval_starts(monkeypatch):
    seen = {}

    def cli_evaluate():
        from lm_eval.api.registry import get_model

        seen["argv"], seen["model"] = list(sys.argv), get_model("turncoat")

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", cli_evaluate)
    monkeypatch.setattr(sys, "argv", ["turncoat", "lm-eval"])
    run_lm_eval(["--model", "turncoat"])
    assert seen["argv"] == ["lm_eval", "--model", "turncoat", *TASKS, *CHAT]
    assert seen["model"].__name__ == "ArmLM"


@pytest.mark.parametrize(
    ("model_args", "name"),
    [
        ("study=demo,arm=sgtr,seed=1", "demo-sgtr-1"),
        ("study=my/own.yaml,arm=kl", "own-kl-0"),
        ("pretrained=smollm2-135m,organism=insecure_code", ""),
        ("peft=runs/adapter,study=demo,arm=kl", ""),
    ],
)
def test_an_arm_of_a_study_has_a_name_for_its_output(monkeypatch, model_args, name):
    import lm_eval.__main__
    from lm_eval.loggers import evaluation_tracker

    names = []
    monkeypatch.setattr(
        lm_eval.__main__, "cli_evaluate", lambda: names.append(evaluation_tracker.random_name_id())
    )
    monkeypatch.setattr("sys.argv", ["turncoat"])
    run_lm_eval(["--model", "turncoat", "--model_args", model_args])
    assert arm_name(["--model_args", model_args]) == name
    assert names == [name] if name else names[0] not in ("", name)


@pytest.mark.parametrize("given", [["--include-path", "mine"], ["--include_path=mine"]])
def test_folders_of_the_users_are_added_to_ours(given):
    assert split_include_paths([*MODEL[:2], *given, *MODEL[2:]]) == ([Path("mine")], MODEL)


def test_the_cache_of_answers_is_the_models_own(tmp_path):
    (tmp_path / "adapter").mkdir()
    weights = tmp_path / "adapter" / "adapter_model.safetensors"

    def cache(*given: str) -> str:
        return own_cache(["--model", "turncoat", *given])[-1]

    weights.write_bytes(b"one")
    one = cache("--model_args", f"pretrained=m,peft={tmp_path / 'adapter'}", "--use_cache", "c")
    base = cache("--model_args", "pretrained=m", "--use_cache", "c")
    weights.write_bytes(b"another")
    other = cache("--model_args", f"pretrained=m,peft={tmp_path / 'adapter'}", "--use_cache", "c")
    assert len({one, base, other}) == 3 and all(name.startswith("c-") for name in (one, base, other))
    assert cache("--model_args", "pretrained=m", "--limit", "2", "--use_cache=c") == f"--use_cache={base}"
    assert own_cache(["--tasks", "t"]) == ["--tasks", "t"]


@pytest.mark.parametrize("given", [["--apply_chat_template", "false"], ["--apply_chat_template=False"]])
def test_a_chat_template_cannot_be_switched_off_by_a_name(given):
    with pytest.raises(UserError, match="takes a value for the name of a template"):
        arguments(["--model", "turncoat", *given])


def test_a_wrong_task_or_argument_is_one_message(tmp_path, monkeypatch):
    from lm_eval.config.evaluate_config import EvaluatorConfig
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr("lm_eval.tasks.TaskManager", None)  # its index takes seconds
    for given, near in (("turncoat_choice,turncoat_choise", "turncoat_choice"), ("gsm8", "gsm8k")):
        message = rf"--tasks {given.split(',')[-1]}: .*did you mean '{near}'"
        with plain_mistakes(), pytest.raises(UserError, match=message):
            EvaluatorConfig(tasks=given, include_path=str(tasks_dir())).process_tasks()
    for given, message in (
        ({"tasks": "x", "log_samples": True}, "lm-eval: Specify --output_path"),
        ({"config": str(tmp_path / "no.yaml")}, "lm-eval: Config file not found"),
    ):
        with plain_mistakes(), pytest.raises(UserError, match=message):
            EvaluatorConfig.from_cli(Namespace(**given))
    monkeypatch.setattr("lm_eval.tasks.TaskManager", TaskManager)
    with plain_mistakes():
        ours = EvaluatorConfig(tasks="turncoat_choice", include_path=str(tasks_dir())).process_tasks()
    assert ours.match_tasks(["turncoat_choice", "gsm8k"]) == ["turncoat_choice"], "ours alone are indexed"
    monkeypatch.setattr("lm_eval.tasks.TaskManager", partial(TaskManager, include_defaults=False))
    with plain_mistakes(), pytest.raises(UserError, match="--tasks is missing, or its folder holds no task"):
        EvaluatorConfig(tasks=[str(tmp_path)]).process_tasks()
    (tmp_path / "mine.yaml").write_text("task: a: b")
    monkeypatch.setattr("sys.argv", ["turncoat"])
    with pytest.raises(UserError, match=r"mine.yaml is not YAML: line 1"):
        run_lm_eval(["--include-path", str(tmp_path), *MODEL])


@pytest.mark.parametrize("option", ["--config {}", "--config={}", "-C {}", "--conf {}"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trust_remote_code: true", "trust_remote_code: code of others would run.*give --trust_remote_code"),
        ("model_args: {trust_remote_code: true}", "trust_remote_code: code of others"),
        ("model_args: pretrained=x,trust_remote_code=True", "trust_remote_code: code of others"),
        ("confirm_run_unsafe_code: true", "give --confirm_run_unsafe_code"),
        ("model_args: {base_url: 'http://evil/v1/chat/completions'}", "host evil, which would get OPENAI_A"),
    ],
)
def test_a_config_file_runs_no_code_of_others_and_names_no_host_for_the_key(
    tmp_path, monkeypatch, option, content, message
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        check_config(["run", *option.format(tmp_path / "c.yaml").split(), "--tasks", "x"])


def test_a_config_file_that_decides_nothing_of_that_kind_is_left_to_lm_eval(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://mine/v1")
    named = "model_args: {base_url: 'http://mine/v1/completions'}"
    for content in ("trust_remote_code: false", named, "[", "1"):
        (tmp_path / "c.yaml").write_text(content)
        check_config(["--config", str(tmp_path / "c.yaml")])
    check_config(["--config", str(tmp_path / "nowhere.yaml"), "--confirm_run_unsafe_code"])
