"""Infer token counts from per-token metrics, for entries that do not store them (format 1).

possible_counts([-86.36, -95.56], {"margin_per_token": 0.589, ...}, metrics, [103, 112])     # {(20, 22)}

Every metric per token is linear in 1 / tokens, whatever the task makes of it: three calls of the task's own
function give the coefficients, and whole numbers that give the stored value are counted as possible.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from turncoat.evaluation.samples_file import is_number

TokenCounts = tuple[int, ...]
Metrics = Callable[[Sequence[float], TokenCounts], Mapping[str, Any]]

_WHOLE = 1e-6  # relative difference of two numbers that are called equal
_NOTHING = 1e-9  # a coefficient of rounding errors


def possible_counts(
    values: Sequence[float], stored: Mapping[str, Any], metrics: Metrics, bounds: Sequence[tuple[int, int]]
) -> set[TokenCounts]:
    """All token counts that explain the stored metrics of one row; a continuation that no metric counts has
    1.

    Args:
        values: Log-likelihood of each continuation, nats.
        metrics: The task's own: (values, tokens) -> metrics.
    """
    parts = range(len(values))
    once = metrics(values, tuple(1 for _ in parts))
    halves = [metrics(values, tuple(2 if other == part else 1 for other in parts)) for part in parts]
    counts = [np.arange(fewest, most + 1) for fewest, most in bounds]
    pairs: list[tuple[np.ndarray, np.ndarray, float]] = []  # metrics about the same two continuations
    counted: set[int] = set()
    for name, whole in once.items():
        value = stored.get(name)
        if not is_number(whole) or not is_number(value):
            continue
        slopes = np.array([2 * (whole - half[name]) for half in halves])
        rest = float(value) - (whole - slopes.sum())  # type: ignore[arg-type]
        used = np.flatnonzero(np.abs(slopes) > _NOTHING)
        if len(used) == 1:
            part = int(used[0])
            counts[part] = counts[part][_equal(slopes[part] / counts[part], rest, abs(rest))]
        elif len(used) != 2 or (pairs and set(pairs[0][0]) != set(used)):
            continue
        else:
            pairs.append((used, slopes, rest))
        counted |= set(used.tolist())
    grid = np.meshgrid(*(counts[part] if part in counted else [1] for part in parts), indexing="ij")
    options = np.stack(grid, axis=-1).reshape(-1, len(values))
    for (one, other), slopes, rest in pairs:
        second = slopes[other] / options[:, other]
        options = options[_equal(second, rest - slopes[one] / options[:, one], np.abs(second))]
    return {tuple(option) for option in options.tolist()}


def fewest_tokens(text: str) -> int:
    """Fewest tokens that any tokenizer plausibly makes of a text: half its words, and 16 bytes a token."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return max(-(-len(text.split()) // 2), -(-len(" ".join(text.split())) // 16), min(size, 1))


def per_token_pair(values: Sequence[float], stored: Any) -> set[tuple[int, int]]:
    """(index of a log-likelihood, its divisor) pairs that explain a stored loss; at most one for each."""
    if not is_number(stored) or stored <= 0:
        return set()
    divisors = [(number, round(-value / stored), -value / stored) for number, value in enumerate(values)]
    return {
        (number, near) for number, near, exact in divisors if near >= 1 and abs(exact - near) <= _WHOLE * near
    }


def _equal(one: Any, other: Any, scale: Any) -> np.ndarray:
    return np.asarray(np.abs(one - other) <= _WHOLE * scale)
