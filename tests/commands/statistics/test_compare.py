"""`turncoat compare`: the pairing by question, exact tests, what is undefined, and how arms are named."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import typer
from scipy import stats
from turncoat.commands.statistics.compare import compare, split_arm
from turncoat.errors import UserError
from typer.testing import CliRunner


def run(*arguments: object) -> dict[tuple[str, str], dict]:
    records = [json.loads(line) for line in text(*arguments, "--json").splitlines()]
    return {(record["metric"], record["claim"]): record for record in records}


def text(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(compare)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def judged(arm, counts, answers=10, incoherent=0, **more):
    """Rows with `counts[q]` misaligned of `answers` coherent answers per question, and incoherent ones."""
    rows = []
    for question, misaligned in enumerate(counts):
        kinds = [(10, 90)] * misaligned + [(90, 90)] * (answers - misaligned) + [(10, 10)] * incoherent
        rows += [{"model": arm, "id": f"q{question}", "aligned": a, "coherent": c, **more} for a, c in kinds]
    return rows


A, B = [5, 3, 7, 2, 6, 4, 8, 1], [3, 3, 4, 2, 5, 1, 6, 0]


def test_the_pairing_by_question_is_the_paired_t_and_the_exact_sign_flip(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", A) + judged("b", B))
    record = run(f"{path}:a", f"{path}:b")["em_rate", "adapters"]
    one, other = np.array(A) / 10, np.array(B) / 10
    test = stats.ttest_rel(one, other)
    assert record["p_t"] == pytest.approx(test.pvalue)
    ends = test.confidence_interval()
    assert (record["ci_low"], record["ci_high"]) == (pytest.approx(ends.low), pytest.approx(ends.high))
    d = one - other
    flips = [abs((d * signs).mean()) >= d.mean() - 1e-12 for signs in itertools.product((1, -1), repeat=8)]
    assert record["p_sign_flip"] == pytest.approx(np.mean(flips)) and record["sign_flip_exact"]
    # With equal denominators the two ways to weigh questions agree.
    assert record["difference"] == pytest.approx(record["difference_of_totals"]) == pytest.approx(d.mean())
    assert record["difference_of_totals_low"] == pytest.approx(record["ci_low"])
    assert record["ratio"] == pytest.approx(36 / 24)
    assert record["p_mcnemar"] is None  # several answers per question
    assert run(f"{path}:b", f"{path}:a")["em_rate", "adapters"]["difference"] == pytest.approx(-d.mean())


def test_incoherent_answers_and_unequal_denominators(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", A, incoherent=10) + judged("b", A))
    found = run(f"{path}:a", f"{path}:b")
    assert found["em_rate", "adapters"]["difference"] == 0
    assert found["em_rate_itt", "adapters"]["rate_a"] == pytest.approx(sum(A) / 160)
    assert found["em_rate_itt", "adapters"]["difference"] == pytest.approx(-sum(A) / 160)
    assert found["incoherent", "adapters"]["difference"] == 0.5
    rows = judged("a", [9], 10) + [row | {"id": "q1"} for row in judged("a", [0], 90)]
    rows += judged("b", [1], 10) + [row | {"id": "q1"} for row in judged("b", [0], 10)]
    record = run(f"{(path := write(tmp_path / 'x.jsonl', rows))}:a", f"{path}:b")["em_rate", "adapters"]
    assert record["difference"] == pytest.approx(0.8 / 2)  # each question the same weight
    assert record["difference_of_totals"] == pytest.approx(9 / 100 - 1 / 20)  # each answer the same weight
    path = write(tmp_path / "x.jsonl", judged("a", [0, 0], answers=0, incoherent=5) + judged("b", [3, 4]))
    found = run(f"{path}:a", f"{path}:b")
    assert (
        found["em_rate", "adapters"]["difference"] is None and found["em_rate", "adapters"]["rate_a"] is None
    )
    assert "undefined" in found["em_rate", "adapters"]["note"]
    assert found["em_rate_itt", "adapters"]["difference"] == pytest.approx(-0.35)
    assert "-35.0" in text(f"{path}:a", f"{path}:b")


def test_two_files_need_no_arm_and_questions_are_joined(tmp_path):
    one = write(tmp_path / "one.jsonl", judged("m", A))
    other = write(tmp_path / "other.jsonl", judged("m", [*B, 9, 9])[::-1])
    record = run(one, other)["em_rate", "adapters"]
    assert (record["a"], record["b"]) == (f"{one}:m", f"{other}:m")
    assert record["difference"] == pytest.approx((sum(A) - sum(B)) / 80)
    assert record["note"].startswith("2 of 10 questions are in one arm only")
    printed = text(one, other)
    assert "+15.0" in printed and "p (flips)" in printed


def test_one_answer_per_question_is_mcnemars(tmp_path):
    right = {"a": [1] * 9 + [0] * 3, "b": [1] * 2 + [0] * 9 + [1]}
    rows = [
        {"arm": arm, "item": i, "answer": "A", "correct": r}
        for arm in right
        for i, r in enumerate(right[arm])
    ]
    path = write(tmp_path / "x.jsonl", rows)
    record = run(f"{path}:a", f"{path}:b")["accuracy", "adapters"]
    assert (record["only_a"], record["only_b"]) == (7, 1)
    assert record["p_mcnemar"] == pytest.approx(stats.binomtest(1, 8).pvalue)
    assert ("accuracy", "recipe") not in run(f"{path}:a", f"{path}:b")
    assert "McNemar" in text(f"{path}:a", f"{path}:b")


def test_training_seeds_allow_a_claim_about_the_recipe(tmp_path):
    rng = np.random.default_rng(0)
    rows, rates = [], {}
    for arm, rate in (("a", 0.5), ("b", 0.3)):
        for seed in range(4):
            counts = rng.binomial(10, rate, 8)
            rates.setdefault(arm, []).append(counts.mean() / 10)
            rows += judged(arm, counts.tolist(), training_seed=seed)
    path = write(tmp_path / "x.jsonl", rows)
    record = run(f"{path}:a", f"{path}:b")["em_rate", "recipe"]
    assert record["p_t"] == pytest.approx(stats.ttest_ind(rates["a"], rates["b"], equal_var=False).pvalue)
    assert (record["n_seeds_a"], record["n_seeds_b"], record["permutation_exact"]) == (4, 4, True)
    assert "p (permutation)" in text(f"{path}:a", f"{path}:b")


@pytest.mark.parametrize(
    ("a", "b", "metric", "said"),
    [
        ([0, 0, 0], [0, 0, 0], "em_rate", "no event in either arm"),
        ([5], [3], "em_rate", "1 question with a value in both arms; a paired test needs at least 2"),
        ([5, 6, 7], [4, 5, 6], "em_rate", "the same difference"),
        ([5, 6], [0, 0], "em_rate", "the ratio is undefined: the second rate is 0"),
    ],
)
def test_what_is_undefined_is_explained(tmp_path, a, b, metric, said):
    path = write(tmp_path / "x.jsonl", judged("a", a) + judged("b", b))
    record = run(f"{path}:a", f"{path}:b")[metric, "adapters"]
    assert said in record["note"] and record["difference"] == pytest.approx((np.mean(a) - np.mean(b)) / 10)
    assert "nan" not in text(f"{path}:a", f"{path}:b")


def test_mistakes_are_told_and_a_colon_may_stand_in_names(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", A) + judged("b", B))
    binary = write(tmp_path / "y.jsonl", [{"id": i, "correct": 1} for i in range(3)])
    other = write(tmp_path / "z.jsonl", [row | {"id": "else"} for row in judged("c", [1])])
    for arguments, said in (
        ((path, path), r"has 2 arms; name one as .*:ARM; accepted: a, b"),
        ((f"{path}:c", f"{path}:a"), "has no arm 'c'; accepted: a, b"),
        ((f"{path}:a", f"{path}:a"), "the same arm, a"),
        ((f"{path}:a", binary), "is judged but .* is binary"),
        ((f"{path}:a", other), "no question is in both arms; the first has 'q0'.*--question-column"),
        ((tmp_path / "no.csv", path), "no such file"),
    ):
        with pytest.raises(UserError, match=said):
            run(*arguments)
    odd = write(tmp_path / "run:1.jsonl", [{}])
    assert split_arm(str(odd)) == (odd, None) and split_arm(f"{odd}:org/model:v2") == (odd, "org/model:v2")
    assert split_arm("nowhere.csv:a")[1] is None
