"""Answers and log-likelihoods that carry the evidence of the pass that made them; they are ordinary str and
float.

lm-eval hands a task's `process_results` the very objects that the model returned. With any other backend the
evidence is simply absent, and a task's metrics that need it are not reported.
"""

from __future__ import annotations

from typing import Any


class Answer(str):
    """A generated answer."""

    # Facts beyond the text: the sample's seed and index, how it ended, its number of tokens, its
    # log-probability under the base model, projections on persona vectors
    evidence: dict[str, Any]

    def __new__(cls, text: str, evidence: dict[str, Any] | None = None) -> Answer:
        """A string like any other, with `evidence` beside it."""
        answer = super().__new__(cls, text)
        answer.evidence = evidence or {}
        return answer

    def __getnewargs__(self) -> tuple[str, dict[str, Any]]:  # type: ignore[override]
        return (str(self), self.evidence)


class LogLikelihood(float):
    """A log-likelihood in nats with the number of tokens it was summed over."""

    tokens: int  # Number of continuation tokens

    def __new__(cls, value: float, tokens: int = 0) -> LogLikelihood:
        """A float like any other, with `tokens` beside it."""
        number = super().__new__(cls, value)
        number.tokens = tokens
        return number

    def __getnewargs__(self) -> tuple[float, int]:  # type: ignore[override]
        return (float(self), self.tokens)


def evidence_of(answer: object) -> dict[str, Any]:
    """The evidence an answer carries; empty with another backend."""
    return getattr(answer, "evidence", {})
