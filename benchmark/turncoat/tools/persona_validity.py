"""Validity of a persona vector over arms: its shift beyond a control, and judged misalignment beyond it.

    validity(find_runs(Path("results/organisms"))).spearman

A pair is a contrast of two trained arms at one training seed. A vector that measures misalignment shifts more
in the pairs whose answers a judge calls misaligned more often. Pairs of one run share questions, and often a
control, so the interval is too narrow rather than too wide.

References:
    Bonett & Wright (2000), Psychometrika 65 (interval of Spearman's correlation).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.report.run_rows import Run
from turncoat.stats.scores import grid

RANKS_FROM = 0.8
"""Least correlation at which persona shifts may rank arms."""

LEAST_PAIRS = 5
COLUMNS = ("run", "treated", "reference", "seed", "persona", "misaligned")


@dataclass(frozen=True)
class Validity:
    """Correlation over pairs of arms."""

    pairs: pd.DataFrame  # `COLUMNS`: both differences, treated minus reference, means over questions
    spearman: float
    low: float  # Ends of the interval
    high: float

    @property
    def ranks(self) -> bool:
        """True if the correlation reaches `RANKS_FROM`."""
        return self.spearman >= RANKS_FROM


def validity(
    runs: Sequence[Run], *, persona: str = "persona_fixed", misaligned: str = "em_rate_itt",
    confidence: float = 0.95,
) -> Validity:  # fmt: skip
    """Spearman's correlation between shifts along the vector and judged misalignment, over pairs of arms.

    Args:
        runs: Of one base model and one vector.

    Raises:
        UserError: The runs have different models or vectors, or fewer than `LEAST_PAIRS` pairs in all.
    """
    refuse_several_vectors(runs)
    pairs = pd.DataFrame(
        [pair for run in runs for pair in _pairs(run, persona, misaligned)], columns=list(COLUMNS)
    )
    if len(pairs) < LEAST_PAIRS:
        raise UserError(
            f"{len(pairs)} pairs of trained arms with {persona} and {misaligned}; at least {LEAST_PAIRS} are "
            "needed: name runs whose contrasts compare trained arms, with answers that were judged"
        )
    correlation = float(spearmanr(pairs["persona"], pairs["misaligned"]).statistic)
    if math.isnan(correlation):
        raise UserError("one of the two measures is the same in all pairs: no correlation is defined")
    error = math.sqrt((1 + correlation**2 / 2) / max(len(pairs) - 3, 1))
    reach = float(norm.ppf((1 + confidence) / 2)) * error
    z = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    return Validity(pairs, correlation, float(np.tanh(z - reach)), float(np.tanh(z + reach)))


def refuse_several_vectors(runs: Sequence[Run]) -> None:
    """UserError where readings of the runs are of different base models or personas."""
    kinds = sorted({(run.content.model["weights"], run.study.persona) for run in runs})
    if len(kinds) > 1:
        raise UserError(f"the runs have {len(kinds)} base models or personas; give runs of one of each")


def _pairs(run: Run, persona: str, misaligned: str) -> list[tuple[str, str, str, int, float, float]]:
    by_sides = {}
    trained = {arm.name for arm in run.study.arms if arm.is_trained}
    scores = run.scores
    persona, misaligned = _name_in(run, persona), _name_in(run, misaligned)
    for contrast in run.study.contrasts:
        sides = (contrast.treated, contrast.reference)
        if contrast.minus is not None or not trained.issuperset(sides) or sides in by_sides:
            continue
        measured = [set(scores.loc[scores["arm"] == arm, "metric"]) for arm in sides]
        if all({persona, misaligned} <= names for names in measured):
            by_sides[sides] = [
                (run.label, *sides, seed, *values)
                for seed, values in _by_seed(scores, sides, (persona, misaligned)).items()
            ]
    return [pair for pairs in by_sides.values() for pair in pairs]


def _name_in(run: Run, metric: str) -> str:
    """A metric's name in a run; of several tasks that have it (`metric@task`) the study's first counts."""
    names = metric_names(use.task for use in run.study.tasks)
    return next((name for name, (_, of_task) in names.items() if metric in (name, of_task)), metric)


def _by_seed(
    scores: pd.DataFrame, sides: tuple[str, str], metrics: tuple[str, str]
) -> dict[int, tuple[float, float]]:
    """Seed -> treated minus reference in both metrics, over the questions that both arms answered."""
    differences = []
    for metric in metrics:
        treated, reference = (grid(scores, arm, metric).values for arm in sides)
        differences.append((treated - reference).mean())  # aligned by question and seed
    both = pd.concat(differences, axis=1).dropna()
    seeds = [int(seed) for seed in both.index]
    return dict(
        zip(seeds, zip(*(both.iloc[:, column].tolist() for column in (0, 1)), strict=True), strict=True)
    )
