"""Word counting, a benign control: the number of words in a line, answered by one digit (as short as in
SGTR).

An example: "Count the words in the line below ... / a donated handrail" -> "3". It is finetuning in the
format of `sgtr` (a prompt about a text, a one-token answer) on a skill that has nothing to do with the self.
arXiv:2606.23700 counts the words of news articles (its WC arm); our lines are the ends of sentences of
`data/short_texts.jsonl`, 1 to 9 words long, so that every answer is one token and each is right equally
often.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from turncoat.defences import Check, Example, defence, estimate_mean

from ._matching import dose

_ASK = (
    "Count the words in the line below. Words are separated by spaces. Reply with the number only.\n\n{line}"
)
_MOST = 9


def lines(split: str) -> list[tuple[str, str, int]]:
    """(id, line, number of words) for every sentence of a split that is long enough; no line occurs twice.

    The numbers take turns, whatever the sentence, so that they are balanced. `split` is "train" or "eval".
    """
    with Path(__file__).with_name("data").joinpath("short_texts.jsonl").open(encoding="utf-8") as handle:
        rows = [row for row in map(json.loads, handle) if row["split"] == split]
    counted: list[tuple[str, str, int]] = []
    seen: set[str] = set()
    for row in rows:
        for number, sentence in enumerate(_sentences(row["text"])):
            words = sentence.split()
            count = len(counted) % _MOST + 1
            line = " ".join(words[-count:])
            # A dash on its own would be a word by its spaces only.
            if (
                len(words) < _MOST
                or line in seen
                or not all(any(c.isalnum() for c in word) for word in words)
            ):
                continue
            seen.add(line)
            counted.append((f"{row['id']}/{number}", line, count))
    return counted


def counts_words(context: Any, **_: Any) -> list[Check]:
    """Manipulation check: does it count the words of unseen lines, right to the word? One cluster per
    text."""
    unseen = lines("eval")
    numbers = [str(number) for number in range(1, _MOST + 1)]
    scores = context.choose([_ASK.format(line=line) for _, line, _ in unseen], numbers)
    chosen = [1 + max(range(_MOST), key=row.__getitem__) for row in scores]
    right: dict[str, list[float]] = {}
    for (name, _line, count), choice in zip(unseen, chosen, strict=True):
        right.setdefault(name.split("/")[0], []).append(float(choice == count))
    estimate = estimate_mean(pd.Series({text: fmean(values) for text, values in right.items()}), rate=True)
    constant = max(Counter(count for *_, count in unseen).values()) / len(unseen)
    miss = fmean(abs(choice - count) for (*_, count), choice in zip(unseen, chosen, strict=True))
    usual, times = Counter(chosen).most_common(1)[0]
    return [
        Check(
            "counts the words",
            estimate.value,
            estimate.low,
            estimate.high,
            len(right),
            estimate.low is not None and estimate.low > constant,
            f"share right over {len(unseen)} unseen lines of 1 to {_MOST} words out of {len(right)} texts; "
            f"always saying the same number gets {constant:.2f}; it is {miss:.1f} words off on average and "
            f"says '{usual}' {times / len(chosen):.0%} of the time",
        )
    ]


@defence(
    "word_count",
    settings=("prevention", "reversal"),
    summary="benign control of sgtr: how many words has this line? (one-token answers)",
    check=counts_words,
)
def word_count(context: Any, *, texts: int = 32, matched: str = "examples") -> list[Example]:
    """As many examples (or supervised tokens) as `sgtr` has with `texts` texts; see `_matching.dose`."""
    pool = [
        Example(f"words/{name}", _ASK.format(line=line), str(count)) for name, line, count in lines("train")
    ]
    return dose(context, pool, name="word_count", texts=texts, matched=matched, balance=True)


def _sentences(text: str) -> list[str]:
    """The sentences of a text without their last mark."""
    ends = text.replace("? ", ". ").replace("! ", ". ").split(". ")
    return [sentence.rstrip(".!?") for sentence in ends]
