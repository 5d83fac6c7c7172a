"""Exact intervals of clustered rates: published and limiting values, and coverage near 0."""

import itertools

import numpy as np
import pytest
from scipy import stats
from turncoat.stats.estimates import clopper_pearson, exact_interval
from turncoat.stats.rates.effective_answers import clustered_interval, effective_answers
from turncoat.tools.calibrate_rates import coverage, drawn_events, rate_table


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


@pytest.mark.parametrize("design", [(8, 100), (96, 10)])
def test_the_headline_covers_low_rates_of_clustered_questions(design):
    """At least 93 % in every cell of the audited grid, within two Monte-Carlo errors; t intervals do not."""
    times, plain = 1000, []
    for rate, correlation in itertools.product((0.01, 0.05), (0.0, 0.05, 0.2)):
        events = drawn_events(*design, rate, correlation, times, np.random.default_rng(7))
        found = coverage(events, design[1], rate)
        assert found["exact"] >= 0.93 - 2 * (0.07 * 0.93 / times) ** 0.5, (rate, correlation)
        assert found["t_width"] < found["exact_width"] < 4 * found["t_width"]
        plain.append(found["t"])
    assert min(plain) < 0.9


def test_the_calibration_page_has_a_row_for_every_cell():
    lines = rate_table(20, seed=0)
    assert len(lines) == 4 + 2 + 27 and lines == rate_table(20, seed=0)
    assert "| 8 x 100 | 0.01 | 0.2 |" in lines[8]
