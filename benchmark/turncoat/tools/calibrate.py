"""Calibration of the default tests and intervals on simulated data whose truth is known.

Two arms with the same recipe are simulated as judged rates, then handed to
`turncoat.stats.contrasts.contrast_grids`:

    x_{arm,q,s} = u_{arm,q} + h_{arm,s} + e_{arm,q,s}      standard normal in all; u correlated between arms
    rate        = F(x),  F the quantile function of a Beta with the wanted mean and SD between questions
    value       = Binomial(k, rate) / k

so rates stay between 0 and 1, are skewed with many near-zero questions, and every arm has its own noise
between training seeds. Three truths are known, to quadrature, and each claim is held against its own:

    adapters            these seeds, the population of questions   E[rate | h]
    recipe              new seeds, new questions                   0: the arms have the same mean
    recipe, seeds alone new seeds, these questions       mean over q of E[rate | u]; permutation, t over seeds

A test "rejects" if its p for "the difference is the truth" is below 0.05: the truth is subtracted from the
treated arm first.

References:
    Morris, White & Crowther (2019), Statistics in Medicine 38(11) (simulation studies and their Monte-Carlo
    error).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import optimize, stats

from turncoat.errors import UserError
from turncoat.stats.contrasts import Claim, Contrast, contrast_grids
from turncoat.stats.scores import Grid
from turncoat.stats.sign_flip import sign_flip_p

QUESTIONS = (8, 24, 48, 96)
SEEDS = (3, 5, 8)
_LEVEL = 0.05
_X = np.linspace(-8, 8, 4001)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)


@dataclass(frozen=True)
class Null:
    """A truth without an effect. The defaults are those of published judged answers (0.19 between questions
    of one arm, 0.12 between questions of a difference of two), with a seed SD above the one that was measured
    (0.02).
    """

    mean: float = 0.17  # Mean rate of both arms
    sd_question: float = 0.19  # SD between questions of the treated arm's rate
    # The same of a reference that is not trained: a small one makes differences skewed. Default: a reference
    # like the treated arm, trained too.
    sd_reference: float | None = None
    # SD between questions of the difference of rates (with `sd_reference` as the treated's)
    sd_difference: float = 0.12
    sd_seed: float = 0.04  # SD between training seeds of an arm's mean rate
    noise: float = 0.02  # Share of the latent variance that is question x seed
    samples: int = 10  # Answers per question

    @cached_property
    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """F of the treated arm and of the reference on the grid of x."""
        both = (self.sd_question, self.sd_question if self.sd_reference is None else self.sd_reference)
        return _quantiles(self.mean, both[0]), _quantiles(self.mean, both[1])

    @cached_property
    def seed_variances(self) -> tuple[float, float]:
        """Variances of h that give each trained arm's mean its SD between seeds."""
        found = _solve(lambda v: _spread(self.curves[0], v), self.sd_seed, 1 - self.noise)
        return found, found if self.sd_reference is None else 0.0

    @cached_property
    def shared(self) -> float:
        """Covariance of u between arms that gives the difference its SD between questions."""
        f = self.curves[0]
        top = 1 - self.noise - self.seed_variances[0]

        def spread(own: float) -> float:  # SD of E[rate | u] - E[rate | u'] with Var(u | shared) = own
            return float(np.sqrt(max(0.0, 2 * (_spread(f, top) ** 2 - _spread(f, top - own) ** 2))))

        return top - _solve(spread, self.sd_difference, top)


@dataclass(frozen=True)
class Replicate:
    """Values of both arms, shape (questions, seeds), and the three true differences."""

    treated: np.ndarray
    reference: np.ndarray
    of_adapters: float
    of_questions: float
    of_recipe: float = 0.0


def simulate(null: Null, questions: int, seeds: int, rng: np.random.Generator) -> Replicate:
    """One experiment under the null."""
    common = rng.normal(0, null.shared**0.5, questions)
    arms, of_adapters, of_questions = [], [], []
    for f, of_seed in zip(null.curves, null.seed_variances, strict=True):
        own = 1 - null.noise - of_seed - null.shared
        u = common + rng.normal(0, max(0.0, own) ** 0.5, questions)
        h = rng.normal(0, of_seed**0.5, seeds)
        e = rng.normal(0, null.noise**0.5, (questions, seeds))
        rate = np.interp(u[:, None] + h + e, _X, f)
        arms.append(rng.binomial(null.samples, rate) / null.samples)
        of_adapters.append(float(_smoothed(f, 1 - of_seed, h).mean()))
        of_questions.append(float(_smoothed(f, null.noise + of_seed, u).mean()))
    return Replicate(arms[0], arms[1], of_adapters[0] - of_adapters[1], of_questions[0] - of_questions[1])


TESTS = {
    "adapters": ("adapters_t", "adapters_flips", "adapters_covers"),
    "recipe": ("recipe_p", "recipe_permutation", "recipe_covers", "seeds_covers"),
}


def calibration(
    null: Null, questions: Sequence[int] = QUESTIONS, seeds: Sequence[int] = SEEDS, replicates: int = 1000,
    rng: np.random.Generator | int = 0, on_progress: Callable[[], None] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rejections at 5 % and coverage of the 95 % intervals, as shares of the replicates: one row per cell.

    Columns: questions, seeds (3 or more), replicates, those of `TESTS`, and `adapters_covers_recipe`: how
    often the adapters' interval holds the recipe's truth, which it does not promise.
    """
    if replicates < 1 or min(questions) < 2 or min(seeds) < 3:
        raise UserError(
            f"replicates = {replicates}, questions = {tuple(questions)}, seeds = {tuple(seeds)}: accepted "
            "are 1, 2 and 3 or more"
        )
    start = int(np.random.default_rng(rng).integers(2**31))
    rows = []
    for g in questions:
        for s in seeds:
            generator = np.random.default_rng([start, g, s])
            found = []
            for _ in range(replicates):
                found.append(_outcome(simulate(null, g, s, generator), generator))
                if on_progress is not None:
                    on_progress()
            means = pd.DataFrame(found).mean().to_dict()
            rows.append({"questions": g, "seeds": s, "replicates": replicates, **means})
    return pd.DataFrame(rows)


def _outcome(one: Replicate, rng: np.random.Generator) -> dict[str, bool]:
    # An interval that holds x for the data holds x - truth for data moved by it: only p values need the data
    # moved.
    adapters = _contrast(one, one.of_adapters, "adapters", rng)
    recipe = _contrast(one, one.of_recipe, "recipe", rng)
    same_questions = np.array(recipe.seed_deltas) + one.of_recipe - one.of_questions
    return {
        "adapters_t": _below(adapters.p_value), "adapters_flips": _below(adapters.p_permutation),
        "adapters_covers": _holds(adapters.low, adapters.high, 0.0),
        "adapters_covers_recipe": _holds(adapters.low, adapters.high, one.of_recipe - one.of_adapters),
        "recipe_p": _below(recipe.p_value), "recipe_permutation": _below(sign_flip_p(same_questions, rng)),
        "recipe_covers": _holds(recipe.low, recipe.high, 0.0),
        "seeds_covers": _holds(recipe.seeds.low, recipe.seeds.high, one.of_questions - one.of_recipe),
    }  # fmt: skip


def _contrast(one: Replicate, truth: float, claim: Claim, rng: np.random.Generator) -> Contrast:
    sides = [
        Grid(name, "rate", pd.DataFrame(values), dict.fromkeys(range(values.shape[1]), 0))
        for name, values in (("treated", one.treated - truth), ("reference", one.reference))
    ]
    return contrast_grids(sides[0], sides[1], claim, rng=rng)


def _below(p: float | None) -> bool:
    return p is not None and p < _LEVEL


def _holds(low: float | None, high: float | None, truth: float) -> bool:
    """An interval that is undefined claims nothing, so it is not wrong."""
    return low is None or high is None or low <= truth <= high


def monte_carlo_error(share: float, replicates: int) -> float:
    """Two standard errors of a share of the replicates."""
    return 2 * float(np.sqrt(share * (1 - share) / replicates))


def verdicts(rows: pd.DataFrame) -> list[str]:
    """Deviations in words: rejections above 5 %, or coverage outside 93 to 97 %, beyond Monte-Carlo error.

    Fewer rejections and wider intervals are conservative and said as such, not hidden.
    """
    told = []
    for row in rows.to_dict("records"):
        where = f"{row['questions']} questions x {row['seeds']} seeds"
        n = row["replicates"]
        for name in (column for columns in TESTS.values() for column in columns):
            share = row[name]
            if "covers" not in name and share > _LEVEL + monte_carlo_error(_LEVEL, n):
                told.append(f"{where}: {name} rejects {share:.1%}")
            if "covers" in name and share < 0.93 - monte_carlo_error(0.93, n):
                told.append(f"{where}: {name} covers {share:.1%}")
            if "covers" in name and share > 0.97 + monte_carlo_error(0.97, n):
                told.append(f"{where}: {name} covers {share:.1%} (conservative)")
    return told


COLUMNS = {
    "adapters_t": "t", "adapters_flips": "flips", "adapters_covers": "covers", "recipe_p": "p",
    "recipe_covers": "covers", "recipe_permutation": "permutation", "seeds_covers": "t over seeds covers",
    "adapters_covers_recipe": "adapters' interval covers the recipe",
}  # fmt: skip


def markdown_table(rows: pd.DataFrame) -> list[str]:
    """The rows as a Markdown table in per cent."""
    groups = {"adapters_t": "adapters: ", "recipe_p": "recipe: ", "recipe_permutation": "same questions: "}
    head = ["questions", "seeds", *(groups.get(name, "") + title for name, title in COLUMNS.items())]
    lines = ["| " + " | ".join(head) + " |", "|" + " ---: |" * len(head)]
    for row in rows.to_dict("records"):
        shares = " | ".join(f"{100 * row[name]:.1f}" for name in COLUMNS)
        lines.append(f"| {row['questions']} | {row['seeds']} | {shares} |")
    return lines


def _quantiles(mean: float, sd: float) -> np.ndarray:
    size = mean * (1 - mean) / sd**2 - 1
    if size <= 0:
        raise UserError(
            f"a rate of mean {mean:g} cannot have an SD of {sd:g} between questions; less than "
            f"{(mean * (1 - mean)) ** 0.5:.2g} is possible"
        )
    return np.asarray(stats.beta.ppf(stats.norm.cdf(_X), mean * size, (1 - mean) * size))


def _smoothed(f: np.ndarray, variance: float, at: np.ndarray) -> np.ndarray:
    """E[F(x + z)] with z normal of this variance."""
    points = np.asarray(at)[..., None] + max(0.0, variance) ** 0.5 * _NODES
    return np.interp(points, _X, f) @ _WEIGHTS / _WEIGHTS.sum()


def _spread(f: np.ndarray, variance: float) -> float:
    """SD of E[F | part of x] where that part has this variance, the whole of x having variance 1."""
    values = _smoothed(f, 1 - variance, max(0.0, variance) ** 0.5 * _NODES)
    mean = values @ _WEIGHTS / _WEIGHTS.sum()
    return float(np.sqrt((values - mean) ** 2 @ _WEIGHTS / _WEIGHTS.sum()))


def _solve(spread: Callable[[float], float], wanted: float, top: float) -> float:
    """The variance whose spread is the wanted one; `top` where none is."""
    if wanted <= 0:
        return 0.0
    return top if spread(top) <= wanted else float(optimize.brentq(lambda v: spread(v) - wanted, 0.0, top))
