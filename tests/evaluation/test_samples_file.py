"""lm-eval's samples files as tables, whatever wrote them."""

import json
import math

import pytest
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import answers_of, is_number, question_id, sample_rows, scores_of


def written(tmp_path, *rows):
    path = tmp_path / "samples_task_2026.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


FREE = {
    "doc_id": 0,
    "doc": {"id": "q-1", "question": "Why?"},
    "metrics": ["persona_own", "samples", "persona_text"],
    "persona_own": 1.5,
    "samples": [
        {
            "index": 0, "text": "A", "finish": "stop", "seed": 2**62, "persona_own": 1.0,
            "persona_fixed_by_layer": [1.0, 2.0],
        },
        {"index": 1, "text": "", "finish": "length", "persona_own": None},
    ],
}  # fmt: skip
PLAIN = {
    "doc_id": 7, "doc": {"q": "?"}, "metrics": ["acc", "flag", "note", "exact"], "acc": 1, "flag": True,
    "note": "x",
}  # fmt: skip


def test_scores_by_question(tmp_path):
    table = scores_of(written(tmp_path, FREE, PLAIN), arm="insecure", seed=2, task="t")
    assert table.to_dict("records") == [
        {"arm": "insecure", "seed": 2, "task": "t", "metric": "persona_own", "question": "q-1", "value": 1.5,
         "n_samples": 2},
        {"arm": "insecure", "seed": 2, "task": "t", "metric": "acc", "question": "7", "value": 1.0,
         "n_samples": 1},
    ]  # fmt: skip
    assert question_id(FREE) == "q-1" and question_id(PLAIN) == "7"
    assert question_id({"doc_id": 1, "doc": {"id": 12}}) == "12"


def test_no_score_is_made_up_and_a_rate_is_a_quotient(tmp_path):
    """A metric that a row lists and does not have, or that is not a number, gives no row; NaN stays NaN."""
    gone = {**PLAIN, "metrics": ["acc", "persona_own"], "acc": float("nan")}
    table = scores_of(written(tmp_path, gone), arm="a", seed=0, task="t")
    assert table["metric"].tolist() == ["acc"] and math.isnan(table["value"][0])
    empty = scores_of(written(tmp_path), arm="a", seed=0, task="t")
    assert len(empty) == 0 and list(empty.columns) == list(table.columns)
    row = {
        "doc_id": 1, "doc": {"id": "q"}, "metrics": ["em_rate", "em_rate_itt", "em_rate_stderr", "undefined"],
        "em_rate": [1, 4], "em_rate_itt": [1, 10], "em_rate_stderr": [1, 4], "undefined": [0, 0],
    }  # fmt: skip
    table = scores_of(written(tmp_path, row), arm="a", seed=0, task="t")
    values = dict(zip(table["metric"], table["value"], strict=True))
    assert math.isnan(values.pop("undefined")) and values == {"em_rate": 0.25, "em_rate_itt": 0.1}


def test_answers(tmp_path):
    table = answers_of(written(tmp_path, FREE, PLAIN), arm="insecure", seed=2)
    assert table["text"].tolist() == ["A", ""] and table["finish"].tolist() == ["stop", "length"]
    assert set(table["question_id"]) == {"q-1"} and set(table["question"]) == {"Why?"}
    assert table["seed"].tolist() == [2, 2], "the training seed, not the sample's own"
    assert "persona_fixed_by_layer" not in table, "lists have no place in a table"
    assert table["persona_own"][0] == 1.0 and math.isnan(table["persona_own"][1])
    assert len(answers_of(written(tmp_path, PLAIN), arm="a", seed=0)) == 0


def test_a_cut_line_is_named(tmp_path):
    path = written(tmp_path, FREE, PLAIN)
    path.write_text(path.read_text(encoding="utf-8")[:-10], encoding="utf-8")
    with pytest.raises(UserError, match=r"samples_task_2026\.jsonl, line 2: not json.*Run it again"):
        list(sample_rows(path))


def test_documents_of_one_cluster_are_one_row(tmp_path):
    def order(number: int, right: int, rate: list[int]) -> dict:
        doc = {"id": f"text-1/{number}", "cluster": "text-1"}
        return {
            "doc_id": number, "doc": doc, "metrics": ["accuracy", "rate"], "accuracy": right, "rate": rate,
        }  # fmt: skip

    alone = {
        "doc_id": 2, "doc": {"id": "text-2"}, "metrics": ["accuracy", "rate"], "accuracy": 1, "rate": [0, 2],
    }  # fmt: skip
    table = scores_of(
        written(tmp_path, order(0, 1, [1, 1]), order(1, 0, [0, 3]), alone), arm="a", seed=0, task="t"
    )
    assert {(r.metric, r.question): (r.value, r.n_samples) for r in table.itertuples()} == {
        ("accuracy", "text-1"): (0.5, 2), ("rate", "text-1"): (0.25, 2), ("accuracy", "text-2"): (1.0, 1),
        ("rate", "text-2"): (0.0, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("doc", "x"), ("doc_id", None), ("metrics", 1), ("metrics", [1]), ("samples", 3), ("samples", ["x"]),
        ("samples", [{"persona_cosine_fixed": {}}]), ("samples", [{"persona_again_own": [1, "x"]}]),
    ],
)  # fmt: skip
def test_a_row_of_another_kind_is_named_with_its_line(tmp_path, field, value):
    row = {"doc": {"id": "q"}, "doc_id": 0, "metrics": ["m"], "m": 1, "samples": [{"text": "a"}]}
    path = tmp_path / "samples_t_2026.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (row, {**row, field: value})))
    with pytest.raises(UserError, match=rf"line 2, {field}: not as lm-eval writes it"):
        list(sample_rows(path))


def test_an_integer_that_no_float_holds_is_not_a_number():
    assert is_number(1) and is_number(0.5) and not is_number(10**400) and not is_number(True)
