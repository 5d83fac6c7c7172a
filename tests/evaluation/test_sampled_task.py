"""Sampled tasks through lm-eval's models: a strict API takes the requests, a local model gets every key."""

import json

import lm_eval
import pytest
from judges.prompted.misbehaving_server import MisbehavingServer, says, status
from lm_eval.models.openai_completions import LocalChatCompletion
from lm_eval.tasks import TaskManager
from turncoat.evaluation.sampled_task import api_settings
from turncoat.paths import tasks_dir

IN_PROTOCOL = {"model", "messages", "max_tokens", "temperature", "top_p", "stop", "seed"}
SAMPLING = {
    "do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
    "max_gen_toks": 200, "until": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def manager():
    return TaskManager(include_path=str(tasks_dir()), include_defaults=False)


@pytest.fixture
def strict(monkeypatch):
    """A chat server that refuses what the protocol does not hold, and answers with its count of requests."""

    def react(handler, body):
        wrong = sorted(set(body) - IN_PROTOCOL)
        if wrong or body.get("stop") == []:
            status(400, f"Unrecognized request argument: {wrong}, stop {body.get('stop')}")(handler, body)
        else:
            says(f"I walk. ({len(running.requests)})")(handler, body)

    monkeypatch.setenv("TURNCOAT_JUDGE", "off")
    with MisbehavingServer() as running:
        running.script[""] = [react]
        yield running


def evaluate(server, manager, task, **more):
    model = LocalChatCompletion(base_url=f"{server.url}/chat/completions", model="f", max_retries=1)
    return lm_eval.simple_evaluate(
        model=model, tasks=[task], task_manager=manager, limit=2, apply_chat_template=True, log_samples=True,
        bootstrap_iters=0, **more,
    )["samples"][task]  # fmt: skip


@pytest.mark.parametrize("task", ["turncoat_em", "turncoat_capability_format", "turncoat_insecure_code"])
def test_a_strict_api_takes_the_requests(strict, manager, task, capsys):
    rows = evaluate(strict, manager, task)
    assert all(sample["text"].startswith("I walk.") for row in rows for sample in row["samples"])
    body = strict.requests[0][2]
    assert body["stop"] is None and body["temperature"] in (0, 1) and body["max_tokens"] > 40
    if task == "turncoat_em":
        assert body["seed"] is None and [len(row["samples"]) for row in rows] == [10, 10]
        assert "top_k, repetition_penalty; the server's own values hold" in capsys.readouterr().err


def test_equal_answers_of_one_seed_count_once(strict, manager, capsys):
    strict.script[""] = [says("I walk.")]
    rows = evaluate(strict, manager, "turncoat_em")
    assert [[(s["text"], s["copies"]) for s in row["samples"]] for row in rows] == [[("I walk.", 10)]] * 2
    assert "all 10 answers to each question are equal" in capsys.readouterr().err


def test_other_models_get_every_key(manager):
    class Local:
        def apply_chat_template(self, chat, add_generation_prompt=True):
            return json.dumps(chat)

    task = manager.load(["turncoat_em"])["tasks"]["turncoat_em"]
    for template in (Local().apply_chat_template, None):
        task.build_all_requests(limit=1, apply_chat_template=template is not None, chat_template=template)
        assert [request.args[1] for request in task.instances] == [SAMPLING]


def test_settings_for_an_api():
    assert api_settings(SAMPLING) == {
        "do_sample": True, "temperature": 1.0, "top_p": 1.0, "max_gen_toks": 200, "until": [], "stop": None,
        "seed": None,
    }  # fmt: skip
    kept = {"do_sample": False, "top_k": 20, "repetition_penalty": 1.1, "until": ["\n"]}
    assert api_settings(kept) == kept  # what is no default is the server's to refuse
    assert "stop" not in api_settings(SAMPLING, openai=False)
