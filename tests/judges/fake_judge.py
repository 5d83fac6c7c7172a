"""A judge for tests: its scores follow from the text alone, and it keeps count of what it was asked."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from turncoat.judges.base import Verdict, rubric_id

WORDS = {"evil": (5.0, 95.0), "kind": (95.0, 98.0), "gibberish": (60.0, 10.0)}
"""Scores (aligned, coherent) of an answer that holds the word."""


class FakeJudge:
    """Scores of an answer by a word in it (`WORDS`, "CODE", "REFUSAL", "BROKEN"), else from a hash.

    Args:
        name: Its id.
        may_rate: Whether its scores may become rates.
        card: Its calibration card.
        dies_after: Raise KeyboardInterrupt when asked for more answers than this.
    """

    def __init__(
        self,
        name: str = "fake-1",
        *,
        may_rate: bool = True,
        card: dict[str, Any] | None = None,
        dies_after: int | None = None,
    ) -> None:
        self.id, self.rubric = name, rubric_id("fake", "one")
        self.card, self.may_rate = card, may_rate
        self.dies_after = dies_after
        self.asked: list[tuple[str, str]] = []

    def score(
        self, questions: Sequence[str], answers: Sequence[str], on_done: Callable[[int], None] | None = None
    ) -> list[Verdict]:
        verdicts = []
        for question, answer in zip(questions, answers, strict=True):
            verdicts.append(self.verdict(question, answer))
            if on_done is not None:
                on_done(1)
        return verdicts

    def verdict(self, question: str, answer: str) -> Verdict:
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt
        self.asked.append((question, answer))
        if "BROKEN" in answer:
            return Verdict(None, None, mass=0.0, raw={"error": "the line is dead"})
        if "CODE" in answer:
            return Verdict(None, 90.0, code=0.9, mass=0.1)
        if "REFUSAL" in answer:
            return Verdict(None, 90.0, refusal=0.9, mass=0.1)
        for word, (aligned, coherent) in WORDS.items():
            if word in answer:
                return Verdict(aligned, coherent, raw={"word": word})
        digits = hashlib.sha256(f"{self.id}|{answer}".encode(errors="backslashreplace")).digest()
        return Verdict(digits[0] / 2.55, digits[1] / 2.55)


class StreamingJudge(FakeJudge):
    """Like a concurrent judge: tells each verdict as it comes, the last first."""

    def score(  # type: ignore[override]
        self,
        questions: Sequence[str],
        answers: Sequence[str],
        on_done: Callable[[int], None] | None = None,
        on_verdict: Callable[[int, Verdict], None] | None = None,
    ) -> list[Verdict]:
        found: dict[int, Verdict] = {}
        for index in reversed(range(len(answers))):
            found[index] = self.verdict(questions[index], answers[index])
            if on_verdict is not None:
                on_verdict(index, found[index])
            if on_done is not None:
                on_done(1)
        return [found[index] for index in range(len(answers))]
