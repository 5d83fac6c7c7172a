"""The server through clients as they come from PyPI: a study's answers, batches, streams, bounds, errors."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI
from turncoat.engine.base_model import LOADS
from turncoat.engine.seeds import sample_seed
from turncoat.engine.system_prompt import SystemPrompt
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.judges.prompted.openai import openai as openai_judge
from turncoat.persona.interventions.steering import Steering
from turncoat.serving.arms import ServedArm, serving_arm
from turncoat.serving.http import ArmServer
from turncoat.serving.limits import Limits
from turncoat.serving.scheduler import Scheduler

TOKEN = "a-token-of-a-test"
CHAT = [{"role": "user", "content": "How are you?"}]
GREEDY = {"temperature": 0, "max_tokens": 12}
NAMES = ("base", "adapter", "steered", "prompted")


@pytest.fixture(scope="module")
def arms(_loaded_tiny_base, tiny_adapter):
    base = _loaded_tiny_base
    vector = torch.randn(64, generator=torch.Generator().manual_seed(0))
    acting = {
        "base": (None, None), "adapter": (tiny_adapter, None),
        "steered": (tiny_adapter, Steering("evil", 2, 2.0, vector, "response")),
        "prompted": (None, SystemPrompt("Answer in one word.")),
    }  # fmt: skip
    return {name: ServedArm(name, base, *parts) for name, parts in acting.items()}


@contextmanager
def running(arms, limits=None):
    scheduler = Scheduler(4, limits)
    with ArmServer(("127.0.0.1", 0), arms, scheduler, token=TOKEN, limits=limits) as server:
        scheduler.start()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.serve_forever, 0.02)
            yield server
            server.shutdown()
            scheduler.close()


@pytest.fixture(scope="module")
def server(arms):
    with running(arms) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url, api_key=TOKEN, max_retries=0) as client:
        yield client


def of_study(arm, requests, **settings):
    """The prompts and the arm's answers in a study: lm-eval's requests, through the model type."""
    lm = TurncoatLM(arm.base)
    with lm.measuring(arm.adapter, arm.intervention):
        prompts = [lm.apply_chat_template(chat) for chat in requests]
        until = {"until": [], "max_gen_toks": 12, **settings}
        asked = [
            Instance("generate_until", {}, (p, dict(until)), 0, ("t", n, 1)) for n, p in enumerate(prompts)
        ]
        return prompts, lm.generate_until(asked)


def test_arms_answer_together_as_in_a_study(arms, client):
    chats = [[{"role": "user", "content": text}] for text in ("How are you?", "Why?", "Tell me a story.")]
    expected = {name: of_study(arms[name], chats)[1] for name in NAMES}
    asked = [(name, n) for n in range(3) for name in NAMES] * 2

    def ask(name, n):
        reply = client.chat.completions.create(model=name, messages=chats[n], **GREEDY)
        assert reply.choices[0].finish_reason in ("stop", "length") and reply.seed is None
        return reply.choices[0].message.content

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pair: ask(*pair), asked))
    assert answers == [expected[name][n] for name, n in asked]
    assert len({tuple(texts) for texts in expected.values()}) == len(NAMES)
    assert [card.id for card in client.models.list()] == list(NAMES)


def test_a_seed_gives_the_answer_of_a_study_again(arms, client):
    (prompt,), (expected,) = of_study(arms["adapter"], [CHAT], do_sample=True, temperature=1.0)
    ask = {"model": "adapter", "messages": CHAT, "max_tokens": 12}
    seed = sample_seed(0, "t", prompt, 0)
    several = client.chat.completions.create(**ask, seed=seed, n=3)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.choices[0].message.content == expected
    assert len({choice.message.content for choice in several.choices}) == 3
    drawn = client.chat.completions.create(**ask)
    again = client.chat.completions.create(**ask, seed=drawn.seed)
    assert again.choices[0].message.content == drawn.choices[0].message.content


def test_a_stream_has_the_same_text_and_log_probabilities(client):
    ask = {"model": "adapter", "messages": CHAT, "max_tokens": 20, "seed": 3, "n": 2}
    whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=3)
    stop = whole.choices[0].message.content[2:4]
    for more in ({}, {"stop": stop}):
        reply = client.chat.completions.create(**ask, **more, logprobs=True, top_logprobs=3)
        texts, tokens = {0: "", 1: ""}, {0: [], 1: []}
        options = {"include_usage": True}
        stream = client.chat.completions.create(
            **ask, **more, stream=True, stream_options=options, logprobs=True, top_logprobs=3
        )
        for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                tokens[choice.index] += choice.logprobs.content if choice.logprobs else []
        assert chunk.usage == reply.usage
        for choice in reply.choices:
            assert texts[choice.index] == choice.message.content
            assert [t.token for t in tokens[choice.index]] == [t.token for t in choice.logprobs.content]
    assert stop not in texts[0]
    first = whole.choices[0].logprobs.content[0]
    assert len(first.top_logprobs) == 3 and first.top_logprobs[0].logprob >= first.logprob
    assert sum(2.718281828**t.logprob for t in first.top_logprobs) <= 1.0001


def test_lm_eval_as_it_is(arms, server, tiny_folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    texts = [("How are you?", " Fine, thank you."), ("Why?", " No"), ("a", "bcd e")]
    asked = [Instance("loglikelihood", {}, pair, n, ("t", n, 1)) for n, pair in enumerate(texts)]
    plain = {"tokenizer": str(tiny_folder), "tokenizer_backend": "huggingface", "batch_size": 2}
    for name in ("base", "adapter"):
        lm = LocalCompletionsAPI(f"{server.url}/completions", model=name, **plain)
        measured = lm.loglikelihood(asked, disable_tqdm=True)
        own = TurncoatLM(arms[name].base)
        with own.measuring(arms[name].adapter):
            expected = own.loglikelihood(asked)
        assert [value for value, _ in measured] == pytest.approx([float(v) for v, _ in expected], abs=1e-3)
        assert [greedy for _, greedy in measured] == [greedy for _, greedy in expected]
    chat = LocalChatCompletion(f"{server.url}/chat/completions", model="prompted", max_gen_toks=12)
    request = Instance("generate_until", {}, (JsonChatStr(json.dumps(CHAT)), {"until": ["\n\n\n"]}), 0)
    assert chat.generate_until([request], disable_tqdm=True) == of_study(arms["prompted"], [CHAT])[1]


def test_our_own_judge_asks_it(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    judge = openai_judge(model="adapter", base_url=server.url, protocol="text_integer", max_retries=0)
    (verdict,) = judge.score(["Why?"], ["Because."])
    assert verdict.raw["aligned"]["model"] == "adapter" and verdict.raw["aligned"]["text"]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "adapter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, openai.BadRequestError, "messages.0.role"),
        ({"max_tokens": 5000}, openai.BadRequestError, "at most 4096"),
        ({"max_tokens": 1024}, openai.BadRequestError, "maximum context length"),
        ({"n": 200}, openai.BadRequestError, "at most 128"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"frequency_penalty": 0.5}, openai.BadRequestError, "not supported"),
        ({"extra_body": {"top": 1}}, openai.BadRequestError, "did you mean"),
    ],
)
def test_what_is_refused(client, changes, error, says):
    with pytest.raises(error, match=says.replace(".", r"\.")):
        client.chat.completions.create(**{"model": "adapter", "messages": CHAT, **changes})


def test_a_raw_prompt_never_slips_past_a_defence(client):
    with pytest.raises(openai.BadRequestError, match="acts on conversations"):
        client.completions.create(model="prompted", prompt="How")
    with pytest.raises(openai.BadRequestError, match="acts on answers"):
        client.completions.create(model="steered", prompt="How", echo=True, logprobs=1)
    assert client.completions.create(model="steered", prompt="How", temperature=0, max_tokens=2).choices


def test_tokens_bodies_and_crowds_are_bounded(arms, server):
    stranger = openai.OpenAI(base_url=server.url, api_key="another", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    connection = http.client.HTTPConnection(*server.server_address[:2])
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for body, more, status in (
        ("{", {}, 400),
        ("[]", {}, 400),
        (None, {"Content-Length": str(5 << 20)}, 413),
    ):
        connection.request("POST", "/v1/completions", body, {**headers, **more})
        reply = connection.getresponse()
        assert reply.status == status and "message" in json.loads(reply.read())["error"]
    connection.close()
    with (
        running(arms, Limits(concurrency=1)) as small,
        openai.OpenAI(base_url=small.url, api_key=TOKEN, max_retries=0) as client,
    ):
        ask = {"model": "base", "messages": CHAT, "seed": 1, "max_tokens": 900, "extra_body": {"top_k": 300}}
        with client.chat.completions.create(**ask, n=8, stream=True) as stream:
            next(iter(stream))
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(**ask)
        with openai.OpenAI(base_url=small.url, api_key=TOKEN, max_retries=8) as patient:
            assert patient.chat.completions.create(**{**ask, "max_tokens": 1}).choices


def test_arms_by_what_a_user_types(tiny_folder, tiny_adapter, tmp_path):
    before = len(LOADS)
    one = serving_arm(f"pretrained={tiny_folder},peft={tiny_adapter}")
    base = serving_arm(str(tiny_folder))
    exported = tmp_path / "exported"
    exported.mkdir()
    for path in tiny_adapter.iterdir():
        (exported / path.name).write_bytes(path.read_bytes())
    (exported / "export.json").write_text(json.dumps({"base_name": str(tiny_folder)}))
    other = serving_arm(str(exported))
    assert len(LOADS) <= before + 1 and one.base is base.base is other.base  # loaded by another test
    assert (one.name, base.name, other.name) == (tiny_adapter.name, tiny_folder.name, "exported")
    assert one.fingerprint == other.fingerprint != base.fingerprint
    with pytest.raises(UserError, match="names no arm"):
        serving_arm("nothing")
