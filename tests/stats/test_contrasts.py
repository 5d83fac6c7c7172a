"""Paired contrasts: the t test they equal, the two claims, and what NaN, order and few seeds do."""

import numpy as np
import pytest
from scipy import stats
from stats.score_tables import grids, score_table
from turncoat.errors import UserError
from turncoat.stats.contrasts import TooFewQuestions, contrast_grids, paired_contrast, sign_flip_p
from turncoat.stats.paired import side_means

RNG_SEED = 5


def two_arms(n_seeds: int, questions: int = 12) -> dict[tuple[str, int], np.ndarray]:
    rng = np.random.default_rng(RNG_SEED)
    return {(arm, seed): rng.normal(0.3, 1, questions) for arm in ("org", "ctl") for seed in range(n_seeds)}


def test_adapters_claim_is_the_paired_t_test():
    values = two_arms(1)
    result = paired_contrast(score_table(values), "org", "ctl", "m", "adapters")
    reference = stats.ttest_rel(values["org", 0], values["ctl", 0])
    ends = reference.confidence_interval()
    assert result.difference == pytest.approx(np.mean(values["org", 0] - values["ctl", 0]))
    assert result.p_value == pytest.approx(reference.pvalue)
    assert (result.low, result.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert (result.df, result.n_questions, result.n_seeds) == (11, 12, 1) and result.name == "org minus ctl"
    values = two_arms(3)
    result = paired_contrast(score_table(values), "org", "ctl", "m", "adapters")
    treated, reference = (np.mean([values[arm, seed] for seed in range(3)], axis=0) for arm in ("org", "ctl"))
    assert result.p_value == pytest.approx(stats.ttest_rel(treated, reference).pvalue)
    assert result.n_seeds == 3
    found = paired_contrast(score_table(two_arms(4)), "org", "ctl", "m", "adapters")
    assert (found.seeds.low, found.two_way.low, found.method) == (None, None, "t over questions")


def test_arms_with_other_seeds_or_none():
    values = two_arms(3)
    del values["ctl", 2]
    result = paired_contrast(score_table(values), "org", "ctl", "m", "adapters")
    expected = np.mean([values["org", s] for s in range(3)]) - np.mean([values["ctl", s] for s in range(2)])
    assert result.difference == pytest.approx(expected) and "different training seeds" in result.note
    values = {key: value for key, value in two_arms(3).items() if key[0] == "org"}
    base = np.linspace(-1, 1, 12)
    scores = score_table({**values, ("base", -1): base})
    result = paired_contrast(scores, "org", "base", "m", "recipe")
    assert result.seed_deltas == pytest.approx([np.mean(values["org", s] - base) for s in range(3)])
    mirror = paired_contrast(scores, "base", "org", "m", "recipe")
    assert mirror.seed_deltas == pytest.approx([-delta for delta in result.seed_deltas])
    assert mirror.p_value == pytest.approx(result.p_value)


def test_recipe_claim_reproduces_the_measured_three_seed_example() -> None:
    """Three seeds of an unmatched study: seeds .24, .09, .04 give 0.123 -+ 0.26 (t), p = .17, while each
    looks significant."""
    noise = np.random.default_rng(0).normal(0, 0.01, 32)
    noise -= noise.mean()
    values = {("ctl", s): np.zeros(32) for s in range(3)}
    values |= {("org", s): effect + noise for s, effect in enumerate((0.24, 0.09, 0.04))}
    scores = score_table(values)
    recipe = paired_contrast(scores, "org", "ctl", "m", "recipe")
    assert recipe.difference == pytest.approx(0.1233, abs=1e-4) and recipe.high is not None
    assert recipe.difference is not None
    assert recipe.high - recipe.difference == pytest.approx(0.26, abs=0.005)
    assert recipe.p_value == pytest.approx(0.17, abs=0.01)
    assert recipe.seed_deltas == pytest.approx((0.24, 0.09, 0.04)) and recipe.p_permutation == 0.25
    assert "p = 0.25" in recipe.barred
    adapters = paired_contrast(scores, "org", "ctl", "m", "adapters")
    assert adapters.p_value is not None and adapters.p_value < 1e-6


@pytest.mark.parametrize(("n_seeds", "words"), [(1, "1 training seed allows"), (2, "2 training seeds allow")])
def test_few_seeds_allow_no_claim_about_the_recipe(n_seeds: int, words: str) -> None:
    result = paired_contrast(score_table(two_arms(n_seeds)), "org", "ctl", "m", "recipe")
    assert result.difference is not None
    assert (result.low, result.high, result.se, result.p_value, result.p_permutation) == (None,) * 5
    assert words in result.note and len(result.seed_deltas) == n_seeds
    assert (result.seed_sd is None) == (n_seeds == 1)


def test_claims_that_are_not_possible():
    scores = score_table({("base", -1): [1.0, 2.0, 3.0], ("steered", -1): [1.0, 2.5, 3.0]})
    result = paired_contrast(scores, "steered", "base", "m", "recipe")
    assert (result.difference, result.n_seeds) == (None, 0) and "neither arm is trained" in result.note
    assert paired_contrast(scores, "steered", "base", "m", "adapters").p_value is not None
    scores = score_table(two_arms(1))
    with pytest.raises(UserError, match="adapters, recipe"):
        paired_contrast(scores, "org", "ctl", "m", "model")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="needs two arms"):
        paired_contrast(scores, "org", "org", "m", "adapters")


def test_questions_are_joined_and_nan_is_dropped_from_both_arms():
    values = two_arms(1)
    scores = score_table(values)
    without_first = scores[~((scores["arm"] == "ctl") & (scores["question"] == "q000"))]
    result = paired_contrast(without_first, "org", "ctl", "m", "adapters")
    assert result.difference == pytest.approx(np.mean((values["org", 0] - values["ctl", 0])[1:]))
    assert result.n_questions == 11
    values = two_arms(2)
    values["org", 0][3] = np.nan
    values["ctl", 1][3] = np.nan
    values["ctl", 0][5] = np.nan
    result = paired_contrast(score_table(values), "org", "ctl", "m", "adapters")
    cells = np.array([values["org", s] - values["ctl", s] for s in range(2)])
    keep = [q for q in range(12) if q != 3]  # question 3 has no seed with a value in both arms
    assert result.difference == pytest.approx(np.mean(np.nanmean(cells[:, keep], axis=0)))
    assert (result.n_questions, result.n_dropped) == (11, 3) and "1 of 12 questions" in result.note


@pytest.mark.parametrize("claim", ["adapters", "recipe"])
def test_row_order_changes_no_bit(claim: str) -> None:
    scores = score_table(two_arms(3, questions=30))
    scores.loc[7, "value"] = np.nan
    first = paired_contrast(scores, "org", "ctl", "m", claim)  # type: ignore[arg-type]
    for state in range(5):
        shuffled = scores.sample(frac=1, random_state=state)
        assert paired_contrast(shuffled, "org", "ctl", "m", claim) == first  # type: ignore[arg-type]


@pytest.mark.parametrize("claim", ["adapters", "recipe"])
def test_a_single_common_question_is_a_clear_error(claim: str) -> None:
    scores = score_table({("org", 0): [1.0, np.nan], ("ctl", 0): [0.5, 0.5]})
    with pytest.raises(TooFewQuestions, match=r"share 1 question.*at least 2"):
        paired_contrast(scores, "org", "ctl", "m", claim)  # type: ignore[arg-type]


def test_rates_of_zero_everywhere_show_nothing_and_claim_no_certainty() -> None:
    scores = score_table({("org", 0): np.zeros(20), ("ctl", 0): np.zeros(20)})
    result = paired_contrast(scores, "org", "ctl", "m", "adapters")
    assert (result.difference, result.p_value, result.p_permutation) == (0.0, 1.0, 1.0)
    assert (result.low, result.se) == (None, None)
    assert "same difference" in result.note


def test_a_spread_that_is_small_beside_the_level_is_a_spread():
    noise = np.random.default_rng(1).normal(0, 1e-3, (2, 3, 12))
    values = {
        (arm, s): 1e9 + noise[i, s] for i, arm in enumerate(("org", "ctl")) for s in range(3)
    }  # fmt: skip
    for claim in ("adapters", "recipe"):
        found = paired_contrast(score_table(values), "org", "ctl", "m", claim)
        assert found.se == pytest.approx(1e-3 / 12**0.5, rel=1.0) and found.low < found.high
        assert "same difference" not in found.note
    level = {key: np.full(12, 1e9) + (0.1 if key[0] == "org" else 0.0) for key in values}
    assert "same difference" in paired_contrast(score_table(level), "org", "ctl", "m", "adapters").note


def test_seeds_without_any_value_are_not_counted():
    values = two_arms(5)
    values["org", 3] = np.full(12, np.nan)
    for claim in ("adapters", "recipe"):
        assert paired_contrast(score_table(values), "org", "ctl", "m", claim).n_seeds == 4
    del values["ctl", 4]
    assert paired_contrast(score_table(values), "org", "ctl", "m", "adapters").n_seeds == 4


def test_the_means_of_both_arms_are_those_whose_difference_is_reported():
    values = two_arms(3)
    values["org", 0][:4], values["ctl", 2][6] = np.nan, np.nan
    org, ctl = grids(values, "org", "ctl")
    first, second = side_means(org, ctl)
    found = contrast_grids(org, ctl, "adapters").difference
    assert first - second == pytest.approx(found) and found != pytest.approx(np.nanmean(org.values) - second)
    del values["ctl", 1]
    org, ctl = grids(values, "org", "ctl")
    first, second = side_means(org, ctl)
    assert first - second == pytest.approx(contrast_grids(org, ctl, "adapters").difference)


def test_rounding_noise_is_no_spread():
    values = {("org", s): np.full(20, 0.1) for s in range(3)} | {("ctl", 0): np.full(20, 0.1)}
    assert np.mean([0.1] * 3) != 0.1  # the average of three equal rates is off by a rounding error
    result = paired_contrast(score_table(values), "org", "ctl", "m", "adapters")
    assert (result.difference, result.p_value) == (0.0, 1.0)
    values = {(arm, s): np.array([0.1, 0.2, 0.3]) + s for arm in ("org", "ctl") for s in range(2)}
    values["org", 1] = values["org", 1] + 0.3 - 0.3  # off by a rounding error
    result = paired_contrast(score_table(values), "org", "ctl", "m", "recipe")
    assert (result.difference, result.seed_sd, result.seed_deltas) == (0.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_sign_flip_floor(n: int) -> None:
    assert sign_flip_p(np.arange(1.0, n + 1)) == 2 / 2**n


def test_sign_flip_by_hand_by_scipy_and_by_sampling():
    # Sums of the 8 patterns of (3, 1, -2) in size: 6, 4, 2, 0 twice each; the observed |sum| is 2.
    assert sign_flip_p(np.array([3.0, 1.0, -2.0])) == 6 / 8
    differences = np.random.default_rng(3).normal(0.4, 1, 14)
    exact = stats.permutation_test((differences, np.zeros(14)), lambda x, y: np.mean(x - y),
                                   permutation_type="samples",
                                   n_resamples=np.inf, alternative="two-sided").pvalue  # fmt: skip
    assert sign_flip_p(differences) == pytest.approx(exact)
    # a zero flips to itself: same p, but beyond the exact limit
    doubled = np.concatenate([differences, [0.0]])
    assert sign_flip_p(doubled, rng=1) == pytest.approx(exact, abs=0.02)
    assert sign_flip_p(doubled, rng=1) == sign_flip_p(doubled, rng=1)
    assert sign_flip_p(np.ones(60)) == 1 / 10_000


def spread_arms(
    sds: tuple[float, float, float], n_seeds: int, questions: int, rng: np.random.Generator
) -> dict[tuple[str, int], np.ndarray]:
    """Treated minus reference with the given SDs between questions, between seeds and of single cells, and
    mean 0."""
    shift, level = rng.normal(0, sds[0], questions), rng.normal(0, 1, questions)
    values = {("ctl", seed): level for seed in range(n_seeds)}
    return values | {
        ("org", seed): level + shift + rng.normal(0, sds[1]) + rng.normal(0, sds[2], questions)
        for seed in range(n_seeds)
    }


@pytest.mark.parametrize(
    ("sds", "method"),
    [((0.5, 0.01, 0.01), "t over seeds and questions"), ((0.05, 0.2, 0.01), "t over seeds")],
)
def test_recipe_interval_is_the_wider_of_seeds_alone_and_seeds_with_questions(sds, method):
    found = paired_contrast(
        score_table(spread_arms(sds, 3, 40, np.random.default_rng(1))), "org", "ctl", "m", "recipe"
    )
    assert found.low is not None and found.seeds.low is not None and found.two_way.low is not None
    assert found.seeds.p is not None and found.two_way.p is not None
    assert found.p_value == max(found.seeds.p, found.two_way.p)
    assert found.low == pytest.approx(min(found.seeds.low, found.two_way.low)) and found.method == method
    assert found.seeds.p == pytest.approx(stats.ttest_1samp(found.seed_deltas, 0).pvalue)
