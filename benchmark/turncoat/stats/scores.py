"""Score table (one row per arm, seed, metric and question): checks, and question x seed grids."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from turncoat.errors import UserError

BASE_SEED = -1
"""The training seed that stands for "not trained": the base model."""

SCORE_COLUMNS = ("arm", "seed", "task", "metric", "question", "value", "n_samples")
_KEY = ["arm", "metric", "seed", "question"]

MINIMUM_SEEDS = 3
"""Fewer training seeds than this allow no claim about a recipe."""


class Grid(NamedTuple):
    """One metric of one arm."""

    arm: str  # Their names
    metric: str
    # One row per question, one column per seed, both ascending; NaN where there is no value
    values: pd.DataFrame
    dropped: dict[int, int]  # Rows of the score table whose value was NaN, counted per seed

    @property
    def seeds(self) -> list[int]:
        """Training seeds in ascending order, without the base model's."""
        return [int(seed) for seed in self.values.columns if seed != BASE_SEED]

    @property
    def n_dropped(self) -> int:
        """Rows whose value was NaN, over all seeds."""
        return sum(self.dropped.values())

    @property
    def is_base(self) -> bool:
        """True if the arm was never trained."""
        return not self.seeds


def check_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The score table, validated and sorted, so that no later number depends on the order of the rows.

    Args:
        scores: One row per (arm, seed, metric, question) with the columns of `SCORE_COLUMNS`; `value` may be
            NaN.

    Raises:
        UserError: A column is missing, a key occurs twice, a value is infinite or text, a seed is not a whole
            number.
    """
    missing = [column for column in SCORE_COLUMNS if column not in scores.columns]
    if missing:
        raise UserError(
            f"scores lack the column(s) {', '.join(missing)}; needed are {', '.join(SCORE_COLUMNS)}."
        )
    table = scores.loc[:, list(SCORE_COLUMNS)].copy()
    for column in ("arm", "task", "metric", "question"):
        if table[column].isna().any():
            raise UserError(f"scores column '{column}' has an empty cell; every row must name its {column}.")
        table[column] = table[column].astype(str)
    try:
        table["value"] = pd.to_numeric(table["value"]).astype(float)
        seeds = pd.to_numeric(table["seed"]).astype(float)
    except (TypeError, ValueError) as error:
        raise UserError(
            "scores columns 'value' and 'seed' must hold numbers (NaN for a value that is undefined): "
            f"{error}"
        ) from None
    if not bool(np.all(seeds == np.floor(seeds))):
        raise UserError(
            f"scores column 'seed' must hold whole numbers (the base model has seed {BASE_SEED})."
        )
    table["seed"] = seeds.astype(int)
    infinite = table[np.isinf(table["value"])]
    if len(infinite):
        row = infinite.iloc[0]
        raise UserError(
            f"scores hold an infinite value: arm '{row['arm']}', seed {row['seed']}, metric "
            f"'{row['metric']}', question '{row['question']}'. Fix the metric, or write NaN to have the row "
            "dropped and counted."
        )
    twice = table[table.duplicated(_KEY, keep=False)]
    if len(twice):
        row = twice.iloc[0]
        raise UserError(
            f"scores hold more than one row for arm '{row['arm']}', seed {row['seed']}, metric "
            f"'{row['metric']}', question '{row['question']}' (task(s) "
            f"{', '.join(sorted(set(twice['task'])))}). Average a question's samples into one row; if two "
            "tasks share the metric and its question names, put the task into the metric's or the question's "
            "name."
        )
    return table.sort_values(_KEY, kind="stable", ignore_index=True)


def grid(checked: pd.DataFrame, arm: str, metric: str) -> Grid:
    """One arm and metric of a table that `check_scores` returned; UserError if there are no such rows."""
    of_arm = checked[checked["arm"] == arm]
    if of_arm.empty:
        raise UserError(
            f"there is no arm '{arm}' in the scores; arms present: "
            f"{', '.join(sorted(checked['arm'].unique())) or 'none'}."
        )
    rows = of_arm[of_arm["metric"] == metric]
    if rows.empty:
        raise UserError(
            f"arm '{arm}' has no metric '{metric}'; it has: {', '.join(sorted(of_arm['metric'].unique()))}."
        )
    values = rows.pivot(index="question", columns="seed", values="value")
    nans = rows["value"].isna().groupby(rows["seed"]).sum()
    return Grid(arm, metric, values, {int(seed): int(nans[seed]) for seed in values.columns})
