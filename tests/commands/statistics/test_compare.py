"""`turncoat compare`: the pairing by question, exact tests, what is undefined, and how arms are named."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from command_runs import run_command, write
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired
from turncoat.commands.statistics.compare import compare, split_arm
from turncoat.errors import UserError
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.scores import SCORE_COLUMNS


def run(*arguments: object) -> dict[tuple[str, str], dict]:
    records = [json.loads(line) for line in text(*arguments, "--json").splitlines()]
    return {(record["metric"], record["claim"]): record for record in records}


def text(*arguments: object) -> str:
    return run_command(compare, *arguments).stdout


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


def test_a_margin_is_tested_by_two_one_sided_tests(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", A) + judged("b", B))
    for margin, shown in ((0.5, True), (0.2, False)):
        found = run(f"{path}:a", f"{path}:b", "--margin", 100 * margin)
        record = found["em_rate", "adapters"]
        plain = ttost_paired(np.array(A) / 10, np.array(B) / 10, -margin, margin)[0]
        assert 0.999 * plain < record["p_margin"] < 1.5 * plain, "allowing for skew"
        assert record["p_margin_adjusted"] == min(1, record["n_tests"] * record["p_margin"])
        assert record["equivalent"] is shown
        printed = text(f"{path}:a", f"{path}:b", "--margin", 100 * margin)
        assert f"is A - B within {100 * margin:g} points?" in printed
        assert f"em_rate, these models {'yes' if shown else 'not shown'} +15.0" in " ".join(printed.split())
    assert run(f"{path}:a", f"{path}:b")["em_rate", "adapters"]["equivalent"] is False
    few = write(tmp_path / "y.jsonl", judged("a", A[:3]) + judged("b", B[:3]))
    record = run(f"{few}:a", f"{few}:b", "--margin", 99)["em_rate", "adapters"]
    assert not record["equivalent"] and "over 3 questions" in record["margin_withheld"]
    with pytest.raises(UserError, match=r"--margin 0: points of a rate"):
        run(f"{path}:a", f"{path}:b", "--margin", 0)


def test_incoherent_answers_and_unequal_denominators(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", A, incoherent=10) + judged("b", A))
    found = run(f"{path}:a", f"{path}:b")
    assert found["em_rate", "adapters"]["difference"] == 0
    assert found["em_rate_itt", "adapters"]["mean_a"] == pytest.approx(sum(A) / 160)
    assert found["em_rate_itt", "adapters"]["difference"] == pytest.approx(-sum(A) / 160)
    assert found["incoherent", "adapters"]["difference"] == 0.5
    rows = judged("a", [9], 10) + [row | {"id": "q1"} for row in judged("a", [0], 90)]
    rows += judged("b", [1], 10) + [row | {"id": "q1"} for row in judged("b", [0], 10)]
    record = run(f"{(path := write(tmp_path / 'x.jsonl', rows))}:a", f"{path}:b")["em_rate", "adapters"]
    assert record["difference"] == pytest.approx(0.8 / 2)  # each question the same weight
    assert record["difference_of_totals"] == pytest.approx(9 / 100 - 1 / 20)  # each answer the same weight
    path = write(tmp_path / "x.jsonl", judged("a", [0, 0], answers=0, incoherent=5) + judged("b", [3, 4]))
    found = run(f"{path}:a", f"{path}:b")
    assert found["em_rate", "adapters"]["difference"] is None
    assert found["em_rate", "adapters"]["mean_a"] is None
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
    assert "+15.0" in printed and "(flips)" in printed


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


def seeded(rates, seeds, answers, draw, shift=0.0):
    """Counts of 2 arms, shape (arm, question, seed): questions differ, a training moves all of them."""
    rng = np.random.default_rng(draw)
    own = (
        rng.beta(*rates, (2, 8, 1)) + rng.normal(0, 0.03, (2, 1, seeds)) + np.array([shift, 0])[:, None, None]
    )
    return rng.binomial(answers, np.clip(own, 0, 1))


def seeded_rows(counts, answers=10):
    return [
        row
        for arm, name in enumerate("ab")
        for seed in range(counts.shape[2])
        for row in judged(name, counts[arm, :, seed].tolist(), answers, training_seed=seed)
    ]


def test_a_claim_about_the_recipe_is_the_engines_own(tmp_path):
    """On these rows a Welch t over seeds says that the recipe differs where these adapters may not."""
    counts = seeded((2, 3), 5, 10, draw=35, shift=0.08)
    by_seed = counts.mean(axis=1) / 10
    welch = stats.ttest_ind(*by_seed, equal_var=False)
    path = write(tmp_path / "x.jsonl", seeded_rows(counts))
    found = run(f"{path}:a", f"{path}:b")
    recipe, adapters = found["em_rate", "recipe"], found["em_rate", "adapters"]
    ends = welch.confidence_interval()
    assert welch.pvalue < 0.001 < 0.2 < adapters["p_t"]
    assert ends.high - ends.low < (adapters["ci_high"] - adapters["ci_low"]) / 2
    rows = [
        ("ab"[arm], seed, "task", "m", f"q{question}", counts[arm, question, seed] / 10, 10)
        for arm, question, seed in itertools.product(range(2), range(8), range(5))
    ]
    due = paired_contrast(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), "a", "b", "m", "recipe")
    names = {"difference": "difference", "ci_low": "low", "ci_high": "high", "p_t": "p_value"}
    assert {n: recipe[n] for n in names} == pytest.approx({n: getattr(due, a) for n, a in names.items()})
    assert recipe["difference"] == pytest.approx(adapters["difference"])  # every seed has every question
    assert recipe["ci_high"] - recipe["ci_low"] >= adapters["ci_high"] - adapters["ci_low"] - 1e-12
    assert recipe["p_t"] >= adapters["p_t"] - 1e-12
    assert (recipe["n_seeds"], recipe["permutation_exact"]) == (5, True)
    printed = text(f"{path}:a", f"{path}:b")
    assert "the recipe: new training seeds and new questions" in printed and "seeds are paired" in printed


def test_seeds_that_only_one_arm_has_are_not_paired(tmp_path):
    counts = seeded((2, 3), 5, 10, draw=3)
    rows = [row for row in seeded_rows(counts) if (row["model"], row["training_seed"]) != ("b", 4)]
    path = write(tmp_path / "x.jsonl", rows)
    record = run(f"{path}:a", f"{path}:b")["em_rate", "recipe"]
    assert (record["n_seeds_a"], record["n_seeds_b"], record["n_seeds"]) == (5, 4, 4)
    assert "different training seeds" in record["note"]
    rows = [row | {"training_seed": row["training_seed"] + 9 * (row["model"] == "b")} for row in rows]
    record = run(f"{(path := write(tmp_path / 'y.jsonl', rows))}:a", f"{path}:b")["em_rate", "recipe"]
    assert record["ci_low"] is None and "no shared training seed, so no claim" in record["note"]
    rows = [row if row["model"] == "a" else row | {"training_seed": ""} for row in rows]
    found = run(f"{(path := write(tmp_path / 'z.jsonl', rows))}:a", f"{path}:b")
    assert ("em_rate", "recipe") not in found
    assert "no claim about the recipe: b has no training seed" in found["em_rate", "adapters"]["note"]


def answered(arm, questions):
    """Rows of an arm that answers a question (misaligned, of all) times."""
    return [
        row | {"id": f"q{number}"}
        for number, (misaligned, answers) in enumerate(questions)
        for row in judged(arm, [misaligned], answers)
    ]


def test_means_and_difference_are_of_one_quantity(tmp_path):
    """Unequal numbers of answers: totals say 11.5 against 34.6 %, the questions' means the opposite."""
    path = write(tmp_path / "x.jsonl", answered("a", [(2, 4), (4, 48)]) + answered("b", [(17, 40), (1, 12)]))
    record = run(f"{path}:a", f"{path}:b")["em_rate", "adapters"]
    assert record["mean_a"] - record["mean_b"] == pytest.approx(record["difference"])
    assert record["difference"] == pytest.approx((2 / 4 - 17 / 40) / 2)
    assert (record["rate_a"], record["rate_b"]) == pytest.approx((6 / 52, 18 / 52))
    assert record["difference_of_totals"] == pytest.approx((6 - 18) / 52)
    assert "opposite directions" in record["note"]
    printed = text(f"{path}:a", f"{path}:b")
    line = next(line for line in printed.splitlines() if line.startswith("em_rate "))
    first, second, difference = map(float, line.split()[1:4])
    assert difference == pytest.approx(first - second, abs=0.11) and difference > 0
    assert "means over the shared questions" in printed


def test_simultaneous_intervals_stand_beside_the_marks(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", A, incoherent=3) + judged("b", B, incoherent=2))
    found = run(f"{path}:a", f"{path}:b")
    record = found["em_rate", "adapters"]
    ends = stats.ttest_rel(np.array(A) / 10, np.array(B) / 10).confidence_interval(1 - 0.05 / 2)
    assert record["n_tests"] == 2  # every question has the same incoherence: no test
    assert (record["simultaneous_low"], record["simultaneous_high"]) == pytest.approx((ends.low, ends.high))
    assert record["p_adjusted"] == pytest.approx(2 * record["p_t"])
    assert found["incoherent", "adapters"]["p_adjusted"] is None
    printed = " ".join(text(f"{path}:a", f"{path}:b").split())
    assert "The 2 metrics tested under one claim are a family" in printed


def test_few_questions_are_not_marked_and_the_reason_is_said(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", [9, 10, 9, 10, 8]) + judged("b", [0, 1, 1, 0, 0]))
    record = run(f"{path}:a", f"{path}:b")["em_rate", "adapters"]
    assert record["simultaneous_low"] > 0 and record["p_adjusted"] < 0.001
    assert record["withheld"] == "exact sign flips over 5 questions cannot go below p = 0.0625"
    assert "not marked: exact sign flips over 5 questions" in text(f"{path}:a", f"{path}:b")
    path = write(tmp_path / "y.jsonl", judged("a", [9, 10, 9, 10, 8, 9]) + judged("b", [0, 1, 1, 0, 0, 2]))
    assert run(f"{path}:a", f"{path}:b")["em_rate", "adapters"]["withheld"] == ""


def test_no_event_in_either_arm_still_bounds_the_difference(tmp_path):
    path = write(tmp_path / "x.jsonl", judged("a", [0] * 40, 1) + judged("b", [0] * 40, 1))
    record = run(f"{path}:a", f"{path}:b")["em_rate", "adapters"]
    upper = 1 - 0.025 ** (1 / 40)
    assert (record["ci_low"], record["ci_high"]) == (pytest.approx(-upper), pytest.approx(upper))
    assert record["p_t"] is None and "0.0 [-8.8, 8.8]" in text(f"{path}:a", f"{path}:b")


@pytest.mark.parametrize(
    ("a", "b", "metric", "said"),
    [
        ([0, 0, 0], [0, 0, 0], "em_rate", "no event in either arm"),
        ([5], [3], "em_rate", "1 question with a value in both arms; a paired test needs at least 2"),
        ([5, 6, 7], [4, 5, 6], "em_rate", "the same difference"),
        ([5, 6], [0, 0], "em_rate", "no ratio: only 0 questions of an arm have an event"),
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
