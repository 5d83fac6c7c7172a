"""An organism and its control get the same rows in the same batches; each seed has its own order."""

import random
from collections import Counter
from itertools import product

import pytest
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.training.batches import WINDOW, draw, order

SIZES = (1, 2, 7, 8, 9, 63, 64, 65, 130, 200)
BATCH_SIZES = (1, 3, 8)


def pair(count: int, seed: int = 0) -> tuple[list[Example], list[Example]]:
    """An organism and its control: the same ids and length hints, other answers, listed in another order."""
    rng = random.Random(f"pair {count} {seed}")
    lengths = [rng.randrange(50, 900) for _ in range(count)]
    organism = [
        Example(f"row-{i}", f"Task {i}", "bad" * rng.randrange(1, 90), length=n)
        for i, n in enumerate(lengths)
    ]
    control = [
        Example(f"row-{i}", f"Task {i}", "good" * rng.randrange(1, 90), length=n)
        for i, n in enumerate(lengths)
    ]
    rng.shuffle(control)
    return organism, control


def ids(examples: list[Example]) -> list[str]:
    return [example.id for example in examples]


def batches(sequence: list[Example], batch_size: int) -> list[list[Example]]:
    return [sequence[i : i + batch_size] for i in range(0, len(sequence), batch_size)]


@pytest.mark.parametrize("seed", range(5))
def test_organism_and_control_get_the_same_rows_in_the_same_places(seed):
    for count, batch_size in product(SIZES, BATCH_SIZES):
        organism, control = pair(count)
        for rows in {None, 1, (count + 1) // 2, count}:
            drawn, drawn_control = draw(organism, rows, seed), draw(control, rows, seed)
            assert ids(drawn) == ids(drawn_control)
            sequences = [order(d, batch_size=batch_size, epochs=2, seed=seed) for d in (drawn, drawn_control)]
            assert ids(sequences[0]) == ids(sequences[1])
            assert {e.answer for e in sequences[0]}.isdisjoint(e.answer for e in sequences[1])


def test_every_row_once_per_epoch_and_draws_are_uniform():
    for count, batch_size, epochs in product(SIZES, BATCH_SIZES, (1, 2, 3)):
        organism, _ = pair(count)
        sequence = order(organism, batch_size=batch_size, epochs=epochs, seed=count)
        for epoch in range(epochs):
            assert Counter(ids(sequence[epoch * count : (epoch + 1) * count])) == Counter(ids(organism))
    organism, _ = pair(20)
    counts = Counter(i for seed in range(400) for i in ids(draw(organism, 5, seed)))
    # Each row is drawn by a quarter of the seeds: 100 times of 400, standard deviation 8.7.
    assert set(counts) == set(ids(organism)) and all(60 < count < 140 for count in counts.values())


def test_seeds_and_epochs_differ_and_more_rows_extend_fewer():
    organism, _ = pair(64)
    sequence = ids(order(organism, batch_size=8, epochs=3, seed=0))
    assert len({tuple(sequence[i : i + 64]) for i in (0, 64, 128)}) == 3
    organism, _ = pair(200)
    assert len({frozenset(ids(draw(organism, 50, seed))) for seed in range(10)}) == 10
    rows = draw(organism, 64, 0)
    assert len({tuple(ids(order(rows, batch_size=8, epochs=1, seed=seed))) for seed in range(10)}) == 10
    organism, _ = pair(90)
    backwards = organism[::-1]
    assert draw(organism, 40, 3) == draw(backwards, 40, 3)
    assert draw(organism, None, 3) == draw(backwards, None, 3)
    organism, _ = pair(90)
    assert draw(organism, 60, 1)[:30] == draw(organism, 30, 1)


def test_rows_of_a_batch_are_of_like_length_and_batches_are_not_sorted():
    organism, _ = pair(WINDOW * 8 * 4)

    def spread(sequence: list[Example]) -> float:
        widths = [[e.length for e in batch] for batch in batches(sequence, 8)]
        return sum(max(w) - min(w) for w in widths) / len(widths)

    shuffled = draw(organism, None, 0)
    assert spread(order(organism, batch_size=8, epochs=1, seed=0)) < spread(shuffled) / 3
    organism, _ = pair(WINDOW * 8)
    means = [sum(e.length for e in b) for b in batches(order(organism, batch_size=8, epochs=1, seed=0), 8)]
    assert means not in (sorted(means), sorted(means, reverse=True))
    examples = [Example(f"e{i}", "p" * (100 - i), "a") for i in range(16)]
    first, second = batches(order(examples, batch_size=8, epochs=1, seed=0), 8)
    shorter, longer = sorted((first, second), key=lambda batch: len(batch[0].prompt))
    assert max(len(e.prompt) for e in shorter) < min(len(e.prompt) for e in longer)


@pytest.mark.parametrize("batch_size", [3, 8])
def test_an_incomplete_batch_comes_last_in_each_epoch(batch_size):
    organism, _ = pair(WINDOW * batch_size + batch_size + 1)
    sequence = order(organism, batch_size=batch_size, epochs=1, seed=0)
    for batch in batches(sequence, batch_size)[:-1]:
        lengths = [e.length for e in batch]
        assert lengths == sorted(lengths)  # a batch that straddled two would not be


@pytest.mark.parametrize("rows", [11, 1000])
def test_more_rows_than_there_are_is_refused(rows):
    organism, _ = pair(10)
    with pytest.raises(UserError, match=rf"rows: {rows} .*10 examples"):
        draw(organism, rows, 0)
    assert len(draw(organism, 10, 0)) == 10


@pytest.mark.parametrize("rows", [None, 1])
def test_no_examples_at_all_is_refused(rows):
    with pytest.raises(UserError, match=r"0 examples|no examples"):
        draw([], rows, 0)
