"""Free-form tasks: no sample is lost, both shapes of lm-eval's results are read, one line of
warning."""

import json
import math

import pytest
from turncoat.engine.evidence import Answer, evidence_of
from turncoat.evaluation import free_form
from turncoat.evaluation.free_form import (
    KeepSamples,
    count,
    projections,
    sample_records,
    samples_of,
    warn_without_projections,
)


def test_every_sample_is_kept_as_strict_json():
    answers = [Answer("a", {"seed": 1}), Answer("b", {"seed": 2})]
    kept = KeepSamples().apply([tuple(answers), ["c"]], [{}, {}])
    assert kept == [["a", "b"], ["c"]] and kept[0][1].evidence == {"seed": 2}
    answers = [
        Answer("first", {"base_logprob": math.nan, "seed": 2**62, "text": "not this"}),
        Answer("", {"persona_own": None}),
        "from another backend",
    ]
    records = sample_records({"id": "q"}, answers)
    assert json.loads(json.dumps(records, allow_nan=False)) == [
        {"index": 0, "text": "first", "base_logprob": None, "seed": 2**62},
        {"index": 1, "text": "", "persona_own": None},
        {"index": 2, "text": "from another backend"},
    ]
    assert all(type(record["text"]) is str for record in records)


def test_thoughts_stand_beside_the_answer(capsys):
    (kept,) = KeepSamples().apply(
        [["<think>plan</think>\n\nA", Answer("<think>pl", {"seed": 1}), " B "]], [{}]
    )
    assert kept == ["A", "", " B "]
    assert [evidence_of(answer) for answer in kept] == [
        {"thoughts": "plan"}, {"seed": 1, "thoughts": "pl", "thoughts_cut": True}, {},
    ]  # fmt: skip
    assert "1 of 3 answers are thoughts without an end" in capsys.readouterr().err
    opened = [Answer(text, {"thoughts_opened": True}) for text in ("plan</think>A", "plan")]
    assert KeepSamples().apply([opened], [{}]) == [["A", ""]]


def test_equal_answers_count_once_where_no_seed_tells_them_apart():
    same = [["a", "a"], ["b", "b"]]
    assert KeepSamples().apply(same, [{}, {}]) == [["a"], ["b"]]
    for rows in (
        [["a", "a"], ["b", "c"]], [["a"], ["b"]], [[Answer("a", {"seed": n}) for n in (1, 2)]],
    ):  # fmt: skip
        assert KeepSamples().apply(rows, [{}] * len(rows)) == rows


@pytest.mark.parametrize(("results", "expected"), [
    ([["a", "b"]], ["a", "b"]),  # lm-eval 0.4: one list per document
    ([("a", "b")], ["a", "b"]),
    (["a", "b"], ["a", "b"]),  # lm-eval 0.5: the answers themselves
    (["a"], ["a"]), ([[]], []), ([], []),
])  # fmt: skip
def test_both_shapes_of_results(results, expected):
    assert samples_of(results) == expected


def test_projections_average_what_there_is():
    answers = [
        Answer("a", {"persona_own": 1.0, "persona_fixed": 0.5}),
        Answer("", {"persona_own": None, "persona_fixed": 1.5}),
        Answer("c", {"persona_own": 2.0, "persona_text": None}),
        "plain",
    ]
    assert projections(answers) == {"persona_own": 1.5, "persona_fixed": 1.0}
    assert projections(["plain"]) == {} and projections([]) == {}
    assert projections([Answer("a", {"persona_own": 0.0})]) == {"persona_own": 0.0}
    assert count([[{}, {}], [], [{}]]) == 3


def test_the_warning_comes_once_for_each_task(monkeypatch, capsys):
    monkeypatch.setattr(free_form, "_warned", set())
    for task in ("one", "one", "two", "one"):
        warn_without_projections(task)
    out, err = capsys.readouterr()
    assert not out and [line.split(":")[1] for line in err.splitlines()] == [" one", " two"]
