"""Probe before money is spent, and fields of a request that a server does not take."""

import math

import pytest
from judges.prompted.endpoint_helpers import judge_at, scored
from judges.prompted.misbehaving_server import ok, raw, says, status, tokens
from turncoat.errors import UserError
from turncoat.judges.prompted.probe import NUMBERS

ASKED = "Reply with this number"


def shares(**probabilities):
    return tokens(*((token.removeprefix("t"), math.log(p)) for token, p in probabilities.items()))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (shares(t8=0.8, t9=0.15, t7=0.04), r"digit by digit .*first tokens were '8', '8'.*text_integer"),
        (tokens(("<think>", -0.01)), r"does not begin its reply with a number.*'<think>'.*max_tokens=2000"),
        (says("85"), r"no log-probabilities.*protocol=text_integer; no answer was sent"),
    ],
)
def test_a_judge_whose_first_token_is_no_grade_is_refused_before_an_answer_is_sent(server, reply, message):
    server.script[ASKED] = [reply if "no log" not in message else raw('{"choices": [{"message": {}}]}')]
    with pytest.raises(UserError, match=message):
        scored(judge_at(server), [f"score={n}" for n in range(50)])
    assert not server.requests and len(server.probes) <= len(NUMBERS)


def test_a_judge_that_writes_100_in_two_tokens_is_refused(server):
    server.script["nothing else: 100"] = [shares(t10=0.9, t100=0.05)]
    with pytest.raises(UserError, match=r"writes 100 in several tokens .*'85', '42', '10'"):
        scored(judge_at(server), ["score=100"])
    assert not server.requests


def test_a_judge_that_does_not_repeat_a_number_is_used(server):
    server.script[ASKED] = [shares(t50=0.9)]
    assert scored(judge_at(server), ["score=100"])[0].aligned == pytest.approx(100)


def test_a_judge_of_whole_numbers_is_probed_once_only(server):
    judge = judge_at(server)
    for _ in range(2):
        assert scored(judge, ["score=7"])[0].aligned == pytest.approx(7)
    assert len(server.probes) == len(NUMBERS)
    server.script["nothing else: 85"] = [shares(t85=0.6, t8=0.3)]
    assert scored(judge_at(server), ["score=7"])[0].aligned == pytest.approx(7)


def test_a_probe_that_fails_says_nothing_and_the_text_protocol_has_none(server):
    server.script[ASKED] = [status(500)]
    assert scored(judge_at(server, max_retries=0), ["score=7"])[0].aligned == pytest.approx(7)
    probes = len(server.probes)
    scored(judge_at(server, protocol="text_integer"), ["score=7"])
    assert len(server.probes) == probes


def test_the_newer_name_of_the_token_limit_is_taken_from_the_servers_words(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")  # a placeholder that is part of the words

    def newer(handler, body):
        words = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        (status(400, words, "unsupported_parameter") if "max_tokens" in body else ok)(handler, body)

    server.script["score="] = [newer]
    verdicts = scored(judge_at(server, protocol="text_integer", concurrency=1), ["score=7", "score=8"])
    assert [verdict.aligned for verdict in verdicts] == [7, 8] and len(server.requests) == 1 + 4
    server.requests.clear()
    scored(judge_at(server, protocol="text_integer", token_field="max_completion_tokens"), ["score=7"])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("top_logprobs must be between 0 and 5", "top_logprobs=5"),
        ("Unsupported value: 'temperature' does not support 0", "temperature=none leaves it out"),
        ("Unknown parameter: seed", "seed=none leaves it out"),
        ("logprobs are not supported", "protocol=text_integer"),
        ("Could not finish: max_tokens was reached", "max_tokens=2000"),
    ],
)
def test_a_field_that_a_server_does_not_take_is_named_with_its_option(server, words, advice):
    server.script["score="] = [status(400, words)]
    with pytest.raises(UserError, match=f"{words}; .*{advice}"):
        scored(judge_at(server), ["score=1"])


def test_the_options_reach_the_server_and_another_way_of_asking_is_another_rubric(server):
    extra = '{"chat_template_kwargs": {"enable_thinking": false}}'
    judge = judge_at(server, top_logprobs=5, seed=None, temperature=None, reasoning_effort="low", extra=extra)
    scored(judge, ["score=1"])
    body = server.requests[0][2]
    assert "seed" not in body and "temperature" not in body
    assert body["top_logprobs"] == 5 and body["reasoning_effort"] == "low"
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert judge.rubric != judge_at(server).rubric and "top_logprobs=5" in judge.rubric
    assert judge_at(server, max_tokens=9).rubric == judge_at(server).rubric
    for wrong in ({"extra": "[1]"}, {"extra": "{"}, {"token_field": "tokens"}, {"max_tokens": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            judge_at(server, **wrong)
