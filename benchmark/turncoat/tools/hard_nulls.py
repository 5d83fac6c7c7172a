"""Nulls at which tests of a mean fail, and the power of a claim about the recipe at its detectable effect.

Differences between two arms are drawn with a true mean of 0 and handed to
`turncoat.stats.contrasts.filled_contrast`. "t" is the share of experiments with p < .05 by the t tests alone,
"marked" the share that may be called significant (`Contrast.p_mark`).

Questions that carry the whole difference, or trainings that take, are drawn with a small probability. A
sample without one shows a constant difference, which nothing tells from a true one: the share of such samples
is given as `unseen`, and no method that ever marks a constant difference rejects less often.

References:
    Bahadur & Savage (1956), Annals of Mathematical Statistics 27(4) (no test of a mean holds its level for
    every distribution).
"""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from turncoat.stats.contrasts import Claim, Contrast, filled_contrast
from turncoat.stats.paired import Differences
from turncoat.stats.planning.components import Components
from turncoat.stats.planning.designs import Design, detectable
from turncoat.stats.t_errors import largest_p

QUESTIONS, SEEDS = (8, 24, 32, 96), (3, 5, 8)
LEVEL, GOAL = 0.05, 0.07
_SMALL = 0.02  # SD of the differences that do not matter, beside a carrier's size of 1
_TAKES = 0.2

Draw = Callable[[np.random.Generator, int], np.ndarray]


class Pattern(NamedTuple):
    """Differences of one kind, mean 0."""

    name: str
    draw: Draw  # (generator, questions) -> differences
    share: float = 0.0  # Probability of a question that carries the difference; 0 if all do
    fitted: bool = True  # False for patterns that no threshold was chosen on


def _carried(share: float, sizes: Draw) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        carriers = (rng.random(n) < share) * sizes(rng, n)
        return carriers - share + rng.normal(0, _SMALL, n)

    return draw


def _rate(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.binomial(10, rng.beta(0.05 * 5, 0.95 * 5, n)) / 10 - 0.05


def _ones(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.ones(n)


def _exponential(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.exponential(1, n)


PATTERNS = (
    Pattern("normal", lambda rng, n: rng.normal(0, 1, n)),
    Pattern("t with 3 df", lambda rng, n: rng.standard_t(3, n)),
    Pattern("t with 2 df", lambda rng, n: rng.standard_t(2, n)),
    Pattern("lognormal", lambda rng, n: rng.lognormal(0, 1, n) - np.exp(0.5)),
    Pattern("10 % of questions carry all", _carried(0.1, _ones), 0.1),
    Pattern("3 % of questions carry all", _carried(0.03, _ones), 0.03),
    Pattern("rate of .05 against a clean base", _rate),
    Pattern("exponential", lambda rng, n: rng.exponential(1, n) - 1, fitted=False),
    Pattern("Pareto, index 3", lambda rng, n: rng.pareto(3, n) - 0.5, fitted=False),
    Pattern("10 % carry all, exponential sizes", _carried(0.1, _exponential), 0.1, fitted=False),
    Pattern("two rates of .03", lambda rng, n: _pair_of_rates(rng, n), fitted=False),
)


def _pair_of_rates(rng: np.random.Generator, n: int) -> np.ndarray:
    rates = rng.binomial(10, rng.beta(0.03 * 5, 0.97 * 5, (2, n))) / 10
    return np.asarray(rates[0] - rates[1])


class Mix(NamedTuple):
    """SDs of a difference between questions, between seeds and of single cells, and their distributions."""

    name: str
    question: float
    seed: float
    cell: float
    seeds: str = "normal"  # "normal", "t3" or "one in five takes"
    lognormal: bool = False  # Of the questions


MIXES = (
    Mix("even", 1.0, 0.5, 0.5),
    Mix("single cells dominate", 0.2, 0.1, 1.0),
    Mix("seeds dominate", 0.2, 1.0, 0.2),
    Mix("seeds as far apart as questions", 1.0, 1.0, 0.3),
    Mix("seeds t with 3 df", 0.5, 0.5, 0.3, "t3"),
    Mix("lognormal questions", 1.0, 0.2, 0.2, lognormal=True),
    Mix("one training in five takes", 0.2, 1.0, 0.1, "one in five takes"),
)
POWER_MIXES = MIXES[:4]


def adapters_rows(replicates: int = 2000, seed: int = 0, on_cell: Callable[[], None] = lambda: None) -> Any:
    """Sizes of a claim about these adapters: one row per pattern and number of questions.

    Columns: pattern, fitted, questions, t, marked, unseen (shares of the replicates).
    """
    rows = []
    for (number, pattern), g in product(enumerate(PATTERNS), QUESTIONS):
        rng = np.random.default_rng([seed, 1, number, g])
        made = [_claim(pattern.draw(rng, g)[:, None], "adapters") for _ in range(replicates)]
        rows.append(
            {
                "pattern": pattern.name, "fitted": pattern.fitted, "questions": g, **_shares(made),
                "unseen": (1 - pattern.share) ** g if pattern.share else 0.0,
            }
        )  # fmt: skip
        on_cell()
    return pd.DataFrame(rows)


def recipe_rows(replicates: int = 2000, seed: int = 0, on_cell: Callable[[], None] = lambda: None) -> Any:
    """Sizes of a claim about the recipe: one row per mix, number of questions and number of seeds."""
    rows = []
    for (number, mix), g, s in product(enumerate(MIXES), QUESTIONS, SEEDS):
        rng = np.random.default_rng([seed, 2, number, g, s])
        made = [_claim(_cells(mix, g, s, rng), "recipe") for _ in range(replicates)]
        unseen = (1 - _TAKES) ** s if mix.seeds == "one in five takes" else 0.0
        rows.append({"pattern": mix.name, "questions": g, "seeds": s, **_shares(made), "unseen": unseen})
        on_cell()
    return pd.DataFrame(rows)


def power_rows(replicates: int = 2000, seed: int = 0, on_cell: Callable[[], None] = lambda: None) -> Any:
    """Share of experiments that find the detectable effect of `stats.planning`, for 1 and 6 tests.

    Columns: pattern, questions, seeds, power_1, power_6.
    """
    rows = []
    for (number, mix), g, s in product(enumerate(POWER_MIXES), QUESTIONS[:2], SEEDS):
        rng = np.random.default_rng([seed, 3, number, g, s])
        parts = Components(mix.question, mix.seed, mix.cell)
        effects = {n: detectable(parts, Design(g, 1, s, n), "recipe") for n in (1, 6)}
        hits = dict.fromkeys(effects, 0)
        for _ in range(replicates):
            cells = _cells(mix, g, s, rng)
            for n, effect in effects.items():
                assert effect is not None
                p_value = _claim(cells + effect, "recipe").p_value
                hits[n] += p_value is not None and p_value < LEVEL / n
        powers = {f"power_{n}": count / replicates for n, count in hits.items()}
        rows.append({"pattern": mix.name, "questions": g, "seeds": s, **powers})
        on_cell()
    return pd.DataFrame(rows)


CELLS = len(PATTERNS) * len(QUESTIONS) + len(MIXES) * len(QUESTIONS) * len(SEEDS)
CELLS += len(POWER_MIXES) * 2 * len(SEEDS)


def over_goal(rows: pd.DataFrame) -> list[str]:
    """Cells from 24 questions and 5 seeds on where over 7 % of nulls are marked, with the reason."""
    lines = []
    for row in rows.to_dict("records"):
        if row["questions"] < 24 or row.get("seeds", 5) < 5 or not row["marked"] > GOAL:
            continue
        where = f"{row['pattern']}, {row['questions']} questions"
        where += f" x {row['seeds']} seeds" if "seeds" in row else ""
        what = "training that takes" if "seeds" in row else "question that carries it"
        reason = f": {100 * row['unseen']:.1f} % of samples hold no {what}" if row["unseen"] else ""
        lines.append(f"{where}: {100 * row['marked']:.1f} %{reason}")
    return lines


def _cells(mix: Mix, g: int, s: int, rng: np.random.Generator) -> np.ndarray:
    questions: np.ndarray = rng.normal(0, 1, (g, 1))
    if mix.lognormal:
        questions = (rng.lognormal(0, 1, (g, 1)) - np.exp(0.5)) / ((np.e - 1) * np.e) ** 0.5
    seeds: np.ndarray = rng.normal(0, 1, (1, s))
    if mix.seeds == "t3":
        seeds = rng.standard_t(3, (1, s)) / 3**0.5
    elif mix.seeds == "one in five takes":
        seeds = (rng.random((1, s)) < _TAKES) - _TAKES
    return np.asarray(mix.question * questions + mix.seed * seeds + mix.cell * rng.normal(0, 1, (g, s)))


def _claim(cells: np.ndarray, claim: Claim) -> Contrast:
    frame = pd.DataFrame(cells)
    scale = float(np.abs(cells).max())
    paired = Differences(frame.mean(axis=1), frame, True, cells.shape[1], len(cells), 0, scale, [])
    rng = 0 if claim == "recipe" else None  # sign flips over seeds are exact, those over questions not needed
    return filled_contrast(Contrast("", "", claim, "treated", "reference"), paired, rng=rng)


def _shares(made: list[Contrast]) -> dict[str, float]:
    by_t = [largest_p(one.difference or 0.0, one.errors) if one.errors else one.p_value for one in made]
    return {
        "t": float(np.mean([p is not None and p < LEVEL for p in by_t])),
        "marked": float(np.mean([one.p_mark is not None and one.p_mark < LEVEL for one in made])),
    }
