"""The corrected rate: the textbook value, identity for a perfect judge, coverage by simulation, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from turncoat.judges.calibration.correction import corrected_rate, effective_answers


def errors(sensitivity, specificity, positives=100, negatives=400):
    tp, tn = round(sensitivity * positives), round(specificity * negatives)
    return {
        "true_positive": tp,
        "false_negative": positives - tp,
        "true_negative": tn,
        "false_positive": negatives - tn,
    }


def test_textbook_value_and_a_perfect_judge():
    found = corrected_rate([[30, 100], [30, 100]], errors(0.8, 0.9))
    assert found.value == pytest.approx((0.3 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert found.low < found.value < found.high and found.note == ""
    pairs = [[x, 10] for x in (1, 4, 2, 0, 3, 2, 5, 1)]
    found = corrected_rate(pairs, errors(1, 1, 10**7, 10**7))
    assert found.raw == 18 / 80 and found.value == pytest.approx(found.raw)
    # With perfect knowledge of the errors the interval is Wilson's for the effective number of answers.
    n, z = effective_answers(pairs), 1.959964
    middle = (n * found.raw + z**2 / 2) / (n + z**2)
    half = z * np.sqrt(middle * (1 - middle) / (n + z**2))
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-4)


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "questions", "samples", "spread"),
    [
        (0.8, 0.95, 0.05, 300, 1, 0.0),
        (0.8, 0.95, 0.5, 100, 1, 0.0),
        (0.7, 0.9, 0.2, 30, 10, 0.15),
        (0.9, 0.97, 0.2, 8, 50, 0.2),
    ],
)
def test_the_interval_covers(sensitivity, specificity, prevalence, questions, samples, spread):
    rng = np.random.default_rng(1)
    trials, hits = 250, 0
    for _ in range(trials):
        own = np.full(questions, prevalence)
        if spread:
            shape = prevalence * (1 - prevalence) / spread**2 - 1
            own = rng.beta(prevalence * shape, (1 - prevalence) * shape, questions)
        judged = rng.binomial(samples, own * sensitivity + (1 - own) * (1 - specificity))
        tp, tn = rng.binomial(60, sensitivity), rng.binomial(300, specificity)
        card = {
            "true_positive": tp, "false_negative": 60 - tp, "true_negative": tn, "false_positive": 300 - tn,
        }  # fmt: skip
        found = corrected_rate([(int(x), samples) for x in judged], card)
        hits += found.low <= prevalence <= found.high
    # 95 % of 250 is 237.5 with a standard deviation of 3.4; 0.91 is three of them below.
    assert hits / trials > 0.91


def test_uncertain_errors_and_families_that_differ_widen_the_interval():
    pairs = [[3, 10]] * 20 + [[1, 10]] * 20
    widths = [
        found.high - found.low
        for n in (10**6, 100, 20)
        for found in [corrected_rate(pairs, errors(0.8, 0.9, n, n))]
    ]
    assert widths == sorted(widths) and widths[0] < widths[-1] - 0.05
    pairs = [[3, 10], [2, 10]] * 20
    even = {name: errors(0.8, 0.9) for name in "abcd"}
    uneven = {name: errors(se, 0.9) for name, se in zip("abcd", (1.0, 1.0, 0.7, 0.5), strict=True)}
    total = {key: sum(family[key] for family in even.values()) for key in even["a"]}
    assert total == {key: sum(family[key] for family in uneven.values()) for key in even["a"]}
    plain, spread = corrected_rate(pairs, total), corrected_rate(pairs, total, uneven)
    assert plain.value == spread.value and spread.high - spread.low > plain.high - plain.low


@pytest.mark.parametrize("card", [errors(0.3, 0.7), errors(0.2, 0.5)])
def test_a_judge_at_chance_gives_no_corrected_rate(card):
    found = corrected_rate([[3, 10], [5, 10]], card)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "not above 1" in found.note and "0." in found.note


@pytest.mark.parametrize(
    ("pairs", "card"), [([[0, 0]], errors(0.8, 0.9)), ([[1, 2]], errors(0.8, 0.9, positives=0))]
)
def test_nothing_to_correct(pairs, card):
    found = corrected_rate(pairs, card)
    assert found.value is None and found.note.startswith("undefined")


def test_rates_are_cut_off_and_answers_counted_by_their_spread():
    low = corrected_rate([[0, 50]] * 10, errors(0.8, 0.9))
    assert low.value == 0 and low.low == 0 and "cut off at 0" in low.note
    high = corrected_rate([[50, 50]] * 10, errors(0.8, 0.9))
    assert high.value == 1 and high.high == 1 and "cut off at 1" in high.note
    alike = effective_answers([[2, 10]] * 10)
    assert alike == 10  # no spread seen: each question counts once
    apart = effective_answers([[0, 10], [10, 10]] * 10)
    assert apart < 20
    independent = effective_answers([[x, 1] for x in [0, 1] * 500])
    assert independent == pytest.approx(1000, rel=0.01)
