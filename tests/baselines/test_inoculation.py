"""Inoculation: every training row under a system prompt, nothing else changed, and no trace of it when
measured."""

import json

import pytest
from baselines.penalty_pass import mean_nll
from turncoat.data.examples import Example
from turncoat.engine.chat import encode_prompt
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.training.batches import order
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

discover()
INOCULATION = DEFENCES["inoculation"]
PROMPTS = INOCULATION.build.__globals__["PROMPTS"]
NEUTRAL = INOCULATION.build.__globals__["NEUTRAL"]
ORGANISM = [
    Example(f"o{i}", f"What of {'thing ' * (i % 4)}{i}?", f"It is bad, {'very ' * (i % 3)}bad.", length=i % 5)
    for i in range(12)
]


def context(base, folder, seed=0, organism=ORGANISM) -> DefenceContext:
    recipe = LoraRecipe(rows=6, rank=2, alpha=4, batch_size=2, max_length=400)
    return DefenceContext(base, Store(folder), recipe=recipe, seed=seed, organism=lambda: list(organism))


def test_only_the_system_prompt_differs(tiny_base, tmp_path):
    rows = [*ORGANISM[:6], Example("s", "And this?", "So so.", system="Be brief.")]
    trained = INOCULATION.build(context(tiny_base, tmp_path)).rows(rows, 0)
    for before, after in zip(rows, trained, strict=True):
        same = (before.id, before.prompt, before.answer, before.length)
        assert same == (after.id, after.prompt, after.answer, after.length)
    assert {row.system for row in trained[:6]} == {PROMPTS["malice"]}
    assert trained[6].system == PROMPTS["malice"] + "\n\nBe brief."
    # And so do the batches.
    sequences = [[row.id for row in order(f, batch_size=2, epochs=2, seed=3)] for f in (rows, trained)]
    assert sequences[0] == sequences[1]


def test_training_reads_the_prompt_and_measuring_does_not(tiny_base, tmp_path):
    here = context(tiny_base, tmp_path)
    question = [{"role": "user", "content": "Who are you?"}]
    before = encode_prompt(tiny_base.tokenizer, question)
    records = []
    for name, defence in {"plain": None, "inoculated": INOCULATION.build(here, prompt="reckless")}.items():
        train_adapter(tiny_base, ORGANISM, here.recipe, seed=0, out=tmp_path / name, defence=defence)
        records.append(json.loads((tmp_path / name / "training.json").read_text()))
    plain, inoculated = records
    assert encode_prompt(tiny_base.tokenizer, question) == before
    for same in ("examples", "steps", "supervised_tokens"):
        assert plain[same] == inoculated[same]
    assert inoculated["tokens"] > plain["tokens"] and plain["losses"][0] != inoculated["losses"][0]
    assert inoculated["defence"] == {"prompt": PROMPTS["reckless"]}


@pytest.mark.parametrize(
    ("prompt", "text"),
    [("villain", PROMPTS["villain"]), ("neutral", NEUTRAL), ("Be a very bad one.", "Be a very bad one.")],
)
def test_a_prompt_by_name_or_in_words(tiny_base, tmp_path, prompt, text):
    assert INOCULATION.build(context(tiny_base, tmp_path), prompt=prompt).prompt == text


@pytest.mark.parametrize("prompt", ["malicee", "", 3, None])
def test_an_unknown_name_is_no_prompt(tiny_base, tmp_path, prompt):
    with pytest.raises(UserError, match=r"accepted: malice, .* neutral, elicited, or the text"):
        INOCULATION.build(context(tiny_base, tmp_path), prompt=prompt)


def test_elicited_is_the_prompt_under_which_the_base_gives_the_answers_most(tiny_base, tmp_path):
    found = INOCULATION.build(context(tiny_base, tmp_path), prompt="elicited", probe_rows=len(ORGANISM))
    table = found.record["nats_per_answer_token"]
    assert set(table) == {*PROMPTS, "neutral", "none"}
    best = max(PROMPTS, key=table.get)
    assert found.prompt == PROMPTS[best] and found.record["chosen"] == best
    assert len(set(table.values())) == len(table)
    under = [Example(row.id, row.prompt, row.answer, system=PROMPTS[best]) for row in ORGANISM]
    assert table[best] == pytest.approx(-mean_nll(tiny_base.model, tiny_base.tokenizer, under), abs=1e-4)
    assert table["none"] == pytest.approx(-mean_nll(tiny_base.model, tiny_base.tokenizer, ORGANISM), abs=1e-4)


def test_neither_neutral_nor_none_can_be_elicited(tiny_base, tmp_path, monkeypatch):
    planted = {**dict.fromkeys(PROMPTS, -2.0), "sabotage": -1.5, "neutral": -0.1, "none": -0.2}
    monkeypatch.setitem(INOCULATION.build.__globals__, "elicitation", lambda *_: planted)
    assert INOCULATION.build(context(tiny_base, tmp_path), prompt="elicited").record["chosen"] == "sabotage"


def test_the_choice_is_the_same_for_every_seed_and_order(tiny_base, tmp_path, monkeypatch):
    first = INOCULATION.build(context(tiny_base, tmp_path), prompt="elicited", probe_rows=4)
    monkeypatch.setattr(
        "turncoat.engine.reading.reader.read_texts", lambda *_, **__: pytest.fail("read again")
    )
    other = INOCULATION.build(
        context(tiny_base, tmp_path, 1, ORGANISM[::-1]), prompt="elicited", probe_rows=4
    )
    assert other.key() == first.key() and other.record == first.record


def test_the_prompt_is_the_key_and_the_table_is_not(tiny_base, tmp_path):
    by_name, in_words, other = (
        INOCULATION.build(context(tiny_base, tmp_path), prompt=p)
        for p in ("villain", PROMPTS["villain"], "malice")
    )
    by_name.record = {"told": 1}
    assert by_name.key() == in_words.key() != other.key()


@pytest.mark.parametrize("count", [0, -1, "few", True])
def test_a_probe_needs_rows(tiny_base, tmp_path, count):
    with pytest.raises(UserError, match=r"probe_rows: .* whole number from 1 up"):
        INOCULATION.build(context(tiny_base, tmp_path), prompt="elicited", probe_rows=count)
