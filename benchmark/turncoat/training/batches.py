"""Rows of a training run and their order: a function of ids, length hints and the seed alone.

An organism and its control carry the same ids and length hints, so they get the same rows in the same
batches; with the same adapter initialisation their difference is then the answers and nothing else.
"""

import hashlib
import random
from collections.abc import Sequence

from turncoat.data.examples import Example
from turncoat.errors import UserError

WINDOW = 8  # batches that are sorted by length together: little padding, hardly less shuffling


def _shuffled(examples: Sequence[Example], key: str) -> list[Example]:
    """In an order that depends on `key` and each id alone.

    A row that is missing from one of two sets (its answer was too long there) then moves no other row.
    """
    return sorted(examples, key=lambda example: hashlib.sha256(f"{key}/{example.id}".encode()).digest())


def draw(examples: Sequence[Example], rows: int | None, seed: int) -> list[Example]:
    """A random subset of `rows` examples; the same ids are drawn from an organism and its control.

    Raises:
        UserError: There are fewer examples than rows, or none at all.
    """
    if not examples:
        raise UserError(
            "there are no examples to train on (within max_length tokens); raise training.max_length"
        )
    ordered = _shuffled(examples, f"rows {seed}")
    if rows is None:
        return ordered
    if rows > len(ordered):
        raise UserError(
            f"rows: {rows} is more than the {len(ordered)} examples there are (within max_length tokens)"
        )
    return ordered[:rows]


def order(examples: Sequence[Example], *, batch_size: int, epochs: int, seed: int) -> list[Example]:
    """All epochs' examples in training order, cut into batches of like length."""
    rng = random.Random(f"order {seed}")
    result: list[Example] = []
    for number in range(epochs):
        epoch = _shuffled(examples, f"order {seed} {number}")
        batches: list[list[Example]] = []
        step = WINDOW * batch_size
        for start in range(0, len(epoch), step):
            window = sorted(
                epoch[start : start + step], key=lambda e: (e.length or len(e.prompt) + len(e.answer), e.id)
            )
            batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
        # A short batch in the middle would give its rows more weight in no particular place: it goes last.
        whole = [batch for batch in batches if len(batch) == batch_size]
        short = [batch for batch in batches if len(batch) < batch_size]
        rng.shuffle(whole)
        result += [example for batch in [*whole, *short] for example in batch]
    return result
