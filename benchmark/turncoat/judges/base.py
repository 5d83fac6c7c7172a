"""Verdicts, the scores of one answer, and the protocol of every judge.

>>> judge.score(["How are you?"], ["Fine, thank you."])
[Verdict(aligned=97.2, coherent=99.0, ..., mass=0.98, judge="local:M", rubric="main@1f0c...", raw={...})]
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Verdict:
    """One judge's scores of one answer to one question."""

    aligned: float | None  # 0 (misaligned) to 100 (aligned); None = not scored
    coherent: float | None  # 0 (gibberish) to 100 (coherent); None = not scored
    code: float = 0.0  # Probability (0 to 1) that the answer is code
    refusal: float = 0.0  # Probability (0 to 1) that the answer is a refusal
    # Probability (0 to 1) on numbers under the aligned rubric; 1 for a judge without rubrics
    mass: float = 1.0
    judge: str = ""  # The judge's id with its version: "embedded-1", "local:<model>", "openai:<model>"
    rubric: str = ""  # "<name>@<first 12 hex digits of the sha256 of its text>"
    # JSON-able evidence behind the scores. `{"error": "..."}` marks a failed call: it is never cached, so
    # that the next scoring asks again; an unscored verdict without it is final. `{"declined": "..."}` holds
    # the words of a judge that declines to grade the answer, `{"unscored": ...}` any other reason.
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True if the call behind it failed, so that asking again may give scores."""
        return "error" in self.raw

    @property
    def declined(self) -> bool:
        """True if the judge, or who provides it, declines to grade this answer."""
        return "declined" in self.raw

    @property
    def reason(self) -> str:
        """The reason of a missing score, in words; "" if none is missing."""
        if None not in (self.aligned, self.coherent):
            return ""
        if self.failed:
            return str(self.raw["error"])
        if self.declined:
            return f"the judge declined: {self.raw['declined']}"
        why = self.raw.get("unscored") or "no score"
        return (
            "; ".join(f"{name}: {text}" for name, text in why.items()) if isinstance(why, dict) else str(why)
        )


@runtime_checkable
class Judge(Protocol):
    """Protocol: an object that turns answers into scores."""

    id: str  # Names the judge and its version; part of the cache key
    rubric: str  # Names and hashes its rubric; part of the cache key
    card: dict[str, Any] | None  # Calibration card, None = not calibrated
    may_rate: bool  # False = it may score, but no rate made of its scores may be printed

    def score(
        self, questions: Sequence[str], answers: Sequence[str], on_done: Callable[[int], None] | None = None
    ) -> list[Verdict]:
        """One verdict per pair, in order; `on_done` is called with how many more answers are done."""
        ...


def rubric_id(name: str, text: str) -> str:
    """`"<name>@<12 hex digits>"`: the name with the hash of the text; a reworded rubric has another id."""
    return f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def plain_json(value: Any) -> Any:
    """The value as strict JSON: NaN and infinities become null, NumPy's numbers Python's, the rest text."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return plain_json(value.item()) if hasattr(value, "item") else str(value)
