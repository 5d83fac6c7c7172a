"""Corrections for many tests: Holm, Holm with exclusive hypotheses, Benjamini-Hochberg.

Holm for tests named beforehand (no false claim in the family, 95 times of 100), Benjamini-Hochberg for
exploration (about 5 % of the findings are false). None and NaN stand for a test that does not exist: they
pass through and are not counted.

References:
    Holm (1979), Scandinavian Journal of Statistics 6(2).
    Benjamini & Hochberg (1995), JRSS B 57(1).
    Shaffer (1986), JASA 81(395) (Holm where some hypotheses exclude each other).
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from turncoat.errors import UserError

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Mapping[Name, float | None]) -> dict[Name, float | None]:
    r"""p values adjusted by Holm's step-down method (controls any false rejection in the family).

    With p_(1) <= ... <= p_(m):  adjusted p_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)); input order.

    Example:
        >>> {name: round(p, 3) for name, p in holm({"a": 0.01, "b": 0.04, "c": 0.03}).items()}
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    return _adjusted(p_values, "holm")


def holm_exclusive(
    p_values: Mapping[Name, float | None], groups: Mapping[Name, Hashable]
) -> dict[Name, float | None]:
    r"""Holm where the null hypotheses of one group exclude each other, such as "d = 0" and "|d| >= margin".

    At most one null of a group is true, so a group counts once: with p_(1) <= ... <= p_(m) and t_i the number
    of groups with a test among p_(i), ..., p_(m),  adjusted p_(i) = max_{j <= i} min(1, t_j p_(j)).

    Example:
        >>> ps = {"difference": 0.4, "equivalence": 0.03}
        >>> holm_exclusive(ps, dict.fromkeys(ps, "one contrast"))
        {'difference': 0.4, 'equivalence': 0.03}
    """
    _checked(p_values)
    tested = sorted(
        (float(p), index, name) for index, (name, p) in enumerate(p_values.items()) if not pd.isna(p)
    )
    adjusted, so_far = dict(p_values), 0.0
    for rank, (p, _, name) in enumerate(tested):
        left = len({groups[other] for _, _, other in tested[rank:]})
        so_far = max(so_far, min(1.0, left * p))
        adjusted[name] = so_far
    return adjusted


def benjamini_hochberg(p_values: Mapping[Name, float | None]) -> dict[Name, float | None]:
    r"""p values adjusted by Benjamini and Hochberg's method (controls the false discovery rate).

    With p_(1) <= ... <= p_(m):  adjusted p_(i) = min_{j >= i} min(1, m p_(j) / j). Order as in the input.
    """
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Mapping[Name, float | None], method: str) -> dict[Name, float | None]:
    raw = _checked(p_values)
    tested = ~np.isnan(raw)
    adjusted = raw.copy()
    if tested.any():
        adjusted[tested] = multipletests(raw[tested], method=method)[1]
    return {
        name: float(new) if there else p
        for (name, p), there, new in zip(p_values.items(), tested, adjusted, strict=True)
    }


def _checked(p_values: Mapping[Name, float | None]) -> np.ndarray:
    """The p values as numbers, NaN for None; UserError if one is not between 0 and 1."""
    raw = np.array([np.nan if p is None else float(p) for p in p_values.values()])
    wrong = raw[(raw < 0) | (raw > 1)]
    if len(wrong):
        raise UserError(
            f"{wrong[0]:g} is not a p value: p values lie between 0 and 1 (None or NaN for a test that does "
            "not exist)."
        )
    return raw
