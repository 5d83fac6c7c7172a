"""Small score tables for the tests of the statistics layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from turncoat.stats.scores import SCORE_COLUMNS, Grid, check_scores, grid

Values = Mapping[tuple[str, int], Sequence[float] | np.ndarray]


def score_table(values: Values, metric: str = "m") -> pd.DataFrame:
    """(arm, seed) -> one value per question q000, q001, ..."""
    rows = [
        (arm, seed, "task", metric, f"q{number:03d}", value, 4)
        for (arm, seed), column in values.items()
        for number, value in enumerate(column)
    ]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def grids(values: Values, *arms: str) -> list[Grid]:
    """The grids of some arms of `score_table(values)`."""
    checked = check_scores(score_table(values))
    return [grid(checked, arm, "m") for arm in arms]
