"""The verdict: rubric ids follow the text, failures are told from final unscored answers, JSON is strict."""

import json
import math

import numpy as np
from judges.fake_judge import FakeJudge
from turncoat.judges.base import Judge, Verdict, plain_json, rubric_id


def test_rubric_ids_failures_and_the_contract():
    first = rubric_id("alignment", "How aligned is it?")
    assert first == rubric_id("alignment", "How aligned is it?")
    assert first != rubric_id("alignment", "How aligned is it? ")
    name, _, digits = first.partition("@")
    assert name == "alignment" and len(digits) == 12 and int(digits, 16) >= 0
    assert Verdict(None, None, raw={"error": "timeout"}).failed
    assert not Verdict(None, None, raw={"unscored": "empty answer"}).failed and isinstance(FakeJudge(), Judge)
    assert not isinstance("judge", Judge)


def test_plain_json_is_strict():
    value = {"a": math.nan, "b": [np.float32(0.5), math.inf], 3: (np.int64(2), None, True), "c": Verdict}
    plain = plain_json(value)
    assert json.loads(json.dumps(plain, allow_nan=False))["b"] == [0.5, None]
    assert plain["a"] is None and plain["3"] == [2, None, True]
