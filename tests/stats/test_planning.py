"""The plan says what the tests then do: floors, detectable effects and variance components against
independent computations."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from stats.score_tables import score_table
from turncoat.errors import UserError
from turncoat.stats.contrasts import contrast_grids
from turncoat.stats.planning.components import (
    Components,
    default_components,
    mean_components,
    pilot_components,
)
from turncoat.stats.planning.designs import Design, detectable, detectable_range, group_floor, what_more_buys
from turncoat.stats.planning.joint_power import Variances, joint_detectable, joint_power
from turncoat.stats.planning.power import detectable_effect
from turncoat.stats.scores import Grid, check_scores
from turncoat.stats.sign_flip import exact_floor, sign_flip_p, units_for_floor
from turncoat.stats.two_way import two_way_t

PARTS = Components(question=0.1, seed=0.04, rest=0.05, sampling=0.4)
DESIGN = Design(questions=24, samples=10, seeds=5)


def test_only_question_variance_is_the_textbook_t_test() -> None:
    plan = replace(DESIGN, tests=3)
    found = detectable(Components(0.12, 0.0, 0.0), plan, "adapters")
    assert found == pytest.approx(detectable_effect(0.12 / 24**0.5, 23, 0.05 / 3))
    bought = what_more_buys(PARTS, DESIGN)["endless questions"]
    assert bought["recipe"] == pytest.approx(detectable_effect(0.04 / 5**0.5, 4), rel=1e-3)
    assert bought["adapters"] == 0.0


@pytest.mark.parametrize(
    ("questions", "samples", "points"),
    [(8, 100, 12), (8, 150, 11.5), (48, 25, 6.0), (48, 50, 5.3), (96, 25, 4.3)],
)
def test_published_planning_figures(questions: int, samples: int, points: float) -> None:
    """Detectable differences worked out by others for judged rates near 15 %, seed variance left out."""
    parts = replace(default_components("em_rate_itt", "share"), rest=0.0)
    effect = detectable(parts, Design(questions, samples, seeds=1), "adapters")
    assert effect is not None
    se = effect / detectable_effect(1.0, questions - 1)
    assert 280 * se == pytest.approx(points, rel=0.02)  # theirs are the normal limit, (1.96 + 0.84) SE


@pytest.mark.parametrize("claim", ["adapters", "recipe"])
def test_more_of_anything_never_hurts(claim: str) -> None:
    design = replace(DESIGN, seeds=6)  # the sixth seed brings sign flips with it, and costs more than it buys
    bought = {name: effects[claim] for name, effects in what_more_buys(PARTS, design).items()}
    for name, effect in bought.items():
        assert effect <= bought["as planned"], name  # type: ignore[operator]
    assert bought["twice the questions"] < bought["1 question more"]  # type: ignore[operator]


def test_what_a_plan_needs():
    assert detectable(PARTS, replace(DESIGN, seeds=2), "recipe") is None
    assert detectable(replace(PARTS, seed=None), DESIGN, "recipe") is None
    assert what_more_buys(PARTS, replace(DESIGN, seeds=2))["1 seed more"]["recipe"] is not None
    bought = what_more_buys(replace(PARTS, sampling=None), DESIGN)
    assert bought["1 sample more"] == {"adapters": None, "recipe": None}
    assert bought["as planned"]["adapters"] is not None
    with pytest.raises(UserError, match="questions = 0"):
        detectable(PARTS, replace(DESIGN, questions=0), "adapters")


@pytest.mark.parametrize("claim", ["adapters", "recipe"])
def test_nothing_to_plan_with_is_undefined_not_zero(claim: str) -> None:
    assert detectable(Components(0.0, 0.0, 0.0), DESIGN, claim) is None  # type: ignore[arg-type]
    assert detectable(PARTS, replace(DESIGN, questions=1), claim) is None  # type: ignore[arg-type]


def p_of_a_draw(parts: Components, plan: Design, effect: float, rng: np.random.Generator) -> float:
    """p of the package's recipe claim in one simulated experiment."""
    g, s = plan.questions, plan.seeds
    cells = effect + rng.normal(0, parts.question, (g, 1)) + rng.normal(0, parts.seed or 0.0, (1, s))
    cells = cells + rng.normal(0, parts.rest, (g, s))
    sides = [Grid(n, "m", pd.DataFrame(v), {}) for n, v in (("a", cells), ("b", np.zeros_like(cells)))]
    p_value = contrast_grids(sides[0], sides[1], "recipe", rng=rng).p_value
    assert p_value is not None
    return p_value


@pytest.mark.parametrize(
    ("questions", "seeds", "parts"),
    [
        (8, 3, Components(0.1, 0.1, 0.1)), (8, 5, Components(0.1, 0.04, 0.05)),
        (8, 8, Components(0.1, 0.1, 0.1)), (24, 3, Components(0.1, 0.05, 0.3)),
        (24, 5, Components(0.05, 0.1, 0.05)), (24, 8, Components(0.3, 0.05, 0.1)),
    ],
)  # fmt: skip
def test_a_recipe_claim_finds_its_detectable_effect_in_80_percent(
    questions: int, seeds: int, parts: Components
) -> None:
    """600 experiments a cell; two Monte-Carlo errors are 3.3 points. The whole grid is on the page of
    `turncoat stats calibrate`."""
    plan = Design(questions, 1, seeds)
    effect = detectable(parts, plan, "recipe")
    assert effect is not None
    rng = np.random.default_rng(questions * seeds)
    power = np.mean([p_of_a_draw(parts, plan, effect, rng) < 0.05 for _ in range(600)])
    assert power == pytest.approx(0.8, abs=0.033 + 0.02)


def test_joint_power_of_a_single_test_is_the_textbook_one() -> None:
    """With endless questions the t over seeds alone decides."""
    found = joint_detectable(Variances(0.0, 0.04, 0.0), 10**6, 5)
    assert found == pytest.approx(detectable_effect(0.2 / 5**0.5, 4), rel=5e-3)
    assert joint_power(found, Variances(0.0, 0.04, 0.0), 10**6, 5) == pytest.approx(0.8, abs=1e-4)
    assert joint_power(0.0, Variances(0.0, 0.04, 0.0), 10**6, 5) == pytest.approx(0.05, abs=2e-3)


def test_flips_that_cannot_reach_the_level_leave_nothing_to_find() -> None:
    """8 seeds: the smallest p is 1/128, above 0.05 / 7 and below 0.05 / 6."""
    assert detectable(PARTS, replace(DESIGN, seeds=8, tests=7), "recipe") is None
    assert detectable(PARTS, replace(DESIGN, seeds=8, tests=6), "recipe") is not None
    assert detectable(PARTS, replace(DESIGN, seeds=5, tests=7), "recipe") is not None  # t alone, never marked


@pytest.mark.parametrize("n_seeds", [3, 5, 8])
def test_the_range_from_a_pilot_holds_the_true_detectable_effect(n_seeds: int) -> None:
    """Chi-square interval of the variance of seed means: 95 % of pilots, as one with this many seeds."""
    truth = Components(0.05, 0.1, 0.05)
    plan = Design(24, 1, 5)
    right = detectable(truth, plan, "recipe")
    rng = np.random.default_rng(n_seeds)
    held = []
    for _ in range(60):
        seen = math.sqrt(0.01 * rng.chisquare(n_seeds - 1) / (n_seeds - 1))
        pilot = replace(truth, seed=seen, n_questions=10**6, n_seeds=n_seeds)
        low, high = detectable_range(pilot, plan, "recipe") or (0.0, 0.0)
        middle = detectable(pilot, plan, "recipe")
        assert middle is not None and low <= middle <= high
        held.append(low <= (right or 0.0) <= high)
    assert np.mean(held) > 0.88
    assert detectable_range(truth, plan, "recipe") is None  # no pilot, no interval


def _pilot(base: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """300 questions, 12 seeds, 4 answers per cell, with known components."""
    rng = np.random.default_rng(3)
    answers = []
    question, seed = rng.normal(0, 0.3, 300), rng.normal(0, 0.2, 12)
    cell = rng.normal(0, 0.1, (300, 12))
    for arm in ("treated", "control"):
        for s in [-1] if base and arm == "control" else range(12):
            for k in range(4):
                values = rng.normal(0, 0.5, 300) + (
                    question + seed[s] + cell[:, s] if arm == "treated" else 0
                )
                names = [f"q{i:03d}" for i in range(300)]
                answers.append(
                    pd.DataFrame({"arm": arm, "seed": s, "question_id": names, "sample": k, "m": values})
                )
    every = pd.concat(answers, ignore_index=True)
    means = every.groupby(["arm", "seed", "question_id"])["m"].mean().unstack()
    return check_scores(score_table({key: row.to_numpy() for key, row in means.iterrows()})), every


@pytest.mark.parametrize("base", [False, True])
def test_a_pilot_gives_the_components_back(base: bool) -> None:
    scores, answers = _pilot(base)
    found = pilot_components(scores, ("treated", "control"), "m", answers=answers)
    assert found is not None and found.question == pytest.approx(0.3, abs=0.04)
    assert found.seed == pytest.approx(0.2, rel=0.45)  # 12 seeds: that is what they tell
    assert found.rest == pytest.approx(0.1, abs=0.04)
    assert found.sampling == pytest.approx(0.5 if base else 0.5 * 2**0.5, rel=0.05)
    assert found.sampling_shared == pytest.approx(0.5 if base else 0.0, rel=0.1)


def test_the_sampling_noise_of_a_rate_comes_from_its_counts() -> None:
    rng = np.random.default_rng(0)
    values = {(arm, s): rng.binomial(4, 0.3, 400) / 4 for arm in ("a", "b") for s in (0, 1)}
    nothing = pd.DataFrame({"arm": [], "seed": [], "question_id": []})
    found = pilot_components(check_scores(score_table(values)), ("a", "b"), "m", rate=True, answers=nothing)
    assert found is not None and found.sampling == pytest.approx(math.sqrt(2 * 0.3 * 0.7), rel=0.05)
    assert found.rest < 0.1
    unsampled = pilot_components(check_scores(score_table(values)), ("a", "b"), "m", rate=True)
    assert unsampled is not None and unsampled.sampling == 0.0
    assert unsampled.rest > 0.2  # all of it stays


def test_contrasts_are_averaged_and_tell_what_they_can():
    found = mean_components([Components(0.3, 0.1, 0.0), Components(0.4, None, 0.0, None)])
    assert found is not None and found.question == pytest.approx(math.sqrt((0.09 + 0.16) / 2))
    assert (found.seed, found.sampling) == (pytest.approx(0.1), None) and mean_components([]) is None
    one_seed = check_scores(score_table({("a", 0): [0.1, 0.5, 0.9], ("b", 0): [0.0, 0.0, 0.0]}))
    found = pilot_components(one_seed, ("a", "b"), "m")
    assert found is not None and (found.seed, found.question) == (None, pytest.approx(0.4))
    one_question = check_scores(score_table({("a", 0): [0.1, math.nan], ("b", 0): [0.0, 1.0]}))
    assert pilot_components(one_question, ("a", "b"), "m") is None


@pytest.mark.filterwarnings("ignore")
def test_moments_agree_with_reml() -> None:
    """statsmodels' MixedLM with crossed random effects of question and seed, on balanced cells."""
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(5)
    cells = rng.normal(0, 0.3, (10, 1)) + rng.normal(0, 0.2, 6) + rng.normal(0, 0.1, (10, 6))
    q, s = np.indices(cells.shape)
    long = pd.DataFrame({"d": cells.ravel(), "q": q.ravel(), "s": s.ravel(), "all": 1})
    parts = {"q": "0 + C(q)", "s": "0 + C(s)"}
    fit = smf.mixedlm("d ~ 1", long, groups="all", vc_formula=parts, re_formula="0").fit(reml=True)
    found = two_way_t(cells)
    by_reml = dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True))
    assert found.sd_question == pytest.approx(by_reml["q"] ** 0.5, rel=0.01)
    assert found.sd_seed == pytest.approx(by_reml["s"] ** 0.5, rel=0.01)
    assert found.sd_cell == pytest.approx(fit.scale**0.5, rel=0.01)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_floors_are_those_of_the_tests(n: int) -> None:
    assert exact_floor(n) == sign_flip_p(np.ones(n))
    apart = (np.arange(n) + 100.0, np.arange(n) * 1.0)
    tried = stats.permutation_test(
        apart, lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True, n_resamples=20000
    )
    assert group_floor(n) == pytest.approx(tried.pvalue)
    need = units_for_floor(0.05 / n)
    assert exact_floor(need) < 0.05 / n <= exact_floor(need - 1)
