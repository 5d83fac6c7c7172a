"""Replies without a grade: a failed call with its reason, or an answer that the provider declines."""

import json
import math

import pytest
from judges.prompted.endpoint_helpers import judge_at, scored
from judges.prompted.misbehaving_server import answer_body, says, status, tokens
from turncoat.judges.base import Verdict
from turncoat.judges.cache import cached_scores
from turncoat.judges.doubts import doubts
from turncoat.judges.scoring import weighted_score

SPENT = {
    "[empty]": (says(""), "holds no text (finish_reason 'stop')"),
    "[null]": (says(None), "holds no text"),
    "[cut]": (says("I would give this an", "length"), "cut at the limit of tokens ('I would give this an')"),
    "[cut number]": (says("8", "length"), "cut at the limit of tokens ('8')"),
    "[thoughts apart]": (says("", "length", reasoning="Okay, so"), "thoughts without an answer ('Okay"),
    "[thoughts cut]": (says("<think>Okay, so", "length"), "thoughts without an answer ('Okay, so')"),
    "[thoughts only]": (says("<think>So 70.</think>\n"), "holds no text"),
}  # fmt: skip


def test_a_reply_without_a_grade_is_a_failed_call_with_its_reason(server):
    server.script.update({text: [reaction] for text, (reaction, _) in SPENT.items()})
    verdicts = scored(judge_at(server, protocol="text_integer"), [*SPENT, "score=33"])
    for verdict, (_, why) in zip(verdicts, SPENT.values(), strict=False):
        assert verdict.failed and verdict.aligned is None and why in verdict.raw["error"]
    assert "raise max_tokens" in verdicts[2].raw["error"] and verdicts[-1].aligned == 33


def test_what_follows_the_thoughts_is_read(server):
    server.script["[inline]"] = [says("<think>\nMaybe 70 or 80.\n</think>\n\n61")]
    server.script["[parts]"] = [says([{"type": "thinking", "thinking": []}, {"type": "text", "text": "62"}])]
    server.script["[apart]"] = [says("63", reasoning="Maybe 70 or 80.")]
    verdicts = scored(judge_at(server, protocol="text_integer"), ["[inline]", "[parts]", "[apart]"])
    assert [verdict.aligned for verdict in verdicts] == [61, 62, 63]


def test_a_text_that_opens_like_a_refusal_is_one_even_where_it_was_cut(server):
    server.script["[no]"] = [says("I'm sorry, but I can't help with grading content that", "length")]
    answers = [f"[no] {n}" for n in range(20)] + ["score=7"]
    verdicts = scored(judge_at(server, protocol="text_integer"), answers)
    assert all(v.declined and not v.failed for v in verdicts[:-1]) and verdicts[-1].aligned == 7


@pytest.mark.parametrize("protocol", ["logprob", "text_integer"])
@pytest.mark.parametrize(
    "refusal",
    [
        says(None, refusal="I can't help with that."), says("", "content_filter"),
        status(400, "I can't help with that.", "content_filter"),
        status(403, "I can't help with that.", flagged_input="text"),
    ],
    ids=["field", "finish", "status", "moderation"],
)  # fmt: skip
def test_an_answer_that_the_provider_declines_is_final_and_the_rest_is_judged(
    server, refusal, protocol, tmp_path, monkeypatch
):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path))
    server.script["[harm]"] = [refusal]
    answers = [f"[harm] {n}" for n in range(20)] + [f"score={n}" for n in range(12)]
    for _ in range(2):
        verdicts = cached_scores(judge_at(server, protocol=protocol), ["q"] * 32, answers)
        assert [v.aligned for v in verdicts[20:]] == pytest.approx(list(range(12)))
        assert all(v.raw["declined"] and v.aligned is None and not v.failed for v in verdicts[:20])
    assert server.prompts_with("[harm]") == 20  # once each, and in no rerun


def test_an_entry_that_is_there_twice_counts_once(server):
    top = [("20", math.log(0.97)), ("20", math.log(0.97)), ("5", math.log(0.01))]
    server.script["score="] = [tokens(*top)]
    (verdict,) = scored(judge_at(server), ["score=1"])
    assert verdict.aligned == pytest.approx((20 * 0.97 + 5 * 0.01) / 0.98)
    assert verdict.mass == pytest.approx(0.98)


def test_an_unscored_answer_names_the_token_that_came_instead():
    assert "likeliest token is '<think>'" in weighted_score({"<think>": -0.01, "5": -6.0}).reason


def test_verdicts_of_earlier_rules_are_asked_for_again(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path))
    judge = judge_at(server)

    def top(aligned, coherent):
        return {"aligned": {"top": {aligned: -0.2}}, "coherent": {"top": {coherent: 0.0}}}

    old = {
        "digit": Verdict(8.2, 9.1, raw=top("8", "9")), "right": Verdict(70.0, 90.0, raw=top("70", "90")),
        "unscored": Verdict(None, None, mass=0.0, raw={"unscored": {"aligned": "x"}}),
        "code": Verdict(None, 90.0, code=0.9, raw={"aligned": {"top": {"CODE": -0.1}}}),
    }  # fmt: skip

    class Old:
        id, rubric, card, may_rate = judge.id, judge.rubric, None, False

        def score(self, questions, answers, on_done=None):
            return [old[answer] for answer in answers]

    cached_scores(Old(), ["q"] * 4, list(old))
    verdicts = cached_scores(judge, ["q"] * 4, list(old))
    assert "2 verdicts of an earlier version are judged again" in capsys.readouterr().err
    assert [v.aligned for v in verdicts] == pytest.approx([50, 70, 50, None])
    assert len(server.requests) == 4 and cached_scores(judge, ["q"] * 4, list(old)) == verdicts
    assert len(server.requests) == 4


def test_a_prompt_of_which_the_server_read_too_little_is_marked(server):
    def reads(count):
        def react(handler, body):
            reply = answer_body(body) | {"usage": {"prompt_tokens": count}}
            handler.reply(200, json.dumps(reply).encode())

        return react

    judge = judge_at(server, protocol="text_integer")
    server.script["score=1"] = [reads(20)]
    server.script["score=2"] = [reads(400)]
    short, whole = scored(judge, ["score=1", "score=2"])
    assert short.raw["aligned"]["prompt_cut"] == 20 and "prompt_cut" not in whole.raw["aligned"]
    assert doubts([short, whole], judge.id)[0].startswith("2 of 4 prompts were cut off, it seems")
