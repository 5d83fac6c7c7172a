"""Paired differences of two arms by question and seed, and differences of such differences."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from turncoat.stats.estimates import rounding_scale
from turncoat.stats.scores import BASE_SEED, Grid


class Differences(NamedTuple):
    """Treated minus reference on one metric."""

    # One difference per question, seeds averaged; only questions with a value in both arms
    by_question: pd.Series
    # Questions x training seeds that both arms have; the one column `BASE_SEED` where neither arm is trained
    cells: pd.DataFrame
    matched: bool  # True if `by_question` is the mean over `cells`; False where the arms have different seeds
    n_seeds: int  # Seeds with a value averaged in `by_question`, 0 where neither arm is trained
    n_asked: int  # Questions of either arm
    n_dropped: int  # NaN values of both arms
    scale: float  # `estimates.rounding_scale` of the arms' values
    notes: list[str]  # Limits of the pairing, in words

    @property
    def trained(self) -> bool:
        """True if an arm has training seeds."""
        return list(self.cells.columns) != [BASE_SEED]


def pair_differences(treated: Grid, reference: Grid) -> Differences:
    """Treated minus reference of two grids.

    Where both arms have the same seeds, a (question, seed) cell without a value in one arm is left out of
    both, so that a lost answer never unbalances the seeds. A base model (seed -1) is shared by all seeds of
    the other arm.
    """
    left, right = treated.values, reference.values
    asked = left.index.union(right.index)
    cells = _cells(treated, reference)
    matched = list(left.columns) == list(right.columns) or treated.is_base or reference.is_base
    averaged = cells if matched else treated.values
    values = np.concatenate([left.to_numpy().ravel(), right.to_numpy().ravel()])
    return Differences(
        by_question=_by_question(left, right),
        cells=cells,
        matched=matched,
        n_seeds=int(averaged.drop(columns=BASE_SEED, errors="ignore").notna().any().sum()),
        n_asked=len(asked),
        n_dropped=treated.n_dropped + reference.n_dropped,
        scale=rounding_scale(values),
        notes=_seed_notes(treated, reference),
    )


def side_means(treated: Grid, reference: Grid) -> tuple[float, float]:
    """Both arms' means over the shared questions, seeds averaged; their difference is that of `by_question`.

    NaN without a shared question.
    """
    left, right = treated.values.align(reference.values, join="inner", axis=0)
    if list(left.columns) == list(right.columns):
        there = left.notna() & right.notna()
        left, right = left.where(there), right.where(there)
    sides = pd.DataFrame({"treated": left.mean(axis=1), "reference": right.mean(axis=1)}).dropna()
    return float(sides["treated"].mean()), float(sides["reference"].mean())


def subtract(first: Differences, second: Differences) -> Differences:
    """One set of paired differences minus another."""
    cells = _cells_of_both(first, second)
    same_seeds = list(first.cells.columns) == list(second.cells.columns) or not (
        first.trained and second.trained
    )
    matched = first.matched and second.matched and same_seeds
    by_question = cells.mean(axis=1) if matched else first.by_question - second.by_question
    notes = [*first.notes, *(note for note in second.notes if note not in first.notes)]
    if first.matched and second.matched and not matched:
        notes.append("the two differences have different training seeds")
    everywhere = first.cells.index.union(second.cells.index)
    return Differences(
        by_question=by_question.dropna(), cells=cells, matched=matched,
        n_seeds=max(first.n_seeds, second.n_seeds),
        n_asked=max(len(everywhere), first.n_asked, second.n_asked),
        n_dropped=first.n_dropped + second.n_dropped, scale=max(first.scale, second.scale), notes=notes,
    )  # fmt: skip


def _cells(treated: Grid, reference: Grid) -> pd.DataFrame:
    left, right = treated.values, reference.values
    if treated.is_base and reference.is_base:
        return left[[BASE_SEED]] - right[[BASE_SEED]]
    if reference.is_base:
        return left[treated.seeds].sub(right[BASE_SEED], axis=0)
    if treated.is_base:
        return right[reference.seeds].rsub(left[BASE_SEED], axis=0)
    shared = [seed for seed in treated.seeds if seed in reference.seeds]
    return left[shared] - right[shared]


def _by_question(left: pd.DataFrame, right: pd.DataFrame) -> pd.Series:
    if list(left.columns) == list(right.columns):
        return (left - right).mean(axis=1).dropna()
    return (left.mean(axis=1) - right.mean(axis=1)).dropna()


def _seed_notes(treated: Grid, reference: Grid) -> list[str]:
    if treated.seeds == reference.seeds or not treated.seeds or not reference.seeds:
        return []
    return [
        f"the arms have different training seeds ({treated.arm}: {treated.seeds}, {reference.arm}: "
        f"{reference.seeds})"
    ]


def _cells_of_both(first: Differences, second: Differences) -> pd.DataFrame:
    """Cells for the seeds of both; a pair that was never trained is shared by all seeds of the other."""
    if first.trained and not second.trained:
        return first.cells.sub(second.cells[BASE_SEED], axis=0)
    if second.trained and not first.trained:
        return second.cells.rsub(first.cells[BASE_SEED], axis=0)
    shared = [seed for seed in first.cells.columns if seed in second.cells.columns]
    return first.cells[shared] - second.cells[shared]
