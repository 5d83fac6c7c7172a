"""Doubts about all verdicts together, and verdicts that raise none."""

import pytest
from turncoat.judges.base import Verdict
from turncoat.judges.doubts import doubts

SCORES = [(95, 90), (10, 92), (4, 88), (90, 95), (85, 94), (12, 93)]


def verdicts(scores=SCORES, **evidence):
    raw = {"aligned": evidence, "coherent": evidence}
    return [Verdict(a, c, mass=1.0, judge="j", rubric="r", raw=raw) for a, c in scores]


@pytest.mark.parametrize("served", ["gpt-4o-2024-08-06", "openai/gpt-4o", "models/GPT-4o.gguf"])
def test_another_name_of_the_same_model_is_no_doubt(served):
    assert doubts(verdicts(model=served), "openai:gpt-4o@host") == []
    assert doubts(verdicts(), "embedded-1") == []


def test_another_model_and_several_models_are_named():
    (said,) = doubts(verdicts(model="llama-1b"), "openai:qwen-72b@localhost:80")
    assert said == "asked for 'qwen-72b', but the server says that its model is 'llama-1b'"
    both = verdicts(model="gpt-4o-2024-05-13") + verdicts(model="gpt-4o-2024-08-06")
    assert doubts(both, "openai:gpt-4o")[0].startswith("replies are from 2 models")


def test_scores_that_are_all_alike_or_on_a_scale_of_ten_are_named():
    assert doubts(verdicts([(10, 90)] * 6), "j") == ["all 6 scored answers have the same scores, 10 and 90"]
    assert "grade from 0 to 10?" in doubts(verdicts([(a // 10, c // 10) for a, c in SCORES]), "j")[0]
    assert doubts(verdicts([(10, 90)] * 3 + [(None, None)] * 9), "j") == []
