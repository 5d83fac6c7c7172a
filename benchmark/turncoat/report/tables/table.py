"""Table of a report, independent of any rendering: heading, columns, cells as text with sort values,
footnotes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from turncoat import formats


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the value that a sortable table sorts by (the text itself if None)."""

    text: str
    value: float | None = None
    strong: bool = False

    @property
    def missing(self) -> bool:
        """True where the cell says n/a."""
        return self.text == formats.NA


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether it holds words (left, may wrap) or numbers (right, may not)."""

    label: str
    kind: Literal["words", "number"] = "number"


@dataclass(frozen=True)
class Table:
    """A heading, one sentence under it, the columns and rows, and footnotes."""

    heading: str
    sentence: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())


def words(*labels: str) -> list[Column]:
    """Columns of words."""
    return [Column(label, "words") for label in labels]


def numbers(*labels: str) -> list[Column]:
    """Columns of numbers."""
    return [Column(label) for label in labels]


def sort_value(value: Any) -> float | None:
    """The value that a sortable table sorts a number by; None where it is missing."""
    return None if formats.is_missing(value) else float(value)


def number_cell(value: Any, decimals: int) -> Cell:
    """A number with fixed decimals, or n/a."""
    return Cell(formats.number(value, decimals), sort_value(value))


def count_cell(value: Any) -> Cell:
    """A whole number, or n/a."""
    return Cell(formats.count(value), sort_value(value))


def p_cell(value: Any, strong: bool = False) -> Cell:
    """A p value, or n/a."""
    return Cell(formats.p_value(value), sort_value(value), strong)


def interval_cell(
    value: Any, low: Any, high: Any, decimals: int, *, signed: bool = False, strong: bool = False
) -> Cell:
    """A value with its interval, "0.24 [0.12, 0.36]", or n/a."""
    text = formats.number(value, decimals, signed=signed)
    return Cell(formats.with_interval(text, formats.interval(low, high, decimals)), sort_value(value), strong)
