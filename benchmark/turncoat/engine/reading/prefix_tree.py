"""Passes over many texts in which a common beginning is computed once: the texts as a forest of tokens.

A pass is a single row. A token of the row sees its own ancestors only (`tree_attention.py`), and its position
counts along its branch, so the model computes for each text what it would compute were the text alone. Texts
of any lengths stand side by side without padding. Models that cannot do this read rows of whole texts, of
which equal ones are read once.

A text is a list of keys: twice the token, plus 1 where an answer's own generation would compute it (the last
prompt token and the answer's tokens). Interventions may act on these positions alone, so that a beginning
counts as common only where the keys are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

Text = list[int]
"""Keys of a text."""

MERGED_PAIRS = 2048
"""Pairs of query and key that cost as much as another call of attention (SmolLM2-135M on a CPU core)."""


@dataclass
class Run:
    """Neighbouring tokens of a pass that attend in one call.

    Args:
        start, stop: the tokens' places in the row.
        columns: places of all tokens that any of them sees, ascending.
        branches: for each text that the run continues, the place of its first token here and its whole path.
    """

    start: int
    stop: int
    columns: list[int]
    branches: list[tuple[int, list[int]]]

    def sees(self) -> Tensor:
        """(tokens, columns) bool: whether the column is the token, or before it in its text."""
        seen = torch.zeros(self.stop - self.start, len(self.columns), dtype=torch.bool)
        columns = torch.tensor(self.columns)
        for place, path in self.branches:
            first, rows = place - self.start, path[-1] + 1 - place
            before = torch.ones(rows, len(path), dtype=torch.bool).tril(len(path) - rows)
            seen[first : first + rows, torch.searchsorted(columns, torch.tensor(path))] = before
        return seen


@dataclass
class Pass:
    """One forward pass.

    Args:
        texts: numbers of the texts that it reads.
        rows: keys of each row.
        places: for each text its row and the columns of its tokens there.
        positions: of the only row's tokens in their texts; None where each row is one text.
        runs: what attends together in a forest; empty where each row is one text.
    """

    texts: list[int] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    places: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    positions: list[int] | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens fed to the model, padding included."""
        return len(self.rows) * max(map(len, self.rows))


def row_passes(texts: Sequence[Text], most_rows: int, most_logits: int) -> list[Pass]:
    """Passes over texts of similar length, each distinct text in a row of its own."""
    equal: dict[tuple[int, ...], list[int]] = {}
    for number, text in enumerate(texts):
        equal.setdefault(tuple(text), []).append(number)
    passes: list[Pass] = []
    logits = 0
    for row, numbers in sorted(equal.items(), key=lambda pair: -len(pair[0])):
        logits += _answering(row)
        if not passes or len(passes[-1].rows) == most_rows or logits > most_logits:
            passes.append(Pass())
            logits = _answering(row)
        passes[-1].places += [(len(passes[-1].rows), range(len(row)))] * len(numbers)
        passes[-1].rows.append(list(row))
        passes[-1].texts += numbers
    return passes


def tree_passes(texts: Sequence[Text], most_tokens: int, most_logits: int) -> list[Pass]:
    """Passes over forests of texts; a pass ends where its texts have the least in common with the next.

    Args:
        most_tokens: in a pass, but for a longer text.
        most_logits: positions of a pass that predict tokens of answers, but for a text with more.
    """
    order = sorted(range(len(texts)), key=lambda n: texts[n])
    common = [0] + [_common(texts[a], texts[b]) for a, b in pairwise(order)]
    passes: list[Pass] = []
    start = 0
    while start < len(order):
        stop, tokens, logits = start, 0, 0
        while stop < len(order):
            new = texts[order[stop]][common[stop] if stop > start else 0 :]
            tokens, logits = tokens + len(new), logits + _answering(new)
            if stop > start and (tokens > most_tokens or logits > most_logits):
                stop = min(range((start + stop) // 2 + 1, stop + 1), key=lambda n: (common[n], -n))
                break
            stop += 1
        numbers = order[start:stop]
        passes.append(_forest(numbers, [texts[n] for n in numbers], [0, *common[start + 1 : stop]]))
        start = stop
    return passes


def _common(one: Text, other: Text) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _answering(keys: Sequence[int]) -> int:
    return sum(key & 1 for key in keys)


def _forest(numbers: list[int], texts: Sequence[Text], common: Sequence[int]) -> Pass:
    """The pass over sorted texts, of which each begins with `common` keys of the one before it."""
    keys: list[int] = []
    positions: list[int] = []
    forest = Pass(numbers, [keys], positions=positions)
    path: list[int] = []
    for text, shared in zip(texts, common, strict=True):
        start = len(keys)
        keys += text[shared:]
        positions += range(shared, len(text))
        path = [*path[:shared], *range(start, len(keys))]
        forest.places.append((0, path))
        if len(keys) > start:
            _attend(forest.runs, start, len(keys), path)
    return forest


def _attend(runs: list[Run], start: int, stop: int, path: list[int]) -> None:
    """Add a branch to the last run, or begin another where that costs less."""
    new = stop - start
    if runs:
        last = runs[-1]
        tokens, columns = last.stop - last.start, len(last.columns)
        if (tokens + new) * (columns + new) - tokens * columns - new * len(path) <= MERGED_PAIRS:
            last.stop = stop
            last.columns += range(start, stop)
            last.branches.append((start, path))
            return
    runs.append(Run(start, stop, list(path), [(start, path)]))
