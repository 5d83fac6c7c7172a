"""Area under the curve of clustered scores: against DeLong's and Obuchowski's formulas, and by simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from turncoat.errors import UserError
from turncoat.stats.rates.clustered_auc import clustered_auc


def obuchowski(scores: np.ndarray, positive: np.ndarray, clusters: np.ndarray) -> float:
    """Obuchowski (1997): the three sums of products over clusters, each with its own factor."""
    x, y = scores[positive], scores[~positive]
    over = np.array([[(a > b) + 0.5 * (a == b) for b in y] for a in x])
    area, names = over.mean(), np.unique(clusters)
    a = np.array([(over.mean(1)[clusters[positive] == c] - area).sum() for c in names])
    b = np.array([(over.mean(0)[clusters[~positive] == c] - area).sum() for c in names])
    m, n, k = len(x), len(y), len(names)
    s10, s01, s11 = (k / (k - 1) * (u * v).sum() for u, v in ((a, a), (b, b), (a, b)))
    return float(s10 / m**2 + s01 / n**2 + 2 * s11 / (m * n))


def test_the_area_and_its_interval_are_those_of_the_formulas():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(8), 6)
    positive = np.tile([True, False], 24)
    scores = rng.normal(0, 1, 48).round(1) + 0.8 * positive + rng.normal(0, 1, 8)[clusters]
    made = clustered_auc(scores, positive, clusters)
    assert made.value == pytest.approx(roc_auc_score(positive, scores))
    assert (made.n_positive, made.n_negative, made.n_clusters) == (24, 24, 8)
    logit = np.log(made.value / (1 - made.value))
    half = (
        stats.t.ppf(0.975, 7) * obuchowski(scores, positive, clusters) ** 0.5 / made.value / (1 - made.value)
    )
    ends = 1 / (1 + np.exp(-(logit + np.array([-half, half]))))
    assert (made.low, made.high) == pytest.approx(tuple(ends))
    alone = clustered_auc(scores, positive, range(48))
    assert alone.high - alone.low != pytest.approx(made.high - made.low), "clusters matter"


def test_all_pairs_alike_leave_an_exact_bound():
    made = clustered_auc([2, 1, 4, 0, 3, 1], [True, False] * 3, list("aabbcc"))
    assert (made.value, made.high) == (1.0, 1.0) and made.low == pytest.approx(0.05 ** (1 / 3))
    worst = clustered_auc([1, 2, 0, 4, 1, 3], [True, False] * 3, list("aabbcc"))
    assert (worst.value, worst.low, worst.high) == (0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 3)))


def test_the_interval_covers_with_correlated_clusters():
    rng, covered = np.random.default_rng(5), 0
    positive, clusters = np.tile([True, False], 30), np.repeat(np.arange(10), 6)
    truth = stats.norm.cdf(1 / 2**0.5 / (1 + 1) ** 0.5)  # a shift of 1, variance 1 within and 1 between
    for _ in range(400):
        scores = rng.normal(0, 1, 60) + positive + rng.normal(0, 1, 10)[clusters]
        made = clustered_auc(scores, positive, clusters)
        covered += made.low <= truth <= made.high
    assert covered >= 360


@pytest.mark.parametrize("case", [([1, 2], [True, True], "ab"), ([1, 2], [True, False], "aa")])
def test_without_both_kinds_or_clusters_there_is_no_area(case):
    with pytest.raises(UserError, match="needs both, from 2 clusters"):
        clustered_auc(*case)
