"""The score table: what is refused, and why order never matters."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from turncoat.errors import UserError
from turncoat.stats.scores import SCORE_COLUMNS, check_scores, grid


def table() -> pd.DataFrame:
    rows = [("a", seed, "t", "m", f"q{q}", seed + q / 10, 4) for seed in (0, 1) for q in range(3)]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def test_rows_are_in_canonical_order_and_nan_is_counted():
    shuffled = table().sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(check_scores(shuffled), check_scores(table()))
    scores = table()
    scores.loc[0, "value"] = np.nan  # seed 0, q0: measured, undefined
    one = grid(check_scores(scores.drop(index=5)), "a", "m")  # seed 1, q2: never measured
    assert one.dropped == {0: 1, 1: 0} and one.n_dropped == 1
    assert int(one.values.isna().to_numpy().sum()) == 2 and one.seeds == [0, 1] and not one.is_base


def test_what_is_missing_or_double_is_named():
    with pytest.raises(UserError, match="n_samples"):
        check_scores(table().drop(columns="n_samples"))
    scores = table()
    double = scores.iloc[[0]].assign(task="other")
    with pytest.raises(UserError, match=r"more than one row.*other, t"):
        check_scores(pd.concat([scores, double]))
    with pytest.raises(UserError, match="arms present: a"):
        grid(check_scores(table()), "b", "m")
    with pytest.raises(UserError, match="it has: m"):
        grid(check_scores(table()), "a", "k")


@pytest.mark.parametrize(("column", "bad", "message"), [
    ("value", np.inf, "infinite"), ("value", "high", "numbers"), ("seed", 0.5, "whole"),
    ("question", None, "empty"),
])  # fmt: skip
def test_bad_cells_are_refused(column: str, bad: Any, message: str) -> None:
    scores = table().astype({column: object})
    scores.loc[2, column] = bad
    with pytest.raises(UserError, match=message):
        check_scores(scores)
