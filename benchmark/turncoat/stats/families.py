"""Families of a study's tests, and the correction of each.

    primary      Holm; a contrast that is alone in the family is tested at the full level
    secondary    Holm
    exploratory  Benjamini-Hochberg

A family is one role under one kind of claim. It holds the tests that exist: a contrast without a test is
listed and not counted. A contrast with a margin brings two tests whose nulls exclude each other, so under
Holm it counts once (`corrections.holm_exclusive`); Benjamini-Hochberg counts both.

Beside Holm's p stand the simultaneous intervals of the family (`simultaneous`).

A p below the level is marked as significant if `Contrast.p_mark`, corrected in the same way, is below it too;
else `withheld` says why not.

References:
    Rubin (2021), Synthese 199 (correct within the family that a claim rests on).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from turncoat.stats.contrasts import Claim, Contrast
from turncoat.stats.corrections import benjamini_hochberg, holm_exclusive
from turncoat.stats.margins import Better, MarginTest, margin_p
from turncoat.stats.t_errors import widest

Role = Literal["primary", "secondary", "exploratory"]
ROLES: tuple[Role, ...] = ("primary", "secondary", "exploratory")

HOLM = "Holm"
BENJAMINI_HOCHBERG = "Benjamini-Hochberg"
ALONE = "none: tested alone"


@dataclass(frozen=True)
class TestedContrast:
    """A contrast that was tested, with its role and margin in the study."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *("simultaneous_low", "simultaneous_high", "p_adjusted", "family", "role", "correction", "withheld"),
        *("margin", "margin_test", "better", "p_margin", "p_margin_adjusted"),
    )
    __test__: ClassVar[bool] = False  # not a pytest class

    contrast: Contrast
    role: Role
    margin: float | None = None
    margin_test: MarginTest = "equivalence"
    better: Better | None = None

    @property
    def p_margin(self) -> float | None:
        """p of the margin test; None where there is no margin or no test."""
        if self.margin is None or self.contrast.difference is None:
            return None
        return margin_p(
            self.contrast.difference, self.contrast.errors, self.margin, self.margin_test, self.better
        )


def withheld(p_adjusted: float | None, mark_adjusted: float | None, barred: str, alpha: float) -> str:
    """Reason why a p below the level is not marked as significant; empty where it is, or is not below it.

    Args:
        p_adjusted, mark_adjusted: `Contrast.p_value` and `Contrast.p_mark` after the correction.
        barred: `Contrast.barred`.
    """
    if p_adjusted is None or mark_adjusted is None or p_adjusted >= alpha:
        return ""
    if barred or mark_adjusted < alpha:
        return barred
    return f"skewed differences: the corrected p that allows for them is {mark_adjusted:.2g}"


def simultaneous(
    contrast: Contrast, tests: int, confidence: float
) -> tuple[float, float] | tuple[None, None]:
    """Ends of the interval that covers all differences of a family at once (Bonferroni); None without a t."""
    if contrast.difference is None or not contrast.errors:
        return None, None
    return widest(contrast.difference, contrast.errors, 1 - (1 - confidence) / tests)[:2]


def corrected_rows(tested: Sequence[TestedContrast], confidence: float) -> list[dict[str, Any]]:
    """Rows of the contrasts in their order: `contrasts.ROW_COLUMNS` and `TestedContrast.COLUMNS`."""
    alpha = round(1 - confidence, 12)
    families: dict[tuple[Role, Claim], list[int]] = {}
    for index, one in enumerate(tested):
        families.setdefault((one.role, one.contrast.claim), []).append(index)
    rows: dict[int, dict[str, Any]] = {}
    for (role, claim), members in families.items():
        p_values = {(index, "difference"): tested[index].contrast.p_value for index in members}
        p_values |= {
            (index, "margin"): tested[index].p_margin for index in members if tested[index].margin is not None
        }
        size = len({index for (index, _), p in p_values.items() if p is not None})
        marks = p_values | {(index, "difference"): tested[index].contrast.p_mark for index in members}
        correction = ALONE if role == "primary" and size == 1 else HOLM
        if role == "exploratory":
            correction = BENJAMINI_HOCHBERG
            adjusted, marked = benjamini_hochberg(p_values), benjamini_hochberg(marks)
        else:
            groups = {key: key[0] for key in p_values}
            adjusted, marked = holm_exclusive(p_values, groups), holm_exclusive(marks, groups)
        for index in members:
            one = tested[index]
            holm = correction != BENJAMINI_HOCHBERG
            low, high = simultaneous(one.contrast, size, confidence) if holm else (None, None)
            rows[index] = {
                **one.contrast.row(), "simultaneous_low": low, "simultaneous_high": high,
                "p_adjusted": adjusted[index, "difference"],
                "family": f"{role}/{claim} ({size} test{'' if size == 1 else 's'})", "role": role,
                "correction": correction,
                "withheld": withheld(
                    adjusted[index, "difference"], marked[index, "difference"], one.contrast.barred, alpha
                ),
                "margin": one.margin,
                "margin_test": one.margin_test if one.margin is not None else "",
                "better": one.better if one.margin is not None and one.better else "",
                "p_margin": one.p_margin, "p_margin_adjusted": adjusted.get((index, "margin")),
            }  # fmt: skip
    return [rows[index] for index in sorted(rows)]
