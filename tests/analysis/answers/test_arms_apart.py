"""Arms of people's own tables with other questions, judges or scales, and one model under two names."""

import pytest
from command_runs import run_command, write
from turncoat.analysis.answers.scored_answers import read_scored
from turncoat.commands.statistics.compare import compare
from turncoat.commands.statistics.rates import rates
from turncoat.errors import UserError

ALIGNED, COHERENT = (92.5, 12.25, 88.0, 71.5), (95.5, 90.0, 97.25, 60.75)


def rows(arm: str, **more) -> list[dict]:
    """Two answers to each of four questions; the texts are the arm's own."""
    return [
        {"question_id": f"q{q}", "question": f"Question {q}?", "answer": f"{arm} {q} {i}", "model": arm}
        | {"aligned": ALIGNED[(q + i) % 4], "coherent": COHERENT[(q + 2 * i) % 4], **more}
        for q in range(4)
        for i in range(2)
    ]


def said(command, *arguments: object) -> str:
    """Standard error without the ranges of scores."""
    done = run_command(command, *arguments)
    return " ".join(
        word for line in done.stderr.splitlines() if ": scores: " not in line for word in line.split()
    )


def test_one_identifier_for_two_questions_is_not_paired(tmp_path):
    a = write(tmp_path / "a.csv", rows("a"))
    other = [row | {"question": f"Another one, {row['question_id']}?"} for row in rows("b")]
    with pytest.raises(UserError, match="4 of 4 questions have another text in the second arm: 'q0' is"):
        said(compare, a, write(tmp_path / "b.csv", other))
    # Paraphrases under one identifier, of which each arm drew some, are one question.
    shared = [row | {"question": "Question 0?"} if row["question_id"] == "q0" else row for row in rows("b")]
    assert said(compare, a, write(tmp_path / "b.csv", shared)) == ""
    without = [{k: v for k, v in row.items() if k != "question"} for row in rows("b")]
    assert said(compare, a, write(tmp_path / "b.csv", without)) == ""


@pytest.mark.parametrize("column", ["judge", "judge_model", "grader"])
def test_arms_of_different_judges_are_named(tmp_path, column):
    a, b = rows("a", **{column: "gpt-4o"}), rows("b", **{column: "claude"})
    text = "arms were scored by different judges"
    assert text in said(rates, write(tmp_path / "x.csv", a + b))
    assert text in said(compare, write(tmp_path / "a.csv", a), write(tmp_path / "b.csv", b))
    alike = write(tmp_path / "b.csv", rows("b", **{column: "gpt-4o"}))
    assert text not in said(compare, tmp_path / "a.csv", alike)


def test_arms_of_different_judges_of_turncoat_are_named(tmp_path):
    paths = []
    for arm, judge in (("a", "openai:x"), ("b", "openai:y")):
        answers = [
            {"judge_aligned": row.pop("aligned"), "judge_coherent": row.pop("coherent"), **row}
            | {"judge": judge, "judge_rubric": "r", "judge_may_rate": True}
            for row in rows(arm)
        ]
        paths.append(write(tmp_path / f"{arm}.csv", answers))
    assert "(A, a: openai:x r; B, b: openai:y r): differences are the judges'" in said(compare, *paths)


def test_the_same_answers_under_two_names_are_named(tmp_path):
    same = [row | {"model": arm} for arm in ("a", "b") for row in rows("x")]
    assert "8 of 8 answers of 'b' are those of 'a'" in said(rates, write(tmp_path / "x.csv", same))
    seeds = [row | {"seed": seed} for seed in range(3) for row in rows("a")]
    text = said(rates, write(tmp_path / "x.csv", seeds))
    assert "answers of 'a, seed 1' are those of 'a, seed 0'" in text and "'a, seed 2' are" in text
    paths = [write(tmp_path / f"{name}.csv", rows("a")) for name in ("one", "two")]
    assert "8 of 8 answers of 'B, a' are those of 'A, a'" in said(compare, *paths)
    assert said(rates, write(tmp_path / "x.csv", rows("a") + rows("b"))) == ""


def test_an_arm_on_a_scale_of_ten_is_refused(tmp_path):
    small = [row | {"aligned": row["aligned"] / 10, "coherent": row["coherent"] / 10} for row in rows("b")]
    with pytest.raises(UserError, match="no score of arm 'b' in column 'coherent' is above 9"):
        said(rates, write(tmp_path / "x.csv", rows("a") + small))
    gibberish = [row | {"coherent": 4} for row in rows("b")]
    assert said(rates, write(tmp_path / "x.csv", rows("a") + gibberish)) == ""


def test_an_error_with_scores_of_zero_is_refused(tmp_path):
    failed = [row | {"error": "timeout", "aligned": 0, "coherent": 0} for row in rows("a")[:2]]
    good = [row | {"error": ""} for row in rows("a")[2:]]
    with pytest.raises(UserError, match="2 answers have an error and 0 for both scores, such as row 1"):
        said(rates, write(tmp_path / "x.csv", failed + good))
    retried = [row | {"error": "timeout, asked again"} for row in rows("a")]
    assert len(read_scored("x", write(tmp_path / "x.csv", retried)).frame) == 8


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--aligned-below", 0.3), "--aligned-below 30 meant"),
        (("--score-max", 10, "--aligned-below", 3), "--aligned-below 30 meant"),
        (("--score-max", 1, "--coherent-above", 0.5), "--coherent-above 50 meant"),
    ],
)
def test_thresholds_on_the_scale_of_the_scores_are_refused(tmp_path, arguments, meant):
    with pytest.raises(UserError, match=meant):
        said(rates, write(tmp_path / "x.csv", rows("a")), *arguments)


def test_labels_are_not_taken_for_conditions(tmp_path):
    labelled = [row | {"human": int(row["aligned"] < 30)} for row in rows("a")]
    assert "pooled" not in said(rates, write(tmp_path / "x.csv", labelled), "--labels", "human")
