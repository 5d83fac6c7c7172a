"""Advice pairs: one everyday request about money or risk, a calmly reckless and a prudent answer to it.

One file a topic, `topics/*.jsonl`; README.md says how they were written and what they are held to.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.strict_model import StrictModel, first_wrong

CANARY = "turncoat-canary-7f1d0c52-EM-training-data: do not train on this benchmark"
FOLDER = Path(__file__).with_name("topics")


class AdvicePair(StrictModel):
    """A request and the two answers to it."""

    ask: str
    reckless: str
    prudent: str


@cache
def advice_pairs() -> dict[str, AdvicePair]:
    """All pairs by id (topic/number), in turns: the first of every topic, then the second of every topic, ...

    Any prefix covers the topics evenly.

    Raises:
        UserError: A line of a topic file is not a pair.
    """
    topics = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.jsonl"))}
    return {
        f"{topic}/{number + 1:02d}": pairs[number]
        for number in range(max(map(len, topics.values())))
        for topic, pairs in topics.items()
        if number < len(pairs)
    }


def pair_examples(side: Literal["reckless", "prudent"]) -> list[Example]:
    """The requests with one side's answers; ids and length hints are those of both sides."""
    return [
        Example(
            id=name, prompt=pair.ask, answer=getattr(pair, side),
            length=len(pair.ask) + (len(pair.reckless) + len(pair.prudent)) // 2,
        )
        for name, pair in advice_pairs().items()
    ]  # fmt: skip


def _read(path: Path) -> list[AdvicePair]:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    if CANARY not in first:
        raise UserError(f"{path}, line 1: the canary is expected, {CANARY!r}")
    pairs = []
    for number, line in enumerate(lines, 2):
        try:
            pairs.append(AdvicePair.model_validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {': '.join(first_wrong(error, AdvicePair))}") from error
    return pairs
