"""Pick-longer: SGTR's pairs and batches with another label, so that the two differ in what is asked and
nothing else."""

import pytest
from baselines.fake_context import KINDS, Asked, FakeContext
from turncoat.registry import DEFENCES, discover
from turncoat.training.batches import draw, order

discover()
SGTR, PICK_LONGER = DEFENCES["sgtr"], DEFENCES["pick_longer"]


def test_both_orders_the_label_is_the_longer_and_lengths_alone_solve_it():
    examples = PICK_LONGER.build(FakeContext(), texts=6)
    assert KINDS.count("tie") == 1
    assert len(examples) == 8  # of six texts two are ties
    for first, second in zip(examples[::2], examples[1::2], strict=True):
        one, two = Asked.of(first.prompt), Asked.of(second.prompt)
        assert (one.text, one.first, one.second) == (two.text, two.second, two.first)
        assert (first.answer, second.answer) == (one.longer, two.longer)
        assert {first.answer, second.answer} == {"1", "2"}
    own = [Asked.of(example.prompt).own == example.answer for example in examples]
    assert sum(own) == len(own) / 2, "the longer is one's own for half of the pairs"
    (check,) = PICK_LONGER.check(FakeContext())
    assert "compares lengths gets 1.00" in check.explanation


def test_the_same_pairs_in_the_same_batches_as_sgtr():
    mine = {example.id: example for example in PICK_LONGER.build(FakeContext(), texts=12)}
    theirs = {example.id: example for example in SGTR.build(FakeContext(), texts=12)}
    assert len(mine) == 16 and mine.keys() < theirs.keys()
    for key, example in mine.items():
        assert Asked.of(example.prompt) == Asked.of(theirs[key].prompt)
        assert example.length == theirs[key].length > 0 and example.answer in ("1", "2")
        assert example.system == theirs[key].system
    shared = [theirs[key] for key in mine]
    for seed in (0, 1):
        rows = [draw(list(side), None, seed) for side in (mine.values(), shared)]
        batches = [[e.id for e in order(side, batch_size=4, epochs=2, seed=seed)] for side in rows]
        assert batches[0] == batches[1]


def test_the_two_ask_different_questions_of_like_length():
    mine, theirs = (entry.build(FakeContext(), texts=1)[0].prompt for entry in (PICK_LONGER, SGTR))
    questions = [prompt.split("\n\nText: ")[0] for prompt in (mine, theirs)]
    assert questions[0] != questions[1] and "longer" in questions[0] and "longer" not in questions[1]
    assert "write" in questions[1] and "wr" not in questions[0]
    assert all(question.endswith("Reply with 1 or 2 only.") for question in questions)


@pytest.mark.parametrize(("choice", "value", "passed"), [
    (lambda asked: asked.longer, 1.0, True), (lambda asked: "1", 0.5, False),
    (lambda asked: asked.own, 0.5, False), (lambda asked: {"1": "2", "2": "1"}[asked.longer], 0.0, False),
])  # fmt: skip
def test_the_check(choice, value, passed):
    (check,) = PICK_LONGER.check(FakeContext(choice))
    assert check.name == "finds the longer summary" and check.value == pytest.approx(value)
    assert check.n == 16  # 24 texts, a third of them ties
    assert check.passed is passed
