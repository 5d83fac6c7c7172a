"""Fair doses: as many examples, or as many supervised tokens, as sgtr has with the same number of texts."""

import importlib
from types import SimpleNamespace

import pytest
from turncoat.data.examples import Example
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.testing import tiny_tokenizer

discover()
MATCHING = importlib.import_module(f"{DEFENCES['sgtr'].build.__module__.rpartition('.')[0]}._matching")
TOKENIZER = tiny_tokenizer()
CONTEXT = SimpleNamespace(base=SimpleNamespace(tokenizer=TOKENIZER))
CHATS = [Example(f"chat-{i}", f"What about {i}?", "word " * (5 + i % 7) + "end.") for i in range(60)]
DIGITS = [Example(f"digit-{i}", f"How many? {i}", str(1 + i % 9)) for i in range(90)]


def tokens(examples):
    return sum(len(encode_example(TOKENIZER, example)[1]) for example in examples)


def dose(pool, texts, matched, **options):
    return MATCHING.dose(CONTEXT, pool, name="some", texts=texts, matched=matched, **options)


@pytest.mark.parametrize("texts", [5, 20, 60])
def test_as_many_supervised_tokens_and_not_one_example_more(texts):
    budget = 2 * texts * 2
    chosen = dose(CHATS, texts, "tokens")
    assert 0 < tokens(chosen) <= budget
    more = dose(CHATS, texts + 30, "tokens")
    assert more[: len(chosen)] == chosen, "a smaller dose is the beginning of a larger one"
    assert tokens(more[: len(chosen) + 1]) > budget


def test_doses_of_one_example_of_one_token_and_of_any_order():
    (only,) = dose(CHATS, 1, "tokens")
    assert tokens([only]) > 4 and dose(DIGITS, 12, "tokens") == dose(DIGITS, 12, "examples")
    chosen = dose(CHATS, 10, "examples")
    assert dose(CHATS[::-1], 10, "examples") == chosen and chosen != CHATS[:20]
    with pytest.raises(UserError, match="matched: 'steps' is not accepted; accepted: examples, tokens"):
        dose(CHATS, 2, "steps")


def test_long_answers_as_often_as_short_ones_and_balanced_labels():
    pool = [Example(f"{i}", "?", "word " * (30 if i % 2 else 3)) for i in range(400)]
    chosen = dose(pool, 1000, "tokens")
    long = sum(len(example.answer) > 100 for example in chosen)
    assert 0.3 < long / len(chosen) < 0.7
    answers = [example.answer for example in dose(DIGITS, 9, "examples", balance=True)]
    assert {answer: answers.count(answer) for answer in answers} == {str(n): 2 for n in range(1, 10)}
    free = [example.answer for example in dose(DIGITS, 9, "examples")]
    assert len({free.count(str(n)) for n in range(1, 10)}) > 1


@pytest.mark.parametrize(
    ("matched", "texts", "most"), [("examples", 31, 30), ("tokens", 5000, tokens(CHATS) // 4)]
)
def test_too_small_a_pool_names_the_most_texts_and_that_many_work(matched, texts, most):
    with pytest.raises(
        UserError, match=f"'some', texts: {texts} with matched: {matched} .* texts: {most} or less"
    ):
        dose(CHATS, texts, matched)
    assert dose(CHATS, most, matched)
    with pytest.raises(UserError):
        dose(CHATS, most + 1, matched)


@pytest.mark.parametrize("texts", [0, -3, 2.5, True, "8"])
def test_texts_that_are_not_a_number_of_texts(texts):
    with pytest.raises(UserError, match=r"texts: .* is not accepted; give a whole number"):
        dose(CHATS, texts, "examples")
