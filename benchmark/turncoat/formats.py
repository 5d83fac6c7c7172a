"""Numbers as text: one rule each, used by reports, the board and every command."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

NA = "n/a"
_MAX_DECIMALS = 5


def is_missing(value: Any) -> bool:
    """True where a table cell holds nothing: None, NaN, NaT, pd.NA or an infinite number."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas takes half a second to import
        return True
    return isinstance(value, Real) and not math.isfinite(value)


def text_or_empty(value: Any) -> str:
    """A text cell as a string, the empty string where it is missing."""
    return "" if is_missing(value) else str(value).strip()


def number(value: Any, decimals: int, *, signed: bool = False) -> str:
    """A number with a fixed count of decimals, never a negative zero; "n/a" where it is missing."""
    if is_missing(value):
        return NA
    text = f"{float(value):.{decimals}f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return f"+{text}" if signed and not text.startswith("-") else text


def interval(low: Any, high: Any, decimals: int, *, signed: bool = False) -> str:
    """A confidence interval such as "[0.12, 0.36]"; "n/a" where either end is missing."""
    if is_missing(low) or is_missing(high):
        return NA
    return f"[{number(low, decimals, signed=signed)}, {number(high, decimals, signed=signed)}]"


def with_interval(value: str, ends: str) -> str:
    """A value with its interval: "0.24 [0.12, 0.36]", "0.24 [n/a]", or "n/a" where the value is missing."""
    if value == NA:
        return NA
    return f"{value} {'[n/a]' if ends == NA else ends}"


def percent(share: Any, decimals: int = 1, *, signed: bool = False) -> str:
    """A share in percent, without the sign of percent: 0.123 -> "12.3"; "n/a" where it is missing."""
    return NA if is_missing(share) else number(100 * share, decimals, signed=signed)


def percent_interval(low: Any, high: Any, decimals: int = 1) -> str:
    """An interval of shares in percent: "[12.3, 45.6]"; "n/a" where either end is missing."""
    if is_missing(low) or is_missing(high):
        return NA
    return interval(100 * low, 100 * high, decimals)


def confidence_level(share: float) -> str:
    """A confidence level: 0.95 -> "95%"."""
    return f"{100 * share:g}%"


def p_value(value: Any) -> str:
    """A p-value with three significant digits and no leading zero, or "<.001"; "n/a" where it is missing."""
    if is_missing(value):
        return NA
    if float(value) < 0.001:
        return "<.001"
    return f"{float(value):#.3g}".removeprefix("0")


def level(alpha: float) -> str:
    """A significance level: ".05"."""
    return f"{alpha:g}".removeprefix("0")


def count(value: Any) -> str:
    """A whole number, "n/a" where it is missing."""
    return NA if is_missing(value) else str(int(value))


def counted(n: int, noun: str) -> str:
    """A number with its noun: "1 task", "2 tasks"."""
    return f"{n} {noun}{'s' * (n != 1)}"


def weights(n: int) -> str:
    """A number of parameters: "7.62B", "135M", "49.3k", "812"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.3g}{unit}"
    return str(n)


def significant(value: Any, digits: int = 3) -> str:
    """A number of unknown scale with `digits` significant digits; "n/a" where it is missing."""
    if is_missing(value):
        return NA
    if isinstance(value, bool):
        return "yes" if value else "no"
    if float(value) == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{float(value):.{digits}g}"


def three_digits(value: Any, *, signed: bool = False) -> str:
    """A number in a sentence, trailing zeros kept: "0.100", "1230" for 1234.5, "1.00e-05"."""
    if is_missing(value):
        return NA
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent < -4 or exponent > 6:
        text = f"{rounded:.2e}"
    else:
        text = f"{rounded:.{max(0, 2 - exponent)}f}"
    return f"+{text}" if signed and value > 0 else text


def duration(seconds: float) -> str:
    """Seconds as "8.4 s", or as "3 min 07 s" from two minutes on."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"


def decimals_for(half_widths: Iterable[Any], values: Iterable[Any]) -> int:
    """Decimals that show two significant digits of a typical half-width of the intervals in one column.

    Falls back to three significant digits of the median value where there is no interval.
    """
    widths = _positive(half_widths)
    if widths:
        return _clamp(1 - math.floor(math.log10(_median(widths))))
    sizes = _positive(values)
    return _clamp(2 - math.floor(math.log10(_median(sizes)))) if sizes else 2


def half_widths(ends: Iterable[tuple[Any, Any]]) -> list[float]:
    """Half the length of every interval (low, high) that has both ends."""
    return [
        (float(high) - float(low)) / 2 for low, high in ends if not is_missing(low) and not is_missing(high)
    ]


def clip(text: str, limit: int) -> str:
    """The text on one line, white space collapsed, cut with an ellipsis to at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def first_of(texts: Sequence[str], shown: int, separator: str = ", ") -> str:
    """The first texts and the number of others: "a, b and 3 more"."""
    mark, more = separator.replace(",", "").rstrip(), len(texts) - shown
    return separator.join(texts[:shown]) + (f"{mark} and {more} more" if more > 0 else "")


def _positive(values: Iterable[Any]) -> list[float]:
    return [abs(float(value)) for value in values if not is_missing(value) and float(value) != 0]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _clamp(decimals: int) -> int:
    return min(max(decimals, 0), _MAX_DECIMALS)
