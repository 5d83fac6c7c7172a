"""Requests, protocols and options of the endpoint judge, and the evidence that it keeps."""

import json
import math

import pytest
from judges.prompted.endpoint_helpers import judge_at, scored
from judges.prompted.misbehaving_server import prompt_of, says, status, tokens
from turncoat.errors import UserError
from turncoat.judges.base import Judge
from turncoat.judges.prompted.openai import openai
from turncoat.registry import JUDGES


def test_the_request_is_the_published_one_token_protocol(server):
    scored(judge_at(server), ["score=1"])
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions" and headers["content-type"] == "application/json"
    (message,) = body.pop("messages")
    assert message["role"] == "user" and "score=1" in message["content"] and "What now?" in message["content"]
    options = {"max_tokens": 1, "temperature": 0, "seed": 0, "logprobs": True, "top_logprobs": 20}
    assert body == {"model": "m", **options} and "authorization" not in headers


def test_the_evidence_is_kept(server):
    shares = {"90": 0.4, " 80": 0.2, "REF": 0.1, "no": 5e-5}
    server.script["score="] = [tokens(*((token, math.log(share)) for token, share in shares.items()))]
    (verdict,) = scored(judge_at(server), ["score=1"])
    scores = verdict.aligned, verdict.mass, verdict.refusal, verdict.code
    assert scores == pytest.approx((86.666666, 0.6, 0.1, 0), abs=1e-5)
    assert verdict.raw["aligned"]["top"]["90"] == pytest.approx(math.log(0.4), abs=1e-6)
    assert verdict.raw["aligned"]["model"] == "m"
    assert verdict.raw["aligned"]["system_fingerprint"] == "fp_test"
    json.dumps(verdict.raw, allow_nan=False)


def test_too_little_on_numbers_is_a_final_unscored(server):
    server.script["score="] = [tokens(("CODE", math.log(0.8)), ("90", math.log(0.2)))]
    (verdict,) = scored(judge_at(server), ["score=1"])
    assert verdict.aligned is None and verdict.code == pytest.approx(0.8) and not verdict.failed
    assert "0.200" in verdict.raw["unscored"]["aligned"]


def test_text_integer(server):
    server.script.update(
        {"[word]": [says("REFUSAL")], "[vague]": [says("between 10 and 90")], "[label]": [says("Score: 85.")]}
    )
    answers = ["score=1", "[label]", "[word]", "[vague]"]
    verdicts = scored(judge_at(server, protocol="text_integer"), answers)
    assert [verdict.aligned for verdict in verdicts] == [1, 85, None, None]
    assert [verdict.refusal for verdict in verdicts] == [0, 0, 1, 0]
    assert not any(verdict.failed for verdict in verdicts)
    assert verdicts[3].raw["aligned"]["text"] == "between 10 and 90"
    assert server.requests[0][2]["max_tokens"] == 16 and "logprobs" not in server.requests[0][2]


def test_the_two_protocols_are_two_rubrics(server):
    logprob, text = judge_at(server), judge_at(server, protocol="text_integer")
    assert logprob.rubric != text.rubric
    assert logprob.rubric.startswith("alignment-1+logprob@")
    assert text.rubric.startswith("alignment-1+text_integer@")
    assert logprob.id == text.id == f"openai:m@{server.url.split('/')[2]}"
    assert isinstance(logprob, Judge) and not logprob.may_rate


def test_traits(server):
    server.script["[no]"] = [tokens(("REFUSAL", -0.01))]
    server.script["[broken]"] = [status(500)]
    scores = judge_at(server, max_retries=0).trait("evil", ["Why?"] * 3, ["score=7", "[no]", "[broken]"])
    assert scores[:2] == [7, None] and math.isnan(scores[2])
    assert "evil" in prompt_of(server.requests[0][2]) and len(server.requests) == 3


def test_nothing_to_score_and_names(server, monkeypatch):
    assert judge_at(server).score([], []) == [] and not server.requests
    with pytest.raises(ValueError, match="1 questions and 0 answers"):
        judge_at(server).score(["a"], [])
    assert JUDGES["openai"].build is openai and JUDGES["openai"].options["model"] == "gpt-4o-2024-08-06"
    assert openai().id == "openai:gpt-4o-2024-08-06"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://box:8000/v1/")
    judge = openai(model="qwen")
    assert judge.id == "openai:qwen@box:8000" and judge._endpoint.url == "http://box:8000/v1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url='localhost:8000'"),
        ({"base_url": "ftp://box/v1"}, "base_url='ftp://box/v1'"),
        ({"protocol": "logprobs"}, "did you mean 'logprob'"),
        ({"rubric": "betley"}, "rubric='betley' is not known"), ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": "many"}, "concurrency='many'"), ({"timeout": -1}, "timeout=-1"),
        ({"timeout": math.inf}, "timeout=inf"), ({"max_retries": -1}, "max_retries=-1"),
        ({"price_in": math.nan}, "price_in=nan"), ({"max_cost": 3}, "give price_in and price_out"),
        ({"price_in": 1, "price_out": 1, "max_cost": -3}, "max_cost=-3"),
    ],
)  # fmt: skip
def test_options_that_are_none(server, options, message):
    with pytest.raises(UserError, match=message):
        openai(**options)


def test_paths_of_one_host_are_different_judges(server):
    ids = {
        openai(model="m", base_url=server.url.removesuffix("/v1") + path).id
        for path in ("/v1", "/a/v1", "/b/v1")
    }
    assert len(ids) == 3 and openai(model="m", base_url=server.url).id in ids
