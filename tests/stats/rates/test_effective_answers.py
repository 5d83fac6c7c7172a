"""Exact intervals of clustered rates: published and limiting values, and coverage near 0."""

import numpy as np
import pytest
from scipy import stats
from turncoat.stats.estimates import clopper_pearson, exact_interval
from turncoat.stats.rates.clustered_error import ratio_stderr
from turncoat.stats.rates.effective_answers import clustered_interval, effective_answers


def test_it_is_clopper_and_pearsons_for_whole_numbers_and_for_one_answer_per_question():
    ends = stats.binomtest(7, 40).proportion_ci(0.9, method="exact")
    assert exact_interval(7, 40, 0.9) == pytest.approx((ends.low, ends.high), rel=1e-9)
    found, name = clustered_interval([(1, 1)] * 7 + [(0, 1)] * 393)
    assert found == pytest.approx(clopper_pearson(7, 400)) and name == "Clopper-Pearson on effective answers"


def test_a_cluster_counts_at_least_once_and_an_answer_at_most_once():
    assert clustered_interval([(0, 50)] * 8)[0] == clopper_pearson(0, 8)
    assert 8 <= effective_answers([(1, 50)] + [(0, 50)] * 7) < 10  # one cluster says little of the spread
    assert effective_answers([(25, 50)] + [(0, 50)] * 7) == 8
    (low, high), _ = clustered_interval([(1, 50)] + [(0, 50)] * 7)
    assert 0 <= low < 1 / 400 and 0.3 < high < clopper_pearson(1, 8).high
    assert clustered_interval([(49, 50)] + [(50, 50)] * 7)[0] == pytest.approx((1 - high, 1 - low))
    same, name = clustered_interval([(1, 4), (3, 12)])
    assert same == exact_interval(0.25 * 1.6, 1.6) and "over questions" in name  # 16^2 / (4^2 + 12^2)
    assert effective_answers([(0, 0)]) == 0


def test_clusters_without_an_event_say_nothing_of_the_spread():
    """The same three clusters with events: 97 others make the rate small, not its relative error."""
    few = effective_answers([(3, 10), (1, 10), (2, 10), *[(0, 10)] * 5])
    many = effective_answers([(3, 10), (1, 10), (2, 10), *[(0, 10)] * 97])
    quantiles = stats.norm.ppf(0.975) / stats.t.ppf(0.975, [3, 3])
    assert quantiles[0] == quantiles[1] and few / 80 == pytest.approx(many / 1000, rel=0.5)


CELLS = [
    (questions, answers, rate, correlation)
    for questions, answers in ((8, 100), (96, 10))
    for rate in (0.01, 0.05)
    for correlation in (0.0, 0.05, 0.2)
]
"""The audited grid: questions, answers each, rate, intraclass correlation of a beta-binomial."""


def drawn(rng, questions, answers, rate, correlation, times):
    rates = np.full((times, questions), rate)
    if correlation:
        size = 1 / correlation - 1
        rates = rng.beta(rate * size, (1 - rate) * size, (times, questions))
    return rng.binomial(answers, rates)


def test_the_headline_covers_low_rates_of_clustered_questions():
    """At least 93 % in every cell within two Monte-Carlo errors, where the t interval covers 77 to 95 %."""
    times, t_covers = 1000, []
    for cell in CELLS:
        questions, answers, rate, _ = cell
        hits = t_hits = 0
        for row in drawn(np.random.default_rng(7), *cell, times).tolist():
            pairs = [(x, answers) for x in row]
            (low, high), _ = clustered_interval(pairs)
            hits += low <= rate <= high
            half = stats.t.ppf(0.975, questions - 1) * ratio_stderr(pairs)
            t_hits += not abs(sum(row) / questions / answers - rate) > half  # NaN: no event, which covers
        assert hits / times >= 0.93 - 2 * (0.07 * 0.93 / times) ** 0.5, cell
        t_covers.append(t_hits / times)
    assert min(t_covers) < 0.85
