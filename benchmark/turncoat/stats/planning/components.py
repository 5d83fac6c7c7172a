"""Variance components of the difference between two arms, from a pilot or assumed.

A difference on question q at training seed s, with k answers per cell, is taken as

    d_qs = mu + a_q + b_s + e_qs,    Var(a) = question^2,  Var(b) = seed^2,  Var(e) = rest^2 + sampling^2 / k

References:
    Miller (2024), arXiv:2411.00640, section 5 (questions and samples as variance components).
    Searle, Casella & McCulloch (1992), Variance Components, chapter 4 (moment estimates).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from turncoat.stats.paired import pair_differences, subtract
from turncoat.stats.scores import grid
from turncoat.stats.two_way import two_way_t

ASSUMED_SEED_SHARE = 0.5
"""Seed SD over question SD without a pilot; measured: 0.2 (margin_per_token) to 1.6 (persona_fixed)."""


@dataclass(frozen=True)
class Components:
    """Standard deviations of the difference between two arms, in the units of the metric."""

    question: float  # Between questions, without the noise of answers that all seeds share (a base model's)
    seed: float | None  # Between training seeds; None if unknown
    rest: float  # Of question x seed beyond sampling; includes sampling where that is unknown
    # Of one answer per cell and trained arm; 0 where nothing is sampled, None if unknown
    sampling: float | None = 0.0
    sampling_shared: float | None = 0.0  # The same of a base model, whose answers all seeds share
    n_questions: int = 0  # Questions, training seeds, answers per cell of the pilot, 0 without one
    n_seeds: int = 0
    n_samples: float = 0.0
    source: str = ""  # Origin of the numbers, in words


# Insecure minus secure code on SmolLM2-135M: results/seeds (5 training seeds), split by two-way moments.
_MEASURED = {
    "margin_per_token": Components(0.03, 0.005, 0.048, 0.0),
    "persona_fixed": Components(0.031, 0.049, 0.044, None),
    "persona_own": Components(0.0, 0.02, 0.77, None),
}
# Published judged answers: SD of paired differences between questions 0.12, 0.11 without binomial noise at a
# rate of 0.15; one pair of training seeds, whose means differ by 0.023.
_SHARE = Components(0.11, 0.023, 0.03, math.sqrt(2 * 0.15 * 0.85))


def default_components(metric: str, unit: str) -> Components:
    """Components without a pilot; a metric that nobody measured is planned in SDs between its questions."""
    if metric in _MEASURED:
        return replace(_MEASURED[metric], source="assumed, from the study `seeds` on SmolLM2-135M")
    if unit == "share":
        return replace(_SHARE, source="assumed, from published judged answers at rates near 0.15")
    source = "assumed: no pilot has this metric, so effects are in SDs of the difference between questions"
    return Components(1.0, ASSUMED_SEED_SHARE, 0.5, 0.0, source=source)


def pilot_components(
    checked: pd.DataFrame,
    arms: Sequence[str],
    metric: str,
    *,
    rate: bool = False,
    answers: pd.DataFrame | None = None,
) -> Components | None:
    """Components of a contrast by moments, from a pilot; None where it has fewer than 2 common questions.

    Args:
        checked: The score table as `check_scores` returns it.
        arms: Treated and reference arm; two more for a difference of differences.
        rate: True if the metric is a share of a question's answers.
        answers: One row per answer (`arm`, `seed`, `question_id`, one column per metric); None if nothing was
            sampled.
    """
    grids = [grid(checked, arm, metric) for arm in arms]
    differences = pair_differences(grids[0], grids[1])
    if len(grids) == 4:
        differences = subtract(differences, pair_differences(grids[2], grids[3]))
    cells = differences.cells.dropna(how="all")
    if len(cells) < 2 or not cells.shape[1]:
        return None
    parts = {one.arm: _sampling(checked, one.arm, metric, rate, answers) for one in grids}
    counts = checked[(checked["metric"] == metric) & checked["arm"].isin(arms)]["n_samples"]
    samples = float(counts.mean())
    of_cells = _together(parts[one.arm] for one in grids if not one.is_base)
    shared = _together(parts[one.arm] for one in grids if one.is_base)
    whole = two_way_t(cells, scale=differences.scale)
    if (
        whole.sd_question is None or whole.sd_cell is None
    ):  # a single seed: questions and noise cannot be told apart
        noise = 0.0 if of_cells is None else of_cells / samples
        question2, seed, cell2 = max(0.0, float(cells.mean(axis=1).var(ddof=1)) - noise), None, noise
    else:
        question2, seed, cell2 = whole.sd_question**2, whole.sd_seed, whole.sd_cell**2
    n_seeds = cells.shape[1] if differences.trained else 0
    return Components(
        question=math.sqrt(max(0.0, question2 - (shared or 0.0) / samples)),
        seed=seed,
        rest=math.sqrt(max(0.0, cell2 - (of_cells or 0.0) / samples)),
        sampling=None if of_cells is None else math.sqrt(of_cells),
        sampling_shared=None if shared is None else math.sqrt(shared),
        n_questions=len(cells),
        n_seeds=n_seeds,
        n_samples=samples,
        source=f"pilot: {len(cells)} questions, {n_seeds} training seed{'s' * (n_seeds != 1)}",
    )


def mean_components(several: Sequence[Components]) -> Components | None:
    """Root mean squares over contrasts of a pilot, for a contrast that it lacks; None without any."""
    if not several:
        return None

    def together(name: str) -> float | None:
        known = [getattr(one, name) for one in several if getattr(one, name) is not None]
        return math.sqrt(sum(sd**2 for sd in known) / len(known)) if known else None

    unknown = any(one.sampling is None or one.sampling_shared is None for one in several)
    return Components(
        question=together("question") or 0.0,
        seed=together("seed"),
        rest=together("rest") or 0.0,
        sampling=None if unknown else together("sampling"),
        sampling_shared=None if unknown else together("sampling_shared"),
        n_questions=min(one.n_questions for one in several),
        n_seeds=min(one.n_seeds for one in several),
        n_samples=min(one.n_samples for one in several),
        source=f"pilot: root mean square of its {len(several)} contrast{'s' * (len(several) != 1)} with "
        "this metric",
    )


def _together(parts: Iterable[float | None]) -> float | None:
    """Sum of variances; None if one of them is unknown."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _sampling(
    checked: pd.DataFrame, arm: str, metric: str, rate: bool, answers: pd.DataFrame | None
) -> float | None:
    """Variance of an answer about its question's mean; 0 without sampling, None with one answer each."""
    if answers is None:
        return 0.0
    if metric in answers and pd.api.types.is_numeric_dtype(answers[metric]):
        values = answers[answers["arm"] == arm].groupby(["seed", "question_id"])[metric]
        spread, free = values.var(ddof=1), values.count() - 1
        free = free[free > 0]
        return float((spread[free.index] * free).sum() / free.sum()) if len(free) else None
    cells = checked[(checked["arm"] == arm) & (checked["metric"] == metric) & checked["value"].notna()]
    several = cells[cells["n_samples"] > 1]
    if not rate or several.empty:
        return None
    share, n = several["value"].to_numpy(), several["n_samples"].to_numpy(dtype=float)
    return float(np.mean(share * (1 - share) * n / (n - 1)))
