"""Intervals of rates for new training seeds and questions: bounds, parts, and coverage by simulation."""

import numpy as np
import pytest
from turncoat.stats.estimates import clopper_pearson
from turncoat.stats.rates.effective_answers import clustered_interval
from turncoat.stats.rates.recipe import recipe_interval


def drawn(rng, questions, answers, seeds, rate, between_questions, between_seeds):
    """Events of beta questions that every seed makes more or less likely by a beta factor of mean 1."""

    def shares(sd, n):
        size = rate * (1 - rate) / sd**2 - 1
        return rng.beta(rate * size, (1 - rate) * size, n)

    rates = shares(between_questions, questions)[:, None] * shares(between_seeds, seeds) / rate
    return rng.binomial(answers, np.clip(rates, 0, 1))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("rate", "between_questions", "between_seeds"), [(0.2, 0.15, 0.03), (0.2, 0.05, 0.08), (0.02, 0.02, 0.01)]
)
def test_it_covers_the_rate_of_new_seeds_and_questions(seeds, rate, between_questions, between_seeds):
    """8 questions x 50 answers; a t over the seeds alone misses what other questions would do."""
    rng, times, hits, over_seeds = np.random.default_rng(3), 400, 0, 0
    for _ in range(times):
        events = drawn(rng, 8, 50, seeds, rate, between_questions, between_seeds)
        low, high = recipe_interval(events, np.full(events.shape, 50))
        hits += low <= rate <= high
        by_seed = events.mean(axis=0) / 50
        half = {3: 4.303, 5: 2.776}[seeds] * by_seed.std(ddof=1) / seeds**0.5
        over_seeds += abs(by_seed.mean() - rate) <= half
    assert hits / times > 0.95 - 3 * (0.95 * 0.05 / times) ** 0.5
    if between_questions == 0.15:
        assert over_seeds / times < 0.75


def test_it_is_never_narrower_than_the_interval_of_these_adapters():
    rng = np.random.default_rng(5)
    for questions, seeds in ((2, 3), (4, 5), (8, 3), (24, 8)):
        answers = rng.integers(1, 12, (questions, seeds))
        events = rng.binomial(answers, rng.beta(1, 4, (questions, 1)))
        pairs = list(zip(events.sum(axis=1).tolist(), answers.sum(axis=1).tolist(), strict=True))
        low, high = recipe_interval(events, answers)
        ends = clustered_interval(pairs)[0]
        assert low <= ends.low and high >= ends.high


def test_without_an_event_seeds_and_questions_count_once_and_few_give_no_interval():
    none = np.zeros((8, 3), dtype=int)
    assert recipe_interval(none, none + 50) == clopper_pearson(0, 3)
    assert recipe_interval(none[:, :2], none[:, :2] + 50) is None
    assert recipe_interval(none[:1], none[:1] + 50) is None
    empty = np.where(np.arange(3) == 1, 0, 50) + none  # a seed without an answer that counts
    assert recipe_interval(none, empty) is None
