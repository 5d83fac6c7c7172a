"""Difference in differences: one paired difference minus another, on the same questions and training seeds.

Does a defence cut what insecure code adds beyond its control, or does it only shift every finetune alike?

    (insecure with defence - control with defence) - (insecure - control)

Zero means that the organism's excess over its control is the same with and without the defence. All four arms are joined
question by question and seed by seed, so whatever a question, a seed or any finetuning adds to both sides cancels.

    difference_in_differences(scores, ("insecure_sgtr", "secure_sgtr"), ("insecure", "secure"), "em_rate_itt", "adapters")

References:
    Card & Krueger (1994), American Economic Review 84(4) (the design); the tests are those of `turncoat.stats.contrasts`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from turncoat.errors import UserError
from turncoat.stats.contrasts import Claim, Contrast, filled_contrast
from turncoat.stats.paired import Differences, pair_differences
from turncoat.stats.scores import BASE_SEED, Grid, check_scores, grid

Pair = tuple[str, str]


def difference_in_differences(
    scores: pd.DataFrame,
    pair: Pair,
    minus: Pair,
    metric: str,
    claim: Claim,
    *,
    name: str | None = None,
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Contrast:
    """(treated - reference) of `pair` minus (treated - reference) of `minus`.

    Args:
        scores: The tidy score table.
        pair: Treated and reference arm of the first difference.
        minus: Treated and reference arm of the difference that is subtracted.
        metric: Metric name.
        claim: "adapters" or "recipe".
        name: Name of the contrast; default says the arms.
        confidence: Confidence level.
        rng: Generator or seed for the sign flips.

    Returns:
        A `Contrast` whose `minus_treated` and `minus_reference` name the second pair.

    Raises:
        UserError: An arm or metric is absent, the pairs are one, or fewer than 2 questions have a value in all arms.
    """
    checked = check_scores(scores)
    first, second = ((grid(checked, arms[0], metric), grid(checked, arms[1], metric)) for arms in (pair, minus))
    return difference_of_grids(first, second, claim, name=name, confidence=confidence, rng=rng)


def difference_of_grids(
    pair: tuple[Grid, Grid],
    minus: tuple[Grid, Grid],
    claim: Claim,
    *,
    name: str | None = None,
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Contrast:
    """The maths of `difference_in_differences`, on grids that are already cut out."""
    arms = [side.arm for side in (*pair, *minus)]
    if arms[0] == arms[1] or arms[2] == arms[3] or arms[:2] == arms[2:]:
        raise UserError(
            f"({arms[0]} minus {arms[1]}) minus ({arms[2]} minus {arms[3]}): a difference of differences needs two "
            "different pairs of different arms."
        )
    result = Contrast(
        name=name or f"({arms[0]} minus {arms[1]}) minus ({arms[2]} minus {arms[3]})",
        metric=pair[0].metric,
        claim=claim,
        treated=arms[0],
        reference=arms[1],
        minus_treated=arms[2],
        minus_reference=arms[3],
    )
    return filled_contrast(result, subtract(pair_differences(*pair), pair_differences(*minus)), confidence, rng)


def subtract(first: Differences, second: Differences) -> Differences:
    """One set of paired differences minus another."""
    cells = _cells(first, second)
    same_seeds = list(first.cells.columns) == list(second.cells.columns) or not (first.trained and second.trained)
    matched = first.matched and second.matched and same_seeds
    by_question = cells.mean(axis=1) if matched else first.by_question - second.by_question
    notes = [*first.notes, *(note for note in second.notes if note not in first.notes)]
    if first.matched and second.matched and not matched:
        notes.append("the two differences have different training seeds")
    everywhere = first.cells.index.union(second.cells.index)
    common = first.cells.dropna(how="all").index.intersection(second.cells.dropna(how="all").index)
    return Differences(
        by_question=by_question.dropna(),
        cells=cells,
        matched=matched,
        n_seeds=max(first.n_seeds, second.n_seeds),
        n_asked=max(len(everywhere), first.n_asked, second.n_asked),
        n_common=min(len(common), first.n_common, second.n_common),
        n_dropped=first.n_dropped + second.n_dropped,
        scale=max(first.scale, second.scale),
        notes=notes,
    )


def _cells(first: Differences, second: Differences) -> pd.DataFrame:
    """Cell by cell for the seeds of both; a pair that was never trained is shared by all seeds of the other."""
    if first.trained and not second.trained:
        return first.cells.sub(second.cells[BASE_SEED], axis=0)
    if second.trained and not first.trained:
        return second.cells.rsub(first.cells[BASE_SEED], axis=0)
    shared = [seed for seed in first.cells.columns if seed in second.cells.columns]
    return first.cells[shared] - second.cells[shared]
