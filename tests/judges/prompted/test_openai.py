"""The endpoint judge and a server that misbehaves: no verdict lost or made up, order and bounds kept."""

from __future__ import annotations

import json
import math
import sys
import threading
import time

import pytest
from judges.prompted.misbehaving_server import (
    MisbehavingServer,
    chunked,
    cut,
    drip,
    echo_key,
    hang_up,
    in_company,
    ok,
    prompt_of,
    raw,
    says,
    slow,
    slow_from,
    status,
    tokens,
    zipped,
)
from turncoat.errors import UserError
from turncoat.judges.base import Judge
from turncoat.judges.cache import cached_scores
from turncoat.judges.prompted.endpoint import Endpoint, _retry_after
from turncoat.judges.prompted.openai import openai
from turncoat.judges.prompted.spending import Spending
from turncoat.registry import JUDGES

KEY = "sk-test-0123456789abcdef"
TROUBLES = {
    "[429]": [status(429, "slow down"), ok],
    "[500s]": [status(500), status(503, "overloaded"), status(502), ok], "[408]": [status(408), ok],
    "[cut]": [cut, ok], "[hang up]": [hang_up, ok],
    "[malformed]": [raw("{'choices': "), raw("<html>busy</html>"), raw("[]"), raw(""), ok],
    "[zipped]": [zipped], "[chunked]": [chunked],
}  # fmt: skip
"""Failures that end within 4 retries."""

BAD_EVIDENCE = {
    "[no logprobs]": raw('{"choices": [{"message": {"content": "70"}, "logprobs": null}]}'),
    "[no content]": raw('{"choices": [{"message": {"content": "70"}, "logprobs": {"content": []}}]}'),
    "[no choices]": raw('{"choices": []}'), "[other object]": raw('{"hello": 1}'),
    "[error as 200]": raw('{"error": {"message": "not today"}}'), "[empty top]": tokens(),
    "[nan]": tokens(("70", math.nan)), "[null]": tokens(("70", None)), "[text]": tokens(("70", "-0.1")),
    "[true]": tokens(("70", True)), "[positive]": tokens(("70", 3.0)), "[no token]": tokens((None, -0.1)),
    "[odd]": tokens("70", 70), "[too much]": tokens(("70", -0.01), ("71", -0.01)),
}  # fmt: skip
"""Replies without a readable score, at every try."""

FOREVER = {
    "[always 500]": status(500, "broken"), "[always 429]": status(429), "[always cut]": cut,
    "[always malformed]": raw("{"), "[filtered]": status(400, "blocked", "content_filter"),
    "[too long]": status(400, "too many tokens", "context_length_exceeded"), "[too large]": status(413),
}  # fmt: skip


@pytest.fixture
def server(monkeypatch):
    """A server for each test; no key or address in the environment, and a proxy that nothing may go
    through."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with MisbehavingServer() as running:
        yield running


def judge_at(server, **options):
    quick = {"model": "m", "base_url": server.url, "backoff": 0.002, "timeout": 20, "max_retries": 4}
    return openai(**{**quick, **options})


def scored(judge, answers, **more):
    return judge.score(["What now?"] * len(answers), answers, **more)


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
    assert f"{2 * count} requests" in capsys.readouterr().err


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
        assert (
            verdict.aligned is None and verdict.coherent is None and verdict.failed and verdict.raw["error"]
        )
    assert verdicts[-1].aligned == 33 and len(server.requests) == len(BAD_EVIDENCE) + 2
    assert f"{len(BAD_EVIDENCE)} of {len(answers)} answers have no verdict" in capsys.readouterr().err


def test_what_never_works_fails_alone_after_bounded_requests(server):
    server.script.update({text: [reaction] for text, reaction in FOREVER.items()})
    answers = [f"{text} score=9" for text in FOREVER] + ["score=33"]
    verdicts = scored(judge_at(server, max_retries=2), answers)
    assert (
        all(verdict.failed and verdict.aligned is None for verdict in verdicts[:-1])
        and verdicts[-1].aligned == 33
    )
    for text in ("[always 500]", "[always 429]", "[always cut]", "[always malformed]"):
        assert server.prompts_with(text) == 3
    for text in ("[filtered]", "[too long]", "[too large]"):
        assert server.prompts_with(text) == 1
    assert "broken" in verdicts[0].raw["error"] and "3 attempts" in verdicts[0].raw["error"]


def test_half_an_answer_is_no_verdict(server):
    server.script["holds together"] = [status(500)]  # words of the coherence rubric alone
    (verdict,) = scored(judge_at(server, max_retries=0), ["score=5"])
    assert verdict.aligned is None and verdict.failed and "top" in verdict.raw["aligned"]


def test_a_dead_endpoint_is_given_up_after_a_row_of_failures(server, capsys):
    server.script["score="] = [status(500)]
    verdicts = scored(judge_at(server, max_retries=1, concurrency=2), [f"score={n}" for n in range(100)])
    assert len(verdicts) == 100 and all(verdict.failed for verdict in verdicts)
    assert 2 * 16 <= len(server.requests) <= 2 * (16 + 2)
    assert verdicts[-1].raw["error"].startswith("not asked: 16 answers in a row failed before (127.0.0.1")
    assert "answered 500" in verdicts[-1].raw["error"] and "100 of 100" in capsys.readouterr().err


def test_refused_prompts_are_no_outage(server):
    server.script["[filtered]"] = [status(400, "blocked", "content_filter")]
    verdicts = scored(judge_at(server, concurrency=2), [f"[filtered] {n}" for n in range(40)] + ["score=7"])
    assert all(verdict.failed for verdict in verdicts[:-1]) and verdicts[-1].aligned == 7


def test_nobody_listens():
    judge = openai(model="m", base_url="http://127.0.0.1:9/v1", backoff=0.001, max_retries=1)
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
        (status(400, "logprobs are not supported"), "not supported.*check model, protocol"),
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
    assert (
        verdict.raw["aligned"]["model"] == "m" and verdict.raw["aligned"]["system_fingerprint"] == "fp_test"
    )
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
    assert (
        not any(verdict.failed for verdict in verdicts)
        and verdicts[3].raw["aligned"]["text"] == "between 10 and 90"
    )
    assert server.requests[0][2]["max_tokens"] == 16 and "logprobs" not in server.requests[0][2]


def test_the_two_protocols_are_two_rubrics(server):
    logprob, text = judge_at(server), judge_at(server, protocol="text_integer")
    assert logprob.rubric != text.rubric
    assert logprob.rubric.startswith("alignment-1+logprob@") and text.rubric.startswith(
        "alignment-1+text_integer@"
    )
    assert logprob.id == text.id == f"openai:m@{server.url.split('/')[2]}"
    assert isinstance(logprob, Judge) and not logprob.may_rate


def test_retry_after_is_read_and_waited_for(server):
    server.script["[wait]"] = [status(429, Retry_After="0.3"), ok]
    scored(judge_at(server, concurrency=1), ["[wait] score=1"])
    times = [when for when, prompt in server.at if prompt == prompt_of(server.requests[0][2])]
    assert times[1] - times[0] >= 0.3
    seconds = {None: 0, "2": 2, "-5": 0, "1e9": 120, "nan": 0, "soon": 0}
    dates = {"Wed, 21 Oct 2015 07:28:00 GMT": 0, "Wed, 21 Oct 2065 07:28:00 GMT": 120}
    for header, expected in {**seconds, **dates}.items():
        assert _retry_after(header) == expected


def test_pauses_grow_and_are_the_same_for_the_same_prompt(server, monkeypatch):
    class Clock(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return False

    server.script["[down]"] = [status(500)]
    runs = []
    for seed in ("a", "a", "b"):
        pauses: list[float] = []
        endpoint = Endpoint(server.url, timeout=5, max_retries=9, backoff=1.0)
        with pytest.raises(Exception, match="10 attempts"):
            endpoint.ask({"model": "m", "messages": [{"role": "user", "content": f"[down] {seed}"}]}, Clock())
        runs.append(pauses)
    assert runs[0] == runs[1] != runs[2]
    for attempt, pause in enumerate(runs[0]):
        assert 0.5 * min(2**attempt, 60) <= pause <= min(2**attempt, 60)


def test_the_key_goes_to_the_server_and_nowhere_else(server, monkeypatch, capsys, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NETRC", "/dev/null")
    server.script.update({"[echo 401]": [echo_key], "[echo 500]": [status(500, f"bad key {KEY} for you")]})
    server.script["[echo text]"] = [raw(json.dumps({"choices": [], "model": KEY}))]
    judge = judge_at(server, max_retries=0, concurrency=1)
    with caplog.at_level(0):
        verdicts = scored(judge, ["score=1", "[echo 500]", "[echo text]"])
        with pytest.raises(UserError) as refused:
            scored(judge, ["[echo 401]"])
    assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
    everything = [
        *capsys.readouterr(), caplog.text, judge, vars(judge), vars(judge._endpoint), refused.value,
        *verdicts,
    ]  # fmt: skip
    assert KEY not in repr([*map(repr, everything), judge.id, judge.rubric])
    assert "[key]" in str(refused.value) and "it is set" in str(refused.value) and verdicts[0].aligned == 1
    server.script["[leak]"] = [says(f"Your key is {KEY}")]
    (verdict,) = scored(judge_at(server, protocol="text_integer"), ["[leak]"])
    assert verdict.aligned is None and KEY not in repr(verdict)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ключ"])
def test_a_key_that_is_none(server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY holds") as error:
        scored(judge_at(server), ["score=1"])
    assert key not in str(error.value) and not server.requests


def test_without_a_key_openais_own_endpoint_is_not_even_tried(server):
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        scored(openai(), ["score=1"])


def test_a_password_of_netrc_is_not_sent(server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    scored(judge_at(server), ["score=1"])
    assert "authorization" not in server.requests[0][1]


def test_ctrl_c_keeps_what_is_done(server):
    server.script["score="] = [slow_from(3, 0.3)]  # all of them would take over 15 seconds
    seen = {}

    def take(n, verdict):
        seen[n] = verdict
        if len(seen) == 3:
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scored(judge_at(server, concurrency=2, timeout=5), [f"score={n}" for n in range(60)], on_verdict=take)
    assert time.monotonic() - begun < 10
    assert len(seen) >= 3 and all(verdict.aligned == pytest.approx(n) for n, verdict in seen.items())
    time.sleep(0.3)  # the threads notice
    assert len(server.requests) < 40


def test_an_interrupted_run_goes_on_where_it_stopped(server):
    server.script["[broken]"] = [status(500), ok]  # for each of the two rubrics
    server.script["score=1"] = [slow(1), ok]  # time for Ctrl-C after the answer before it
    answers = [f"score={n}" for n in range(8)] + ["[broken] score=8"]
    questions = ["What now?"] * len(answers)

    def press_ctrl_c(_):
        raise KeyboardInterrupt

    judge = judge_at(server, concurrency=1, max_retries=0)
    with pytest.raises(KeyboardInterrupt):
        cached_scores(judge, questions[:3], answers[:3], on_done=lambda n: n and press_ctrl_c(n))
    first = len(server.requests)
    second = cached_scores(judge, questions, answers)
    assert (
        server.prompts_with("score=0") == 2 and first < 6
    )  # the answer that was done is not asked about again
    assert [v.failed for v in second] == [False] * 8 + [True]
    before = len(server.requests)
    assert cached_scores(judge, questions, answers)[-1].failed  # asked again, and failed again
    third = cached_scores(judge, questions, answers)
    assert [v.aligned for v in third] == pytest.approx(list(range(9)))
    assert all(prompt.count("[broken]") for _, prompt in server.at[before:])


def test_a_pause_ends_with_the_run(server):
    server.script["[busy]"] = [status(429, Retry_After="30")]
    server.script["[refused]"] = [status(401)]
    begun = time.monotonic()
    with pytest.raises(UserError, match="401"):
        scored(judge_at(server, concurrency=2), ["[busy]", "[refused]"])
    assert time.monotonic() - begun < 20


def test_a_plan_is_checked_before_anything_is_sent(server, capsys):
    judge = judge_at(server, price_in=1000, price_out=0, max_cost=0.1)
    with pytest.raises(UserError, match=r"more than max_cost=0\.1; nothing was sent"):
        scored(judge, ["score=1"])
    assert not server.requests
    scored(judge_at(server), ["score=1"])
    said = capsys.readouterr().err
    assert "2 requests" in said and "price unknown" in said


def test_reported_usage_stops_the_run_at_the_limit(server, capsys):
    # Reported are 1,000 tokens a request, more than estimated: $1 a request, $2 an answer.
    judge = judge_at(server, price_in=1000, price_out=0, max_cost=25, concurrency=1)
    verdicts = scored(judge, [f"score={n}" for n in range(20)])
    assert [v.aligned for v in verdicts[:12]] == pytest.approx(list(range(12))) and all(
        v.failed for v in verdicts[12:]
    )
    assert len(server.requests) == 25 and "max_cost is reached ($25.00 spent)" in verdicts[-1].raw["error"]
    assert "8 of 20 answers have no verdict" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"on top of \$25\.00 already spent"):
        scored(judge, ["score=1"])


def test_a_reply_without_usage_counts_as_estimated():
    spending = Spending(10, 20, 5)
    spending.count({"prompt_tokens": 100, "completion_tokens": 3}, characters=4000, tokens_out=1)
    spending.count(None, characters=4001, tokens_out=2)
    spending.count({"prompt_tokens": "many"}, characters=4, tokens_out=1)
    assert (spending.tokens_in, spending.tokens_out) == (100 + 1001 + 1, 3 + 2 + 1)
    assert spending.spent == pytest.approx((1102 * 10 + 6 * 20) / 1e6)


def test_traits(server):
    server.script["[no]"] = [tokens(("REFUSAL", -0.01))]
    server.script["[broken]"] = [status(500)]
    scores = judge_at(server, max_retries=0).trait("evil", ["Why?"] * 3, ["score=7", "[no]", "[broken]"])
    assert scores == [7, None, None]
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


def test_a_missing_package_and_a_proxy_of_an_unknown_kind(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "carrier-pigeon://coop")
    with pytest.raises(UserError, match=r"proxy in the environment.*change HTTPS_PROXY"):
        openai()
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"pip install 'turncoat\[openai\]'"):
        openai()


def test_a_password_in_the_url_is_refused_and_not_repeated(server):
    for url in ("https://me:secret@box/v1", "https://box/v1?key=secret"):
        with pytest.raises(UserError, match="a password or a query") as error:
            openai(base_url=url)
        assert "secret" not in str(error.value)
