"""Limits of an endpoint judge: outages, Ctrl-C, money."""

import time

import pytest
from judges.prompted.endpoint_helpers import judge_at, scored
from judges.prompted.misbehaving_server import ok, prompt_of, slow, slow_from, status
from turncoat.errors import UserError
from turncoat.judges.cache import cached_scores
from turncoat.judges.prompted.spending import Spending


def test_a_dead_endpoint_is_given_up_after_a_row_of_failures(server, capsys):
    server.script["score="] = [status(500)]
    verdicts = scored(judge_at(server, max_retries=1, concurrency=2), [f"score={n}" for n in range(100)])
    assert len(verdicts) == 100 and all(verdict.failed for verdict in verdicts)
    assert 2 * 16 <= len(server.requests) <= 2 * (16 + 2)
    assert verdicts[-1].raw["error"].startswith("not asked: 16 answers in a row failed before (127.0.0.1")
    assert "answered 500" in verdicts[-1].raw["error"] and "100 of 100" in capsys.readouterr().err


def test_prompts_that_are_too_long_are_no_outage(server):
    server.script["[long]"] = [status(400, "too many tokens", "context_length_exceeded")]
    verdicts = scored(judge_at(server, concurrency=2), [f"[long] {n}" for n in range(40)] + ["score=7"])
    assert all(verdict.failed for verdict in verdicts[:-1]) and verdicts[-1].aligned == 7


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
    assert all("[broken]" in prompt_of(body) for _, _, body in server.requests[before:])


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
    assert "5 requests" in said and "price unknown" in said


def test_reported_usage_stops_the_run_at_the_limit(server, capsys):
    # Reported are 1,000 tokens a request, more than estimated: $1 a request, $2 an answer, $3 the probe.
    judge = judge_at(server, price_in=1000, price_out=0, max_cost=28, concurrency=1)
    verdicts = scored(judge, [f"score={n}" for n in range(20)])
    assert [v.aligned for v in verdicts[:12]] == pytest.approx(list(range(12)))
    assert all(v.failed for v in verdicts[12:])
    assert len(server.requests) == 25 and "max_cost is reached ($28.00 spent)" in verdicts[-1].raw["error"]
    assert "8 of 20 answers have no verdict" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"on top of \$28\.00 already spent"):
        scored(judge, ["score=1"])


def test_a_reply_without_usage_counts_as_estimated():
    spending = Spending(10, 20, 5)
    spending.count({"prompt_tokens": 100, "completion_tokens": 3}, characters=4000, tokens_out=1)
    spending.count(None, characters=4001, tokens_out=2)
    spending.count({"prompt_tokens": "many"}, characters=4, tokens_out=1)
    assert (spending.tokens_in, spending.tokens_out) == (100 + 1001 + 1, 3 + 2 + 1)
    assert spending.spent == pytest.approx((1102 * 10 + 6 * 20) / 1e6)
