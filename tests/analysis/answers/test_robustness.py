"""Robustness of a conclusion: recounting agrees with the definitions, flips and influential questions are
found."""

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from turncoat.analysis.answers.answer_counts import METRICS, arm_answers
from turncoat.analysis.answers.arm_rates import Thresholds
from turncoat.analysis.answers.robustness import (
    ALIGNED_SWEEP,
    COHERENT_SWEEP,
    contrast_sweep,
    contrast_without_each,
    deciding_questions,
    rate_without_each,
    threshold_sweep,
)
from turncoat.errors import UserError
from turncoat.judges.rates import count_answers, pairs_of
from turncoat.judges.rates_table import rates_table
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.rates.ratios import estimate_rate
from turncoat.stats.scores import SCORE_COLUMNS

FOLDER = Path(os.environ.get("TURNCOAT_DATA", "/nowhere")) / "published" / "organism_judgements"
needs_data = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="TURNCOAT_DATA with the published judgements is not set"
)
USUAL = Thresholds()


def random_answers(arms=("a", "b"), questions=6, samples=8, seeds=(0, 1, 2), rng=0, shift=0.0):
    """Scores all over the scale, a tenth of each missing, a few failed calls; the second arm is `shift` more
    aligned."""
    generator = np.random.default_rng(rng)
    rows = []
    for number, arm in enumerate(arms):
        for question, seed, _ in itertools.product(range(questions), seeds, range(samples)):
            aligned, coherent = generator.uniform(0, 100, 2)
            aligned = min(100.0, aligned + number * shift)
            gone = generator.random(3) < 0.1
            error = "timeout" if gone[2] and seed == 0 else float("nan")
            rows.append(
                (
                    arm, seed, f"q{question}", None if gone[0] else aligned, None if gone[1] else coherent,
                    error,
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "seed", "question", "aligned", "coherent", "error"])


def plain_answers(scores):
    """(arm, question) -> alignment scores of coherent answers."""
    rows = [(arm, question, float(score), 90.0) for (arm, question), own in scores.items() for score in own]
    return pd.DataFrame(rows, columns=["arm", "question", "aligned", "coherent"])


@pytest.mark.parametrize("limits", [USUAL, Thresholds(20, 40), Thresholds(40, 60), Thresholds(0, 100)])
def test_recounting_agrees_with_the_definitions(limits):
    frame = random_answers()
    counted = arm_answers(frame, "b")
    for question, rows in frame[frame["arm"] == "b"].groupby("question"):
        evidence = [
            {
                "judge_aligned": r.aligned,
                "judge_coherent": r.coherent,
                "judge_error": r.error if r.error == r.error else "",
            }
            for r in rows.itertuples()
        ]
        due = pairs_of(count_answers(evidence, **vars(limits)))
        for metric in METRICS:
            assert list(counted.pairs(metric, limits)[str(question)]) == due[metric], (question, metric)


def test_every_answer_is_of_one_kind():
    kinds = arm_answers(random_answers(), "a").kinds(USUAL)
    assert (kinds.valid.astype(int) + kinds.incoherent + kinds.unscored + kinds.failed == 1).all()
    assert all(kind.any() for kind in vars(kinds).values()) and not (kinds.misaligned & ~kinds.valid).any()


def test_sweep_of_a_rate_moves_the_right_way_and_is_the_rate():
    frame = random_answers()
    rates = threshold_sweep(frame, "a")
    assert len(rates) == len(ALIGNED_SWEEP) * len(COHERENT_SWEEP)
    for limits, rate in rates.items():
        if limits.aligned_below < 40:
            assert rate <= rates[replace(limits, aligned_below=limits.aligned_below + 5)]
    assert rates[USUAL] == estimate_rate(list(arm_answers(frame, "a").pairs("em_rate", USUAL).values())).value


@pytest.mark.parametrize("claim", ["adapters", "recipe"])
def test_the_usual_difference_is_that_of_the_engine(claim):
    frame = random_answers(shift=25.0)
    rows = []
    for arm in ("a", "b"):
        counted = arm_answers(frame, arm)
        cells = counted.cells("em_rate", USUAL)
        events, totals = cells.events.to_numpy(), cells.answers.to_numpy()
        rows += [
            (arm, seed, "t", "em_rate", question, events[q, s] / totals[q, s] if totals[q, s] else np.nan, 1)
            for q, question in enumerate(counted.questions)
            for s, seed in enumerate(counted.seeds)
        ]
    due = paired_contrast(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), "a", "b", "em_rate", claim)
    usual = contrast_sweep(frame, "a", "b", claim=claim).usual
    assert (usual.difference, usual.low, usual.high) == pytest.approx(
        (due.difference, due.low, due.high), abs=1e-12
    )
    assert usual.conclusion == ("higher" if due.low > 0 else "unclear")


def test_a_conclusion_that_hangs_on_the_alignment_threshold():
    """Treated answers sit at 27, the reference has fewer but worse ones: who is worse depends on where one
    cuts."""
    scores = {}
    for question in range(10):
        extra = question % 2
        scores["t", f"q{question}"] = [27] * (6 + extra) + [95] * (4 - extra)
        scores["r", f"q{question}"] = [15] * 3 + [95] * 7
    found = contrast_sweep(plain_answers(scores), "t", "r")
    assert found.usual.conclusion == "higher" and found.usual.difference == pytest.approx(0.35)
    # Below 27 the treated arm has nothing and the reference 0.3 everywhere: no spread, so no interval and no
    # conclusion.
    assert found.n_defined == 15 and found.n_flipped == 0 and found.n_sign_changed == 10
    assert all("same difference" in point.note for point in found.points if point.conclusion == "undefined")
    scores["r", "q0"] = [15] * 4 + [95] * 6
    found = contrast_sweep(plain_answers(scores), "t", "r")
    assert (found.n_defined, found.n_flipped, found.n_reversed, found.n_sign_changed) == (25, 10, 10, 10)
    assert next(point for point in found.points if point.limits == USUAL) == found.usual


def test_leaving_a_question_out_is_dropping_its_rows():
    frame = random_answers(shift=25.0)
    found = contrast_without_each(frame, "a", "b", "em_rate_itt")
    rates = rate_without_each(frame, "a")
    for question in ("q0", "q3"):
        rest = frame[frame["question"] != question]
        due = contrast_sweep(rest, "a", "b", "em_rate_itt").usual
        assert found.each.set_index("question")["difference"][question] == due.difference
        assert rates.without[question] == pytest.approx(rate_without_each(rest, "a").value, abs=1e-15)
    assert rates.lowest < rates.value < rates.highest


def test_the_question_that_decides_is_named():
    scores = {}
    for question in range(10):
        scores["t", f"q{question}"] = [10] * (3 + question % 2) + [95] * 7
        scores["r", f"q{question}"] = [10] * 2 + [95] * 8
    scores["t", "q4"], scores["r", "q4"] = [95] * 10, [10] * 10
    found = contrast_without_each(plain_answers(scores), "t", "r")
    assert found.p_value > 0.05 and (found.most_influential, deciding_questions(found)) == ("q4", ["q4"])
    assert found.difference_high > 0.1 > found.difference
    worst = rate_without_each(plain_answers(scores), "r")
    assert (worst.worst_question, worst.worst_rate) == ("q4", 1.0)
    assert worst.lowest == worst.without["q4"] == pytest.approx(0.2)


def test_a_question_without_a_coherent_answer_is_not_among_those_left_out():
    frame = random_answers()
    frame.loc[(frame["arm"] == "a") & (frame["question"] == "q1"), "coherent"] = 10.0
    found = contrast_without_each(frame, "a", "b")
    assert set(found.each["question"]) == {"q0", "q2", "q3", "q4", "q5"} and found.n_questions == 5


def test_undefined_is_explained():
    one = plain_answers({("t", "q"): [10, 90], ("r", "q"): [90, 90]})
    sweep = contrast_sweep(one, "t", "r")
    assert sweep.usual.conclusion == "undefined" and sweep.n_defined == 0 and sweep.n_flipped == 0
    assert "needs 2" in sweep.usual.note and "undefined" in contrast_without_each(one, "t", "r").note
    assert deciding_questions(contrast_without_each(one, "t", "r")) == []
    alone = rate_without_each(one, "t")
    assert alone.value == 0.5 and alone.without == {} and "single question" in alone.note
    two = contrast_without_each(plain_answers({(a, q): [10, 90] for a in "tr" for q in "xy"}), "t", "r")
    assert "3 are needed" in two.note and two.most_influential == "" and deciding_questions(two) == []
    for gone in (one.assign(coherent=3.0), one.assign(aligned=None, coherent=None)):
        assert set(threshold_sweep(gone, "t").values()) == {None}
        assert rate_without_each(gone, "t").value is None
        assert contrast_sweep(gone, "t", "r").usual.note.startswith("undefined: 0 question(s)")
    seeds = contrast_sweep(random_answers(seeds=(0, 1)), "a", "b", claim="recipe")
    assert seeds.usual.conclusion == "undefined" and "no claim about the recipe" in seeds.usual.note


@pytest.mark.parametrize(("call", "message"), [
    (lambda f: contrast_sweep(f, "a", "c"), "no arm 'c'"),
    (lambda f: contrast_sweep(f, "a", "a"), "needs two arms"),
    (lambda f: threshold_sweep(f.drop(columns="aligned"), "a"), "lack aligned"),
    (lambda f: threshold_sweep(f.assign(may_rate=False), "a"), "no calibration card"),
    (lambda f: threshold_sweep(f.assign(question=None), "a"), "column 'question'"),
    (lambda f: contrast_sweep(f.assign(question=f["arm"]), "a", "b"), "no question in common"),
])  # fmt: skip
def test_a_mistake_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call(random_answers(samples=2))


def test_seeds_may_be_any_label_and_unknown():
    frame = random_answers(shift=25.0)
    labelled = frame.assign(seed=frame["seed"].map({0: "S1", 1: "S2", 2: "x"}))
    text = frame.assign(seed=frame["seed"].astype(str))
    due = contrast_sweep(frame, "a", "b", claim="recipe").usual
    for other in (labelled, text):
        assert contrast_sweep(other, "a", "b", claim="recipe").usual == due
    unknown = arm_answers(frame.assign(seed=""), "a")
    assert unknown.seeds == (-1,)
    assert unknown.pairs("em_rate", USUAL) == arm_answers(frame, "a").pairs("em_rate", USUAL)


@pytest.fixture(scope="module")
def published():
    from turncoat.analysis.answers.scored_answers import read_scored

    return pd.concat(
        [read_scored(path.stem, path).frame.assign(arm=path.stem) for path in sorted(FOLDER.glob("*.csv"))],
        ignore_index=True,
    )


@needs_data
def test_published_the_lax_definition_multiplies_the_rate(published):
    """Over 40 released sets the median factor is 1.53 (1.22 to 2.03); over these nine 1.83, over the larger
    medical ones 1.5."""
    table = rates_table(published, by=("arm",)).set_index("arm")
    factor = table["em_rate_lax"] / table["em_rate"]
    assert len(factor) == 9 and factor.min() > 1.4 and factor.median() == pytest.approx(1.83, abs=0.01)
    medical = factor[factor.index.str.contains("medical") & ~factor.index.str.contains("1B")]
    assert medical.to_numpy() == pytest.approx(1.5, abs=0.05)
    # Which model is the worse one depends on the definition, too.
    pairs = list(itertools.combinations(table.itertuples(), 2))
    assert sum((a.em_rate - b.em_rate) * (a.em_rate_lax - b.em_rate_lax) < 0 for a, b in pairs) == 4


@needs_data
def test_published_answers_are_not_independent(published):
    """Over 40 released sets the clustered error is 3.4 times the naive one (IQR 2.4 to 3.6); over these nine
    2.7."""
    arms = list(dict.fromkeys(published["arm"]))
    found = [estimate_rate(list(arm_answers(published, a).pairs("em_rate", USUAL).values())) for a in arms]
    times = [one.se_clustered / one.se_naive for one in found]
    assert np.median(times) == pytest.approx(2.70, abs=0.01) and min(times) > 2 and max(times) < 4.5
    pairs = list(itertools.combinations(found, 2))
    naive, clustered = (
        sum(abs(a.value - b.value) > 1.96 * np.hypot(getattr(a, se), getattr(b, se)) for a, b in pairs)
        for se in ("se_naive", "se_clustered")
    )
    assert (len(pairs), naive, clustered) == (36, 21, 13)


@needs_data
def test_published_conclusions_hang_on_the_thresholds(published):
    finance, medical = (
        f"Qwen2.5-14B-Instruct_{data}" for data in ("risky-financial-advice", "bad-medical-advice")
    )
    found = contrast_sweep(published, finance, medical)
    assert found.usual.conclusion == "unclear" and found.usual.difference == pytest.approx(0.154, abs=0.001)
    assert (found.n_flipped, found.n_reversed, found.n_sign_changed) == (10, 0, 5)
    assert deciding_questions(contrast_without_each(published, finance, medical)) == ["quick_buck"]
