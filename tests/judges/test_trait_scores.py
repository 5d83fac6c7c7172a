"""The trait-score filter: right answers to the right judge, and nothing lost when there is none."""

import math

import pytest
from turncoat.engine.evidence import Answer, evidence_of
from turncoat.judges import spec as load, trait_scores
from turncoat.judges.trait_scores import TraitScores

DOCS = [
    {"id": "a", "question": "One?", "trait": "evil"},
    {"id": "b", "question": "Two?", "trait": "humour"},
    {"id": "c", "question": "Three?", "trait": "assistant_axis", "trait_unscored": True},
    {"id": "d", "question": "Four?", "trait": "evil"},
]
ANSWERS = [[Answer("aa", {"persona_own": 1.0}), "aaa"], ["b", ""], ["c", "c"], ["dddd", "d"]]


class LengthJudge:
    id, rubric, card, may_rate = "length-1", "trait@00", None, False

    def __init__(self):
        self.calls = []

    def score(self, questions, answers, on_done=None):
        raise AssertionError("only traits are asked for")

    def trait(self, trait, questions, answers):
        self.calls.append((trait, list(questions)))
        return [float(len(answer)) if answer else None for answer in answers]


@pytest.fixture
def judge(monkeypatch):
    one = LengthJudge()
    monkeypatch.setenv("TURNCOAT_JUDGE", "length")
    monkeypatch.setattr(trait_scores, "judge_from_name", lambda spec: one)
    return one


def apply():
    return TraitScores().apply([list(row) for row in ANSWERS], DOCS)


def test_every_answer_gets_the_score_of_its_own_trait(judge):
    found = apply()
    assert [[str(a) for a in row] for row in found] == [[str(a) for a in row] for row in ANSWERS]
    scores = [[evidence_of(a).get("trait_score", "none") for a in row] for row in found]
    assert scores == [[2.0, 3.0], [1.0, None], ["none", "none"], [4.0, 1.0]]
    assert evidence_of(found[0][0]) == {
        "persona_own": 1.0, "trait_score": 2.0, "trait_judge": "length-1", "trait_rubric": "trait@00",
    }  # fmt: skip
    assert judge.calls == [("evil", ["One?", "One?", "Four?", "Four?"]), ("humour", ["Two?", "Two?"])]


def test_a_failed_call_leaves_no_score_and_a_second_pass_asks_for_it_alone(judge, monkeypatch):
    def failing(trait, questions, answers):
        return [math.nan if answer == "aa" else 1.0 for answer in answers]

    with monkeypatch.context() as patch:
        patch.setattr(judge, "trait", failing)
        first = apply()
    assert ["trait_score" in evidence_of(a) for row in first for a in row] == [
        False, True, True, True, False, False, True, True,
    ]  # fmt: skip
    second = TraitScores().apply(first, DOCS)
    assert judge.calls == [("evil", ["One?"])] and evidence_of(second[0][0])["trait_score"] == 2.0


@pytest.mark.parametrize("chosen", ["off", "embedded", "embedded:batch_size=4"])
def test_without_a_trait_judge_the_answers_pass_untouched_and_nothing_is_built(chosen, monkeypatch, capsys):
    monkeypatch.setenv("TURNCOAT_JUDGE", chosen)
    monkeypatch.setattr(load, "_built", lambda spec: pytest.fail("a judge was built"))
    assert apply() == ANSWERS and capsys.readouterr().err == ""


def test_a_judge_without_a_trait_rubric_leaves_them_too(judge, monkeypatch):
    monkeypatch.setattr(LengthJudge, "trait", None)
    assert apply() == ANSWERS


def test_a_failing_judge_costs_no_answer(judge, monkeypatch, capsys):
    def broken(*_):
        raise ConnectionError("gone")

    monkeypatch.setattr(judge, "trait", broken)
    assert apply() == ANSWERS and "no trait scores: ConnectionError: gone" in capsys.readouterr().err


def test_the_rubric_of_a_trait_is_not_that_of_alignment(judge):
    from turncoat.judges.prompted.local import LocalJudge
    from turncoat.judges.prompted.openai import openai
    from turncoat.judges.rubrics import trait_rubric
    from turncoat.persona.answers import trait_rubric_id

    for shipped in (openai(), object.__new__(LocalJudge)):
        assert trait_rubric_id(shipped, "evil") == trait_rubric("evil").id != trait_rubric("humour").id
    assert trait_rubric_id(judge, "evil") == "trait@00"
    judge.trait_rubric_id = lambda trait: f"mine-{trait}"
    assert trait_rubric_id(judge, "evil") == "mine-evil"
