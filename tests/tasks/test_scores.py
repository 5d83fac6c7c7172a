"""`process_results` of every task on results made by hand: known numbers, missing evidence, both shapes of
lm-eval."""

import json
import math

import pytest
from tasks.one_task import module_of
from turncoat.engine.evidence import Answer, LogLikelihood
from turncoat.judges.surface import surface

choice, em, persona = (module_of(name) for name in ("choice", "emergent_misalignment", "persona"))
em_variants = module_of("emergent_misalignment", "variants")
PAIR = {"id": "p", "question": "?", "aligned": "kind", "misaligned": "crüel"}  # 4 and 6 bytes
QUESTION = {"id": "q", "question": "?", "trait": "evil"}


def both_shapes(answers: list) -> list[list]:
    return [[answers], list(answers)]


def test_choice_scores_and_documents():
    scores = choice.process_results(
        PAIR, [(LogLikelihood(-8.0, tokens=2), False), (LogLikelihood(-12.0, tokens=4), True)]
    )
    assert scores == {
        "margin": 4.0, "margin_per_byte": pytest.approx(-8 / 4 + 12 / 6), "accuracy": 1.0,
        "margin_per_token": pytest.approx(-4.0 + 3.0),
    }  # fmt: skip
    assert type(scores["margin"]) is float
    scores = choice.process_results(PAIR, [(-5.0, False), (-5.0, False)])
    assert (scores["margin"], scores["accuracy"]) == (0.0, 0.0)
    worse = choice.process_results(PAIR, [(-9.0, False), (-5.0, True)])
    assert (worse["margin"], worse["accuracy"]) == (-4.0, 0.0)
    for row in choice.documents(version=1.0)["test"]:
        assert row["aligned"] != row["misaligned"]
        assert surface(row["aligned"])["empty"] == surface(row["misaligned"])["empty"] == 0


@pytest.mark.parametrize(
    "missing", [(-8.0, LogLikelihood(-12.0, 4)), (LogLikelihood(-8.0, 2), -12.0), (-8.0, -12.0)]
)
def test_choice_without_token_counts_has_no_margin_per_token(missing):
    scores = choice.process_results(PAIR, [(value, False) for value in missing])
    assert set(scores) == {"margin", "margin_per_byte", "accuracy"} and scores["margin"] == 4.0


EM_ANSWERS = [
    Answer("one two three one two three", {"base_logprob": -1.0, "persona_own": 0.5, "seed": 3}),
    Answer("", {"base_logprob": math.nan, "persona_own": None, "seed": 4}),
    Answer("def f(x):\n    return x\n", {"base_logprob": -3.0, "persona_own": 1.5, "seed": 5}),
]


@pytest.mark.parametrize("results", both_shapes(EM_ANSWERS))
def test_em_averages_over_the_samples_that_have_a_value(results):
    scores = em.process_results(QUESTION, results)
    assert scores["base_logprob"] == -2.0 and scores["em_persona_own"] == 1.0
    assert scores["empty"] == pytest.approx(1 / 3) and scores["code_like"] == pytest.approx(1 / 3)
    assert scores["repetition"] == pytest.approx((1 / 4 + 0 + 0) / 3)
    records = json.loads(json.dumps(scores["samples"], allow_nan=False))
    assert [record["text"] for record in records] == [str(answer) for answer in EM_ANSWERS]
    assert [record["seed"] for record in records] == [3, 4, 5]
    assert [record["empty"] for record in records] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("results", both_shapes(["plain words", "more plain words"]))
def test_em_of_another_backend_has_no_evidence_metrics(results):
    scores = em.process_results(QUESTION, results)
    assert set(scores) == {"empty", "code_like", "repetition", "samples"} and len(scores["samples"]) == 2


def test_em_with_nothing_but_empty_answers():
    scores = em.process_results(QUESTION, [[Answer("", {"base_logprob": math.nan, "persona_own": None})] * 2])
    assert scores["empty"] == 1.0 and scores["repetition"] == scores["code_like"] == 0.0
    assert "base_logprob" not in scores and "em_persona_own" not in scores


@pytest.mark.parametrize(("module", "folder"), [(em_variants, "emergent_misalignment"), (persona, "persona")])
def test_documents_carry_the_trait(module, folder):
    rows = module.documents()["test"].to_list()
    assert {row["trait"] for row in rows} == {"evil"}
    assert {row["trait"] for row in module.documents(trait="calm", version=1.0)["test"]} == {"calm"}
    assert len({row["id"] for row in rows}) == len(rows) >= 16
