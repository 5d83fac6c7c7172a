"""Diversity of a set of texts: values known beforehand, and agreement with slow definitions."""

import math

import numpy as np
import pytest
from turncoat.evaluation.diversity import cluster_counts, label_entropy, mean_distance, vendi_score


def random_units(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_identical_texts_count_as_one_and_orthogonal_ones_as_many(count):
    assert vendi_score(np.tile([0.6, 0.8], (count, 1))) == pytest.approx(1)
    assert vendi_score(np.eye(7)[:count]) == pytest.approx(count)


def test_the_vendi_score_of_two_groups_and_by_definition():
    rows = np.eye(2)[[0, 0, 0, 1]]
    assert vendi_score(rows) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    rows = random_units(9, 5)
    weights = np.linalg.eigvalsh(rows @ rows.T / 9)
    weights = weights[weights > 1e-12]
    assert vendi_score(rows) == pytest.approx(math.exp(-(weights * np.log(weights)).sum()))
    assert vendi_score(rows[::-1].astype(np.float32)) == pytest.approx(vendi_score(rows), rel=1e-5)


def test_mean_distance_is_that_of_all_pairs():
    rows = random_units(6, 4)
    pairs = [1 - rows[i] @ rows[j] for i in range(6) for j in range(i)]
    assert mean_distance(rows) == pytest.approx(np.mean(pairs))
    assert mean_distance(np.eye(3)) == pytest.approx(1)
    assert mean_distance(np.ones((3, 1))) == pytest.approx(0)


def test_clusters_at_a_sweep_of_thresholds():
    angle = np.radians([0, 10, 90, 100])  # cosines 0.985 within the two groups, at most 0.174 between
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert cluster_counts(rows, [-1.0, 0.75, 0.98, 0.99]) == [1, 2, 2, 4]
    assert cluster_counts(np.tile(rows[:1], (5, 1)).astype(np.float32), [0.75, 1.0]) == [1, 1]
    assert cluster_counts(np.eye(5), [0.75]) == [5]
    angle = np.radians(np.arange(0, 91, 15))  # neighbours at cosine 0.966; the ends are orthogonal
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    (count,) = cluster_counts(rows, [0.95])
    assert 1 < count < 7
    counts = cluster_counts(random_units(40, 3), [0.75, 0.8, 0.85, 0.9, 0.95])
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_entropy_of_labels_and_no_number_of_nothing():
    assert label_entropy(["a"] * 5) == 0 and label_entropy(["a", "b", "c", "d"]) == pytest.approx(2)
    assert label_entropy(["a", "a", "b"]) == pytest.approx(math.log2(3) - 2 / 3)
    none = np.zeros((0, 3))
    assert math.isnan(vendi_score(none)) and math.isnan(mean_distance(none[:1]))
    assert math.isnan(mean_distance(np.eye(3)[:1])) and math.isnan(label_entropy([]))
    assert cluster_counts(none, [0.8, 0.9]) == [0, 0]
