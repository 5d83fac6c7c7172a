"""The context of a defence: the base model's own words, written once, whoever asks and however they are
batched."""

import pytest
import torch
from turncoat.engine.chat import encode, encode_prompt
from turncoat.engine.decoding.sampler import Sampler
from turncoat.errors import UserError
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext

PROMPTS = ["What is a cat?", "Name a colour, please.", "Why?", "How do I sort a list of numbers?"]
CHATS = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
SETTINGS = {"name": "test", "max_new_tokens": 6, "temperature": 0.8}


@pytest.fixture
def context(tiny_base, tmp_path) -> DefenceContext:
    return DefenceContext(tiny_base, Store(tmp_path / "stages"), batch_size=3)


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """Number of answers decoded in each run of the sampler."""
    found: list[int] = []
    run = Sampler.run

    def count(self, requests, on_done=None):
        found.append(len(requests))
        return run(self, requests, on_done)

    monkeypatch.setattr(Sampler, "run", count)
    return found


def test_texts_are_written_once_and_depend_on_their_prompt(context, runs, tiny_base, tmp_path):
    texts = context.write(PROMPTS, **SETTINGS)
    assert len(texts) == len(PROMPTS) and len(set(texts)) > 1
    assert context.write(PROMPTS, **SETTINGS) == texts and context.answer(CHATS, **SETTINGS) == texts
    assert runs == [4] and context.write(PROMPTS, **{**SETTINGS, "temperature": 0.9}) != texts
    assert len(runs) == 2
    texts = context.write(PROMPTS, **SETTINGS)
    other = DefenceContext(tiny_base, Store(tmp_path / "other"), batch_size=1)
    assert other.write(PROMPTS[2:], **SETTINGS) == texts[2:]
    assert other.write(PROMPTS[:1], **{**SETTINGS, "name": "another use"}) != texts[:1]


def test_each_conversation_has_its_own_longest_answer(context, tiny_base, runs):
    long = context.answer(CHATS, name="n", max_new_tokens=12, temperature=0.8)
    assert context.answer(CHATS, name="n", max_new_tokens=[12, 12, 12, 12], temperature=0.8) == long
    assert len(runs) == 1
    mixed = context.answer(CHATS, name="n", max_new_tokens=[12, 2, 12, 1], temperature=0.8)
    assert (mixed[0], mixed[2]) == (long[0], long[2])
    for short, whole, most in ((mixed[1], long[1], 2), (mixed[3], long[3], 1)):
        assert len(encode(tiny_base.tokenizer, whole)) > most and whole.startswith(short.rstrip("\ufffd"))
        assert short != whole


def test_a_system_message_is_part_of_the_question(context):
    system = [{"role": "system", "content": "Speak of dogs only."}]
    plain = context.answer(CHATS, **SETTINGS)
    asked = context.answer([system + chat for chat in CHATS], **SETTINGS)
    assert asked != plain
    assert context.answer([CHATS[0], system + CHATS[1], *CHATS[2:]], **SETTINGS) == [
        plain[0], asked[1], *plain[2:],
    ]  # fmt: skip


def test_the_base_model_writes_even_under_an_adapter(context, tiny_base, tiny_adapter, tmp_path):
    texts = context.write(PROMPTS, **SETTINGS)
    with tiny_base.adapter(tiny_adapter):
        under = DefenceContext(tiny_base, Store(tmp_path / "other")).write(PROMPTS, **SETTINGS)
    assert under == texts


def test_a_choice_is_the_log_likelihood_of_the_model_as_it_is(context, tiny_base, tiny_adapter):
    def expected(model) -> list[list[float]]:
        wanted = [encode(tiny_base.tokenizer, answer)[0] for answer in ("1", "2")]
        scores = []
        for chat in CHATS:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([encode_prompt(tiny_base.tokenizer, chat)])).logits[
                    0, -1
                ]
            scores.append(logits.double().log_softmax(-1)[wanted].tolist())
        return scores

    plain = context.choose(PROMPTS, ("1", "2"))
    assert torch.allclose(torch.tensor(plain), torch.tensor(expected(tiny_base.model)), atol=1e-3)
    with tiny_base.adapter(tiny_adapter) as model:
        adapted = context.choose(PROMPTS, ("1", "2"))
        assert torch.allclose(torch.tensor(adapted), torch.tensor(expected(model)), atol=1e-3)
    assert not torch.allclose(torch.tensor(adapted), torch.tensor(plain), atol=1e-2)


def test_answers_of_several_tokens_are_read_and_summed(context, tiny_base):
    both = context.choose(PROMPTS, ("1", "several words"))
    assert torch.allclose(
        torch.tensor(both)[:, 0], torch.tensor(context.choose(PROMPTS, ("1", "2")))[:, 0], atol=1e-3
    )
    prompt, answer = (
        encode_prompt(tiny_base.tokenizer, CHATS[0]),
        encode(tiny_base.tokenizer, "several words"),
    )
    with torch.no_grad():
        logits = tiny_base.model(input_ids=torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
    read = sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))
    assert both[0][1] == pytest.approx(read, abs=1e-3)


def test_progress_is_told(tiny_base, tmp_path):
    told: list[tuple[int, int]] = []
    context = DefenceContext(
        tiny_base, Store(tmp_path), on_progress=lambda done, total: told.append((done, total))
    )
    context.write(PROMPTS, **SETTINGS)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_organisms_finetune_is_there_in_training_only(context):
    for ask in (context.organism, context.undefended):
        with pytest.raises(UserError, match="in_training only"):
            ask()
    with pytest.raises(UserError, match="in_training only"):
        context.rows  # noqa: B018


def test_a_persona_vector_is_the_base_models_and_extracted_once(tiny_base, tiny_adapter, quick_store, runs):
    with tiny_base.adapter(tiny_adapter):
        vector = DefenceContext(tiny_base, quick_store).persona("evil")
    extracted = len(runs)
    again = DefenceContext(tiny_base, quick_store).persona("evil")
    assert len(runs) == extracted, "the same stage, with an adapter on or without one"
    assert again.layer == vector.layer and vector.raw(vector.layer).shape == (64,)
    assert torch.equal(again.raw(vector.layer), vector.raw(vector.layer))
