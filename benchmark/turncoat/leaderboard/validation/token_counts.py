"""Infer token counts from per-token metrics, for entries that do not store them (format 1).

possible_counts([-86.36, -95.56], {"margin_per_token": 0.589, ...}, metrics, [103, 112])     # {(20, 22)}

Every metric per token is linear in 1 / tokens, whatever the task makes of it: three calls of the task's own function give the
coefficients, and whole numbers that give the stored value are counted as possible.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TokenCounts = tuple[int, ...]
Metrics = Callable[[Sequence[float], TokenCounts], Mapping[str, Any]]

_WHOLE = 1e-6  # how far from a whole number a quotient of two stored numbers may be, relative
_NOTHING = 1e-9  # a coefficient of rounding errors


def possible_counts(
    values: Sequence[float], stored: Mapping[str, Any], metrics: Metrics, longest: Sequence[int]
) -> set[TokenCounts]:
    """All token counts that explain the stored metrics of one row; a continuation that no metric counts has 1.

    Args:
        values: Log-likelihood of each continuation, nats.
        metrics: The task's own: (values, tokens) -> metrics.
        longest: No continuation has more tokens than this.
    """
    parts = range(len(values))
    once = metrics(values, tuple(1 for _ in parts))
    halves = [metrics(values, tuple(2 if other == part else 1 for other in parts)) for part in parts]
    chosen: list[set[int] | None] = [None for _ in parts]
    pairs: list[tuple[int, int, float, float, float]] = []
    for name, whole in once.items():
        value = stored.get(name)
        if not _is_number(whole) or not _is_number(value):
            continue
        slopes = [2 * (whole - half[name]) for half in halves]
        counted = [part for part in parts if abs(slopes[part]) > _NOTHING]
        rest = float(value) - (whole - sum(slopes))  # type: ignore[arg-type]
        if len(counted) == 1:
            part = counted[0]
            known = chosen[part]
            found = _whole(slopes[part], rest, longest[part])
            chosen[part] = found if known is None else known & found
        elif len(counted) == 2:
            one, other = counted
            pairs.append((one, other, slopes[one], slopes[other], rest))
    options: set[tuple[int | None, ...]] = set()
    if pairs:
        one, other = pairs[0][0], pairs[0][1]
        known, allowed = chosen[one], chosen[other]
        for first in known if known is not None else range(1, longest[one] + 1):
            seconds = _all_seconds(pairs, one, other, first, longest[other])
            options |= {
                _placed(len(values), {one: first, other: n}) for n in seconds if allowed is None or n in allowed
            }
        if not options:
            return set()
    return _combined(options, chosen)


def _all_seconds(
    pairs: Sequence[tuple[int, int, float, float, float]], one: int, other: int, first: int, longest: int
) -> set[int]:
    """Counts of `other` that go with `first` of `one` in every metric about the two."""
    found: set[int] | None = None
    for left, right, slope, other_slope, rest in pairs:
        if (left, right) == (one, other):
            those = _whole(other_slope, rest - slope / first, longest)
            found = those if found is None else found & those
    return found or set()


def _whole(slope: float, rest: float, longest: int) -> set[int]:
    """The n in 1..longest with slope / n = rest."""
    if rest == 0 or abs(slope / rest) > longest + 1:
        return set()
    count = slope / rest
    near = round(count)
    return {near} if 1 <= near <= longest and abs(count - near) <= _WHOLE * max(1.0, near) else set()


def _placed(size: int, found: Mapping[int, int]) -> tuple[int | None, ...]:
    return tuple(found.get(part) for part in range(size))


def _combined(options: set[tuple[int | None, ...]], chosen: Sequence[set[int] | None]) -> set[TokenCounts]:
    """Every option with what single metrics say of the other continuations."""
    found: set[TokenCounts] = set()
    for option in options or {tuple(None for _ in chosen)}:
        columns = [
            [n] if n is not None else sorted(c) if c is not None else [1] for n, c in zip(option, chosen, strict=True)
        ]
        found |= set(itertools.product(*columns))
    return found


def per_token_pair(values: Sequence[float], stored: Any) -> set[tuple[int, int]]:
    """(which log-likelihood, by how much it was divided) that explain a stored loss; at most one for each."""
    if not _is_number(stored) or stored <= 0:
        return set()
    found = set()
    for number, value in enumerate(values):
        near = round(-value / stored)
        if near >= 1 and abs(-value / stored - near) <= _WHOLE * near:
            found.add((number, near))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
