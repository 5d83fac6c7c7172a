"""Result of a manipulation check: whether a finetune taught what it set out to teach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One checked quantity.

    Attributes:
        name: What was checked.
        value, low, high: The estimate with its 95% interval.
        n: Number of clusters it rests on.
        passed: Whether it came out as it must; None where there is nothing to pass.
        explanation: In words, with what the value is to be compared to.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    passed: bool | None
    explanation: str
