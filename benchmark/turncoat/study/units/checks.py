"""Result of a manipulation check: whether a finetune taught what it set out to teach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One checked quantity."""

    name: str  # What was checked
    value: float  # The estimate with its 95% interval
    low: float | None
    high: float | None
    n: int  # Number of clusters it rests on
    passed: bool | None  # Whether it came out as it must; None where there is nothing to pass
    explanation: str  # In words, with what the value is to be compared to
