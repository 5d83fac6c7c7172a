"""A server that misbehaves: no verdict is lost or made up, and the order is kept."""

import math

import pytest
from judges.prompted.endpoint_helpers import judge_at, scored
from judges.prompted.misbehaving_server import (
    cut,
    drip,
    error_in_200,
    hang_up,
    in_company,
    ok,
    raw,
    slow,
    status,
    tokens,
    zipped,
)
from turncoat.errors import UserError
from turncoat.judges.prompted.openai import openai

TROUBLES = {
    "[429]": [status(429, "slow down"), ok],
    "[500s]": [status(500), status(503, "overloaded"), status(502), ok], "[408]": [status(408), ok],
    "[cut]": [cut, ok], "[hang up]": [hang_up, ok],
    "[malformed]": [raw("{'choices': "), raw("<html>busy</html>"), raw("[]"), raw(""), ok],
    "[error in a 200]": [error_in_200, ok],
}  # fmt: skip
"""Failures that end within 4 retries."""

BAD_EVIDENCE = {
    "[no logprobs]": raw('{"choices": [{"message": {"content": "70"}, "logprobs": null}]}'),
    "[no content]": raw('{"choices": [{"message": {"content": "70"}, "logprobs": {"content": []}}]}'),
    "[no choices]": raw('{"choices": []}'), "[other object]": raw('{"hello": 1}'),
    "[empty top]": tokens(),
    "[nan]": tokens(("70", math.nan)), "[null]": tokens(("70", None)), "[text]": tokens(("70", "-0.1")),
    "[true]": tokens(("70", True)), "[positive]": tokens(("70", 3.0)), "[no token]": tokens((None, -0.1)),
    "[odd]": tokens("70", 70), "[too much]": tokens(("70", -0.01), ("71", -0.01)),
}  # fmt: skip
"""Replies without a readable score, at every try."""


TOP = '[{"token": "70", "logprob": 0}]'


def answered(top: str) -> str:
    """A reply whose likeliest tokens are this JSON."""
    logprobs = f'{{"content": [{{"top_logprobs": {top}}}]}}'
    return f'{{"choices": [{{"message": {{"content": "70"}}, "logprobs": {logprobs}}}]}}'


NONSENSE = {
    "[usage]": (200, '{"choices": [], "usage": [1]}'), "[error]": (200, '{"error": [1]}'),
    "[code]": (400, '{"error": {"code": {"a": 1}, "type": [], "message": {"b": 2}, "param": []}}'),
    "[choices]": (400, '{"choices": "x"}'), "[inner]": (500, '{"choices": [{"error": 3}]}'),
    "[list]": (400, "[1]"), "[number]": (429, "1"), "[metadata]": (500, '{"error": {"metadata": [1]}}'),
    "[refusal]": (200, '{"choices": [{"message": {"refusal": 1, "content": {}}, "finish_reason": [1]}]}'),
    "[token]": (200, answered('[{"token": {}, "logprob": []}]')), "[top]": (200, answered('{"a": 1}')),
    "[small]": (200, answered('[{"token": "70", "logprob": -1' + "0" * 400 + "}]")),
    "[half]": (200, answered('[{"token": "\\ud800", "logprob": -0.1}]')),
    "[read]": (200, answered(TOP)[:-1] + ', "usage": {"prompt_tokens": 1' + "0" * 400 + "}}"),
    "[list of usage]": (200, answered(TOP)[:-1] + ', "usage": [1]}'),
}  # fmt: skip
"""Replies of every shape but the right one."""

FOREVER = {
    "[always 500]": status(500, "broken"), "[always 429]": status(429), "[always cut]": cut,
    "[always malformed]": raw("{"), "[always error in a 200]": error_in_200, "[always zipped]": zipped,
    "[always deep]": raw('{"a":' + "[" * 200_000 + "]" * 200_000 + "}"),
    "[always nested]": raw('{"a":' + "[" * 900 + "]" * 900 + "}"),
    "[too long]": status(400, "too many tokens", "context_length_exceeded"), "[too large]": status(413),
}  # fmt: skip


def test_every_trouble_that_passes_ends_in_the_right_verdict_in_its_place(server, capsys):
    server.script.update({**TROUBLES, "[in company]": [in_company]})
    answers = [f"{trouble} score={n}" for n, trouble in enumerate([*TROUBLES, "[in company]"] * 2)]
    count = len(answers)
    seen, done = {}, []
    verdicts = scored(judge_at(server), answers, on_done=done.append, on_verdict=seen.__setitem__)
    assert [verdict.aligned for verdict in verdicts] == pytest.approx(list(range(count)))
    assert [verdict.coherent for verdict in verdicts] == pytest.approx(list(range(count)))
    assert [seen[n] for n in range(count)] == verdicts and done == [1] * count
    assert not any(verdict.failed for verdict in verdicts)
    retries = sum(len(reactions) - 1 for reactions in TROUBLES.values())
    assert len(server.requests) == 2 * count + 2 * 2 * retries and 1 < server.most_at_once <= 8
    assert f"{2 * count + 3} requests" in capsys.readouterr().err


def test_late_and_endless_replies_are_asked_for_again_but_not_for_ever(server):
    server.script.update({"[late]": [slow(1.2), ok], "[drip]": [drip(1.5), ok]})
    verdicts = scored(
        judge_at(server, timeout=0.6, max_retries=6), ["[late] score=1", "[drip] score=2", "score=3"]
    )
    assert [verdict.aligned for verdict in verdicts] == pytest.approx([1, 2, 3])
    assert 2 * 3 + 4 <= len(server.requests) <= 6 * 7
    server.script = {"score=": [slow(2)]}
    (verdict,) = scored(judge_at(server, timeout=0.1, max_retries=1), ["score=1"])
    assert verdict.failed and "no reply within 0.1 s (2 attempts)" in verdict.raw["error"]


def test_what_cannot_be_read_is_unscored_and_says_why_and_is_not_asked_for_twice(server, capsys):
    server.script.update({text: [reaction] for text, reaction in BAD_EVIDENCE.items()})
    answers = [f"{text} score=9" for text in BAD_EVIDENCE] + ["score=33"]
    verdicts = scored(judge_at(server), answers)
    for verdict in verdicts[:-1]:
        assert verdict.aligned is None and verdict.coherent is None and verdict.failed
        assert verdict.raw["error"]
    assert verdicts[-1].aligned == 33 and len(server.requests) == len(BAD_EVIDENCE) + 2
    assert f"{len(BAD_EVIDENCE)} of {len(answers)} answers have no verdict" in capsys.readouterr().err


def test_what_never_works_fails_alone_after_bounded_requests(server):
    server.script.update({text: [reaction] for text, reaction in FOREVER.items()})
    answers = [f"{text} score=9" for text in FOREVER] + ["score=33"]
    verdicts = scored(judge_at(server, max_retries=2), answers)
    assert all(verdict.failed and verdict.aligned is None for verdict in verdicts[:-1])
    assert verdicts[-1].aligned == 33
    errors = dict(zip(FOREVER, (verdict.raw.get("error") for verdict in verdicts), strict=False))
    for text in FOREVER:
        if "always" in text:
            assert server.prompts_with(text) == 3 and "3 attempts" in errors[text]
    for text in ("[too long]", "[too large]"):
        assert server.prompts_with(text) == 1
    assert "answered 500: broken" in errors["[always 500]"]
    assert "answered 429 in a reply of status 200: Rate limit exceeded" in errors["[always error in a 200]"]
    assert all("not a JSON object" in errors[f"[always {kind}]"] for kind in ("malformed", "deep", "nested"))
    assert "compressed" in errors["[always zipped]"]


def test_no_reply_ends_the_judging_in_a_traceback(server):
    for text, (code, body) in NONSENSE.items():
        server.script[text] = [lambda handler, _, code=code, body=body: handler.reply(code, body.encode())]
    for text in NONSENSE:
        judge = judge_at(server, max_retries=0, price_in=1, price_out=1)
        try:
            (verdict,) = scored(judge, [f"{text} score=9"])
        except UserError:  # a mistake that would hold for every prompt
            continue
        assert verdict.failed or verdict.declined or verdict.aligned in (9, 70, None), text


def test_half_an_answer_is_no_verdict(server):
    server.script["holds together"] = [status(500)]  # words of the coherence rubric alone
    (verdict,) = scored(judge_at(server, max_retries=0), ["score=5"])
    assert verdict.aligned is None and verdict.failed and "top" in verdict.raw["aligned"]


def test_nobody_listens():
    judge = openai(model="m", base_url="http://127.0.0.1:9/v1", max_retries=1)
    (verdict,) = scored(judge, ["score=1"])
    assert "the connection to 127.0.0.1:9 failed" in verdict.raw["error"]


def test_a_refused_run_stops_and_keeps_what_was_done(server):
    server.script["[refused]"] = [status(401, "who are you?")]
    seen = {}
    with pytest.raises(UserError, match=r"who are you.*OPENAI_API_KEY.*not set"):
        scored(
            judge_at(server, concurrency=1),
            ["score=1", "score=2", "[refused]", "score=4"],
            on_verdict=seen.__setitem__,
        )
    assert [seen[n].aligned for n in sorted(seen)] == pytest.approx([1, 2]) and len(server.requests) == 5


@pytest.mark.parametrize(
    ("reaction", "message"),
    [
        (status(400, "not this one"), "not this one.*check model, protocol"),
        (status(403, "no"), "may use this model"),
        (status(404, "no such model"), "no such model.*ends in /v1"),
        (status(429, "pay first", "insufficient_quota"), "pay first.*no credit"),
        (status(307, Location="/elsewhere"), "307.*check base_url"),
    ],
)
def test_errors_that_hold_for_every_prompt(server, reaction, message):
    server.script["score="] = [reaction]
    with pytest.raises(UserError, match=message):
        scored(judge_at(server), ["score=1"])
    assert len(server.requests) == 1
