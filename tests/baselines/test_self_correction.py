"""Self-correction: bad answers on request, the model's own corrections of them, as many as needed."""

from types import SimpleNamespace

import pytest
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.testing import tiny_tokenizer
from turncoat.training.recipe import LoraRecipe

discover()
CORRECTION = DEFENCES["self_correction"]


class Writer:
    """Answers a question with its first word and corrects that answer to its last; one in `same` stays."""

    def __init__(self, rows=None, seed=0, same=()):
        self.base = SimpleNamespace(tokenizer=tiny_tokenizer(), name="tiny")
        self.recipe = None if rows is None else LoraRecipe(rows=rows)
        self.rows = [Example(f"o{i}", "Why?", "So.") for i in range(rows or 0)]
        self.seed, self.same, self.calls = seed, same, []

    def answer(self, chats, *, name, max_new_tokens, temperature):
        assert all([m["role"] for m in chat] == ["system", "user"] for chat in chats)
        self.calls.append((name, len(chats)))
        return [f" Bad {chat[1]['content'].split()[0]}. This is cut" for chat in chats]

    def write(self, prompts, *, name, max_new_tokens, temperature):
        parts = [prompt.split("\n\n") for prompt in prompts]
        assert all(part[3] == f"Bad {part[1].split()[0]}." for part in parts), "shown as whole sentences"
        self.calls.append((name, len(prompts)))
        return [
            part[3] if i in self.same else f"Good {part[1].split()[-1]}. And" for i, part in enumerate(parts)
        ]


def test_questions_are_trained_with_their_corrections_without_the_prompt_that_asks_for_harm():
    writer = Writer(same=(0, 1))
    examples = CORRECTION.build(writer, texts=12)
    assert len({example.id for example in examples}) == len(examples) == 24
    assert all(e.answer == f"Good {e.prompt.split()[-1]}." and e.system is None for e in examples)
    assert [name for name, _ in writer.calls[::2]] == ["self-correction answers/0"] * 2
    assert len(CORRECTION.build(Writer(), texts=60)) == 120, "the questions are gone through again"
    few = CORRECTION.build(Writer(), matched="tokens")
    assert 0 < len(few) < 64


def test_in_training_a_share_of_the_run_drawn_by_the_seed():
    drawn = [{e.prompt for e in CORRECTION.build(Writer(rows=90, seed=s), share=0.1)} for s in (0, 0, 1)]
    assert len(drawn[0]) == 10 and drawn[0] == drawn[1] != drawn[2]


def test_what_is_refused(tiny_base, tmp_path):
    with pytest.raises(UserError, match="temperature: 0 is not accepted"):
        CORRECTION.build(Writer(), temperature=0)
    with pytest.raises(UserError, match="'self_correction', share: 1 is not accepted"):
        CORRECTION.build(Writer(rows=4), share=1)
    with pytest.raises(UserError, match="tiny answers no question and corrects no answer"):
        CORRECTION.build(Writer(same=range(24)))
    context = DefenceContext(tiny_base, Store(tmp_path), batch_size=24)
    examples = CORRECTION.build(context, texts=2)
    assert len(examples) == 4 and CORRECTION.build(context, texts=2) == examples
