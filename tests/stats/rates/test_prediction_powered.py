"""Prediction-powered rates: valid whatever the judge does, narrower than the labels alone where it is
good."""

import numpy as np
import pandas as pd
import pytest
from turncoat.analysis.answers.labelled_answers import labelled_answers
from turncoat.errors import UserError
from turncoat.stats.estimates import t_summary
from turncoat.stats.rates.labelled import LabelledAnswers
from turncoat.stats.rates.prediction_powered import prediction_powered_difference, prediction_powered_rate
from turncoat.stats.rates.ratios import estimate_rate, rate_difference


def rate(*arrays, weight=None, confidence=0.95, **more):
    return prediction_powered_rate(LabelledAnswers(*arrays, **more), weight=weight, confidence=confidence)


MU, SD = 0.25, 0.19  # rate and its SD between questions, as in the released sets


def simulated(rng, questions=24, samples=20, share=0.1, right=(0.85, 0.9), rates=None):
    """Labels of all answers, the judge's verdicts, and which answers are labelled."""
    size = MU * (1 - MU) / SD**2 - 1
    rates = rng.beta(MU * size, (1 - MU) * size, questions) if rates is None else rates
    truth = (rng.random((questions, samples)) < rates[:, None]).astype(float)
    judged = np.where(
        truth == 1, rng.random(truth.shape) < right[0], rng.random(truth.shape) > right[1]
    ).astype(float)
    chosen = rng.permutation(truth.size).reshape(truth.shape) < share * truth.size
    question = np.repeat(np.arange(questions), samples)
    return question, judged.ravel(), np.where(chosen, truth, np.nan).ravel(), truth.ravel()


def test_it_covers_and_is_narrower_than_the_labels_alone():
    """300 data sets with 48 labels of 480 answers; the Monte-Carlo error of 95 % is 1.3 points."""
    rng = np.random.default_rng(1)
    found = [rate(*simulated(rng)[:3]) for _ in range(300)]
    covered = np.mean([one.low <= MU <= one.high for one in found])
    assert 0.91 < covered < 0.985
    narrower = np.median([(one.high - one.low) / (one.labelled_high - one.labelled_low) for one in found])
    assert narrower < 0.88
    bias = np.mean([one.value for one in found]) - MU
    assert abs(bias) < 0.012  # its own error is 0.003
    assert abs(np.mean([one.predicted for one in found]) - MU) > 0.03, "the judge alone is biased"


def test_a_judge_at_chance_costs_little_and_misleads_nobody():
    rng = np.random.default_rng(2)
    found = [rate(*simulated(rng, right=(0.5, 0.5))[:3]) for _ in range(120)]
    assert np.mean([one.low <= MU <= one.high for one in found]) > 0.9
    assert np.median([(one.high - one.low) / (one.labelled_high - one.labelled_low) for one in found]) < 1.06
    assert np.mean([one.weight for one in found]) < 0.25


def test_all_labelled_and_weight_one_are_known_estimators():
    question, judged, _, truth = simulated(np.random.default_rng(4))
    found = rate(question, judged, truth)
    due = estimate_rate([(int(x), 20) for x in truth.reshape(24, 20).sum(axis=1)])
    assert (found.value, found.labelled_se) == pytest.approx((due.value, due.se_clustered))
    half = 2.06866 * due.se_clustered  # t with 23 degrees of freedom
    assert (found.labelled_low, found.labelled_high) == pytest.approx(
        (due.value - half, due.value + half), rel=1e-5
    )
    assert found.weight == 0.0 and found.se == pytest.approx(due.se_clustered * (23 / 22) ** 0.5)
    # Mean of the verdicts plus the mean rectifier, by hand; weight 0 is the labels alone.
    question, judged, label, _ = simulated(np.random.default_rng(5))
    there = ~np.isnan(label)
    found = rate(question, judged, label, weight=1.0)
    assert found.value == pytest.approx(judged.mean() + (label - judged)[there].mean())
    alone = rate(question, judged, label, weight=0.0)
    assert (alone.value, alone.low, alone.high) == pytest.approx(
        (alone.labelled, alone.labelled_low, alone.labelled_high)
    )
    tuned = rate(question, judged, label)
    grid = [rate(question, judged, label, weight=w).se for w in np.linspace(0, 1, 101)]
    best = np.argmin(grid) / 100
    assert tuned.weight == pytest.approx(best, abs=0.011)


def test_the_error_is_that_of_independent_answers_where_each_question_has_one():
    """With one answer per question the variance is the textbook one of two independent parts."""
    rng = np.random.default_rng(6)
    n, labelled = 4000, 800
    truth = (rng.random(n) < MU).astype(float)
    judged = np.where(rng.random(n) < 0.9, truth, 1 - truth)
    label = np.where(np.arange(n) < labelled, truth, np.nan)
    found = rate(np.arange(n), judged, label, weight=1.0)
    # mean over all = share of labelled + share of unlabelled answers, so the parts are y - (1 - r) f and (1 -
    # r) f.
    r = labelled / n
    due = np.sqrt(
        np.var(truth[:labelled] - (1 - r) * judged[:labelled], ddof=1) / labelled
        + (1 - r) ** 2 * np.var(judged[labelled:], ddof=1) / (n - labelled)
    )
    assert found.se == pytest.approx(due, rel=0.005)


def test_labels_drawn_more_often_where_the_judge_flagged():
    """All flagged answers are labelled and a tenth of the others: unweighted labels are far too high."""
    rng, values, plain = np.random.default_rng(8), [], []
    for _ in range(60):
        question, judged, _, truth = simulated(rng)
        chance = np.where(judged == 1, 1.0, 0.1)
        label = np.where(rng.random(truth.size) < chance, truth, np.nan)
        values.append(rate(question, judged, label, probability=chance).value)
        plain.append(rate(question, judged, label).labelled)
    assert abs(np.mean(values) - MU) < 0.02 and np.mean(plain) > MU + 0.1


def test_differences_are_paired_by_question():
    """The same hard questions in both arms: the interval covers, and is narrower than that of unrelated
    questions."""
    rng, covered, ratios, narrower = np.random.default_rng(9), [], [], []
    for _ in range(80):
        size = MU * (1 - MU) / SD**2 - 1
        rates = rng.beta(MU * size, (1 - MU) * size, 24)
        one, other = (simulated(rng, share=0.25, rates=p) for p in (rates, rates / 2))
        sides = [LabelledAnswers(*side[:3]) for side in (one, other)]
        found = prediction_powered_difference(*sides)
        covered.append(found.low <= MU / 2 <= found.high)
        alone = [rate(*side[:3]).se for side in (one, other)]
        narrower.append(found.se / np.hypot(*alone))
        ratios.append((found.high - found.low) / (found.labelled_high - found.labelled_low))
    assert 0.9 < np.mean(covered) < 0.995 and np.median(narrower) < 0.95 and np.median(ratios) < 0.95
    rng = np.random.default_rng(10)
    sides = [simulated(rng) for _ in range(2)]
    found = prediction_powered_difference(*(LabelledAnswers(q, f, truth) for q, f, _, truth in sides))
    per_question = [truth.reshape(24, 20).mean(axis=1) for _, _, _, truth in sides]
    due = t_summary(per_question[0] - per_question[1])
    assert (found.labelled, found.labelled_se) == pytest.approx((due.mean, due.se))
    totals = rate_difference(*([(int(20 * p), 20) for p in np.round(side, 2)] for side in per_question))
    assert found.labelled == pytest.approx(totals.difference, abs=0.03)


def test_a_rate_among_coherent_answers_is_a_ratio():
    """Judge and labeller may disagree on what is coherent; with all answers labelled the labels' ratio comes
    out."""
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "question": np.repeat([f"q{i}" for i in range(10)], 12), "aligned": rng.uniform(0, 100, 120),
            "coherent": rng.uniform(0, 100, 120), "label_aligned": rng.uniform(0, 100, 120),
            "label_coherent": rng.uniform(20, 100, 120),
        }
    )  # fmt: skip
    found = prediction_powered_rate(labelled_answers(frame, "em_rate"))
    valid = frame["label_coherent"] > 50
    pairs = (
        frame.assign(x=valid & (frame["label_aligned"] < 30), n=valid).groupby("question")[["x", "n"]].sum()
    )
    due = estimate_rate([(int(x), int(n)) for x, n in pairs.to_numpy()])
    assert (found.value, found.labelled_se) == pytest.approx((due.value, due.se_clustered))
    some = frame.assign(
        **{c: frame[c].where(np.arange(120) % 4 == 0) for c in ("label_aligned", "label_coherent")}
    )
    part = prediction_powered_rate(labelled_answers(some, "em_rate"))
    assert part.n_labelled == 30 and part.n == 120 and 0 <= part.low < part.value < part.high <= 1
    all_answers = prediction_powered_rate(labelled_answers(frame, "em_rate_itt"))
    assert all_answers.value == pytest.approx(pairs["x"].sum() / 120)


def test_undefined_is_explained():
    question, judged = np.repeat(np.arange(4), 3), np.tile([0.0, 1.0, 1.0], 4)
    nothing = rate(question, judged, np.full(12, np.nan))
    assert nothing.value is None and "has a label" in nothing.note
    single = rate(question, judged, np.where(question == 0, [0, 1, 0] * 4, np.nan))
    assert single.value is not None and single.low is None and "single question" in single.note
    two = rate(question, judged, np.where(question < 2, [0, 1, 0, 0, 1, 1] * 2, np.nan))
    assert two.weight == 1.0 and two.df == 1 and "2 questions only" in two.note
    below = rate(question, [0.0, 1.0, 1.0] * 2 + [0.0] * 6, [np.nan, 0, 0] * 2 + [np.nan] * 6, weight=1.0)
    assert below.value == 0.0 and "is cut to 0" in below.note, "-0.67 is no rate"
    zero = rate(question, np.zeros(12), np.zeros(12))
    assert zero.value == 0.0 and zero.low is None and "no spread" in zero.note
    gone = rate(question, np.full(12, np.nan), np.zeros(12))
    assert gone.value is None and gone.note.startswith("undefined")
    none = rate(question, judged, judged, label_counts=np.zeros(12))
    assert none.value is None and "label" in none.note
    apart = prediction_powered_difference(
        LabelledAnswers(["a"], [1.0], [1.0]), LabelledAnswers(["b"], [1.0], [1.0])
    )
    assert apart.value is None and "no question is in both" in apart.note


@pytest.mark.parametrize(("change", "told"), [
    ({"label": [1.0]}, "lengths are"), ({"label": ["yes", "no", "no"]}, "must be numbers"),
    ({"label": [np.inf, 0.0, 0.0]}, "infinite"),
    ({"probability": [0.0, 1.0, 1.0]}, "chance of being labelled"), ({"weight": 2.0}, "weight = 2.0"),
    ({"confidence": 95.0}, "confidence = 95.0"),
])  # fmt: skip
def test_a_mistake_is_named(change, told):
    given = {"question": ["a", "b", "c"], "predicted": [1.0, 0.0, 0.0], "label": [1.0, 0.0, 0.0]}
    with pytest.raises(UserError, match=told):
        rate(**(given | change))
    with pytest.raises(UserError, match="label_coherent"):
        labelled_answers(pd.DataFrame({"question": [], "aligned": [], "coherent": [], "label_aligned": []}))
