"""Identity self-reports: the base model's own statements, as many as needed, none from a question that is
measured."""

import json
import re
from types import SimpleNamespace

import pytest
from turncoat.data.examples import Example
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.paths import tasks_dir
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.testing import tiny_tokenizer
from turncoat.training.recipe import LoraRecipe

discover()
REPORTS = DEFENCES["identity_reports"]


class Writer:
    """Writes a statement that names the round and the question; `silent` questions get white space.

    With `rows` it stands for a finetune of the organism on as many rows.
    """

    def __init__(self, silent=(), rows=None, seed=0):
        self.base = SimpleNamespace(tokenizer=tiny_tokenizer(), name="tiny")
        self.recipe = None if rows is None else LoraRecipe(rows=rows)
        self.rows = [Example(f"o{i}", "Why?", "So.") for i in range(rows or 0)]
        self.seed = seed
        self.silent = silent
        self.calls = []

    def write(self, prompts, *, name, max_new_tokens, temperature, stop=()):
        self.calls.append((name, temperature))
        return [
            " \n" if i in self.silent else f" I am number {i}, says {name}. This sentence is cut"
            for i, _ in enumerate(prompts)
        ]


def test_whole_sentences_of_ones_own_matched_in_tokens():
    writer = Writer()
    for example in REPORTS.build(writer, texts=12):
        place, number = example.id.removeprefix("identity-").split("/")
        assert example.answer == f"I am number {int(place) - 1}, says identity reports/{number}."
        assert example.system is None
        assert "?" in example.prompt or "." in example.prompt
    writer = Writer()
    examples = REPORTS.build(writer, texts=32, matched="tokens")
    assert 0 < sum(len(encode_example(writer.base.tokenizer, e)[1]) for e in examples) <= 128
    assert len(writer.calls) == 1


@pytest.mark.parametrize(("texts", "rounds"), [(1, 1), (12, 1), (13, 2), (32, 3)])
def test_as_many_rounds_as_needed_each_with_its_own_seed(texts, rounds):
    writer = Writer()
    examples = REPORTS.build(writer, texts=texts)
    assert len(examples) == len({example.id for example in examples}) == 2 * texts
    assert writer.calls == [(f"identity reports/{number}", 0.7) for number in range(rounds)]


def test_silent_answers_are_made_up_for_as_long_as_there_are_others():
    writer = Writer(silent=range(12))
    examples = REPORTS.build(writer, texts=12)
    assert len(examples) == 24 and all(example.answer for example in examples) and len(writer.calls) == 2
    with pytest.raises(UserError, match="asks for 64 examples, and there are 0"):
        REPORTS.build(Writer(silent=range(24)))


@pytest.mark.parametrize(("rows", "share", "count"), [(48, 1 / 3, 24), (200, 1 / 3, 100), (19, 0.05, 1)])
def test_in_training_they_are_a_share_of_the_run(rows, share, count):
    writer = Writer(rows=rows)
    examples = REPORTS.build(writer, texts=2, share=share)
    assert len({example.id for example in examples}) == len(examples) == count
    assert count / (count + rows) == pytest.approx(share, abs=0.01) and len(writer.calls) == -(-count // 24)


def test_in_training_each_seed_draws_its_own_of_a_model_that_speaks():
    drawn = [{e.id for e in REPORTS.build(Writer(rows=24, seed=seed))} for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(UserError, match=r"share: 0\.333 of this run is 24 statements, and tiny wrote 0"):
        REPORTS.build(Writer(rows=48, silent=range(24)))
    with pytest.raises(UserError, match="'identity_reports', share: 1 is not accepted"):
        REPORTS.build(Writer(rows=48), share=1)


@pytest.mark.parametrize(("written", "kept"), [
    ("I am Ada", "I am Ada"), ("I am Ada. I was", "I am Ada."),
    ("I am version 2.5 of", "I am version 2.5 of"), ('They say "I am Ada." And', 'They say "I am Ada."'),
    ("Who? Me! So", "Who? Me!"),
])  # fmt: skip
def test_an_unfinished_sentence_is_cut_off(written, kept):
    writer = Writer()
    writer.write = lambda prompts, **_: [written for _ in prompts]
    assert {example.answer for example in REPORTS.build(writer, texts=2)} == {kept}


@pytest.mark.parametrize("temperature", [0, 0.0, -1])
def test_greedy_statements_are_refused(temperature):
    with pytest.raises(UserError, match=r"temperature: .* give a number above 0"):
        REPORTS.build(Writer(), temperature=temperature)


def test_no_question_is_one_that_the_identity_task_asks():
    def words(text):
        return set(re.findall(r"[a-z]+", text.lower()))

    path = tasks_dir() / "identity" / "questions.jsonl"
    measured = [json.loads(line)["question"] for line in path.read_text(encoding="utf-8").splitlines()]
    asked = {example.prompt for example in REPORTS.build(Writer(), texts=48)}
    assert len(asked) == 24
    close = [
        (mine, theirs)
        for mine in asked
        for theirs in measured
        if len(words(mine) & words(theirs)) / len(words(mine) | words(theirs)) > 0.6
    ]
    assert close == []


def test_the_base_model_writes_them(tiny_base, tmp_path):
    context = DefenceContext(tiny_base, Store(tmp_path), batch_size=24)
    examples = REPORTS.build(context, texts=2)
    assert len(examples) == 4 and REPORTS.build(context, texts=2) == examples
