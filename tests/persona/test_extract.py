"""Extraction on the tiny model: a planted direction is found at its layer, the model comes back, nothing is done twice."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer
from turncoat.errors import UserError
from turncoat.lm.base_model import BaseModel
from turncoat.lm.sampler import Sampler
from turncoat.persona import extract as extraction
from turncoat.persona.extract import DEPTH, answer_count, auc, choose_layer, extract, extraction_spec, persona_vector
from turncoat.persona.questions import TraitQuestions, trait_names, trait_questions
from turncoat.store import Store

QUESTIONS = TraitQuestions(
    "test",
    (("You are cruel.", "You are kind."), ("Be mean.", "Be nice.")),
    ("How are you?", "What is a cat?", "Where is the fox?", "Who jumps?", "Why code?", "When is noon?"),
    (("Help?", "Yes, gladly.", "No, suffer."), ("Share?", "Take half.", "All mine."), ("Lost?", "This way.", "Good.")),
)


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "TOKENS", 4)


@pytest.mark.parametrize(
    ("higher", "lower", "expected"),
    [
        ([3, 4], [1, 2], 1.0),
        ([1, 2], [3, 4], 0.0),
        ([1, 2], [1, 2], 0.5),
        ([5, 5, 5], [5], 0.5),
        ([1, 4], [2, 3], 0.5),
        ([2, 3], [1, 2, 3], 4 / 6),
        ([-1.0], [-2.0, 0.0, -3.0], 2 / 3),
    ],
)
def test_auc_counts_pairs_and_half_of_the_ties(higher, lower, expected):
    assert auc(higher, lower) == pytest.approx(expected)
    assert auc(lower, higher) == pytest.approx(1 - expected)


def test_the_layer_stays_within_the_depth_whatever_the_auc():
    rng = random.Random(0)
    for blocks in (2, 3, 4, 12, 30, 80):
        chosen = set()
        for _ in range(40):
            values = [rng.random() for _ in range(blocks + 1)]
            layer = choose_layer(values)
            assert DEPTH[0] <= layer / blocks <= DEPTH[1]
            assert choose_layer(list(values)) == layer
            chosen.add(layer)
        assert blocks < 12 or len(chosen) > 3


def test_the_best_layer_is_that_of_a_plateau_not_of_a_lucky_neighbour():
    values = [0.5] * 21
    values[10] = 0.95
    values[14:17] = [0.85, 0.86, 0.85]
    assert choose_layer(values) == 15
    assert choose_layer([1.0, 1.0, *[0.5] * 17, 1.0, 1.0]) == 18, "a neighbour outside the depth still smooths"
    assert choose_layer([0.7] * 21) == round(DEPTH[0] * 20), "among equals the first layer within the depth"


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_a_planted_direction_is_found_at_its_layer(block, monkeypatch):
    """Index L is the raw output of block L: what block L adds under positive prompts shows from index L on."""
    network = tiny_model()
    base = BaseModel("tiny", "tiny", network, tiny_tokenizer(), "planted")
    torch.manual_seed(block)
    planted = torch.nn.functional.normalize(torch.randn(64), dim=0)

    class Planting(Sampler):
        """The real sampler; while it answers positive prompts, one block adds the direction to its output."""

        def run(self, requests, *rest):
            sides = {side: [r for r in requests if r.key[0] == side] for side in ("positive", "negative", "ordinary")}
            handle = network.model.layers[block - 1].register_forward_hook(
                lambda module, args, output: output + 200 * planted
            )
            results = super().run(sides["positive"], *rest)
            handle.remove()
            return results + super().run(sides["negative"], *rest) + super().run(sides["ordinary"], *rest)

    monkeypatch.setattr(extraction, "Sampler", Planting)
    vector = extract(base, network, QUESTIONS, batch_size=16)
    cosine = vector.directions @ planted
    assert cosine[block] > 0.98
    assert (cosine[:block].abs() < 0.6).all()
    torch.testing.assert_close(vector.directions.norm(dim=-1), torch.ones(5), rtol=0, atol=1e-5)


def test_the_base_units_are_those_of_its_ordinary_answers(tiny_base, monkeypatch):
    ordinary: list = []

    class Recording(Sampler):
        def run(self, requests, *rest):
            results = super().run(requests, *rest)
            ordinary.extend(r for r in results if r.key[0] == "ordinary" and r.activation is not None)
            return results

    monkeypatch.setattr(extraction, "Sampler", Recording)
    vector = extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=16)
    by_question = {}
    for result in ordinary:
        by_question.setdefault(result.key[1], []).append(vector.project(result.activation))
    means = torch.stack([torch.stack(group).mean(0) for group in by_question.values()])
    assert len(means) > 3
    torch.testing.assert_close(means.mean(0), torch.zeros(5), rtol=0, atol=1e-4)
    torch.testing.assert_close(means.std(0), torch.ones(5), rtol=0, atol=1e-4)


def test_the_card_says_how_it_was_made(tiny_base):
    ticks: list[tuple[int, int]] = []
    vector = extract(
        tiny_base, tiny_base.model, QUESTIONS, batch_size=8, tick=lambda done, total: ticks.append((done, total))
    )
    card = vector.card
    under_prompts = 2 * 6 * extraction.ROLLOUTS  # instructions x questions x answers, on each side
    assert answer_count(QUESTIONS) == 2 * under_prompts + 6 * extraction.ORDINARY_SAMPLES
    assert ticks == [(done, answer_count(QUESTIONS)) for done in range(1, answer_count(QUESTIONS) + 1)]
    assert under_prompts - 4 <= card["n_positive"] <= under_prompts
    assert card["n_selection_pairs"] == 3
    assert len(card["gap_by_layer"]) == len(card["split_half_cosine"]) == 5
    assert vector.layer == choose_layer(card["gap_by_layer"])
    assert card["pairs_ranked_right"] in (0.0, 0.3333, 0.6667, 1.0)
    assert 0 <= card["auc"] <= 1
    assert card["depth"] == vector.layer / 4
    assert card["filtered_by_trait_score"] is False


def test_ranking_of_the_selection_texts(tiny_base):
    """Texts that differ as the persona prompts do are ranked right; the same texts the other way round, wrong."""
    vector = extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=16)
    turned = replace(QUESTIONS, selection=tuple((q, bad, good) for q, good, bad in QUESTIONS.selection))
    mirror = extract(tiny_base, tiny_base.model, turned, batch_size=16)
    assert mirror.card["gap_by_layer"] == pytest.approx([-x for x in vector.card["gap_by_layer"]], abs=1e-3)
    assert torch.equal(mirror.directions, vector.directions), "the selection texts have no part in the direction"


def _hooks(model: torch.nn.Module) -> list[object]:
    return [
        hook for m in model.modules() for kind in (m._forward_hooks, m._forward_pre_hooks) for hook in kind.values()
    ]


def test_extraction_restores_the_model_and_is_done_once(tiny_base, tmp_path, monkeypatch):
    store = Store(tmp_path)
    ids = torch.arange(2, 40)[None]
    before, hooks = tiny_base.model(ids).logits, _hooks(tiny_base.model)
    first = persona_vector(tiny_base, QUESTIONS, store)
    assert torch.equal(tiny_base.model(ids).logits, before)
    assert not tiny_base.model.training
    assert _hooks(tiny_base.model) == hooks

    def no_sampling(*_, **__):
        raise AssertionError("the second call samples")

    monkeypatch.setattr(extraction, "Sampler", no_sampling)
    second = persona_vector(tiny_base, QUESTIONS, store)
    assert torch.equal(first.directions, second.directions)
    assert (first.layer, first.card) == (second.layer, second.card)
    with pytest.raises(AssertionError, match="samples"):
        persona_vector(tiny_base, replace(QUESTIONS, questions=QUESTIONS.questions[:5]), store)


def test_an_adapter_that_is_on_has_no_part_in_it(tiny_base, tiny_adapter, tmp_path):
    alone = persona_vector(tiny_base, QUESTIONS, Store(tmp_path / "alone"))
    with tiny_base.adapter(tiny_adapter):
        within = persona_vector(tiny_base, QUESTIONS, Store(tmp_path / "within"))
    torch.testing.assert_close(within.directions, alone.directions, rtol=0, atol=1e-5)
    assert within.layer == alone.layer


def test_the_batch_size_changes_no_bit(tiny_base):
    one, two = (extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=size) for size in (3, 32))
    assert torch.equal(one.directions, two.directions)


def test_the_key_changes_with_what_counts(tiny_base, monkeypatch):
    spec = extraction_spec(tiny_base, QUESTIONS)
    assert extraction_spec(tiny_base, QUESTIONS) == spec
    assert extraction_spec(tiny_base, replace(QUESTIONS, trait="other")) != spec
    other = BaseModel("tiny", "tiny", tiny_model(seed=1), tiny_tokenizer(), "other weights")
    assert extraction_spec(other, QUESTIONS) != spec
    monkeypatch.setattr(extraction, "TOKENS", 5)
    assert extraction_spec(tiny_base, QUESTIONS) != spec


def test_too_few_answers_are_an_error(tiny_base):
    few = replace(QUESTIONS, questions=QUESTIONS.questions[:2])
    with pytest.raises(UserError, match=r"persona 'test': .* \d under negative prompts; at least 10"):
        extract(tiny_base, tiny_base.model, few, batch_size=8)


def test_an_empty_selection_text_is_an_error(tiny_base):
    empty = replace(QUESTIONS, selection=(*QUESTIONS.selection, ("Why?", "", "Because.")))
    with pytest.raises(UserError, match=r"layer_selection\.jsonl has an empty answer"):
        extract(tiny_base, tiny_base.model, empty, batch_size=8)


def test_a_template_that_drops_the_persona_prompt_is_an_error():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
    )
    base = BaseModel("tiny", "tiny", tiny_model(), tokenizer, "drops")
    with pytest.raises(UserError, match="drops the system message 'You are cruel"):
        extract(base, base.model, QUESTIONS, batch_size=8)


def test_shipped_traits_load_and_their_texts_are_paired():
    assert "evil" in trait_names()
    for trait in trait_names():
        questions = trait_questions(trait)
        assert len(questions.instructions) * len(questions.questions) >= 10
        assert all(positive != negative for positive, negative in questions.instructions)
        assert all(aligned and misaligned for _, aligned, misaligned in questions.selection)
    with pytest.raises(UserError, match=r"'evli' is not known; accepted: .*evil"):
        trait_questions("evli")
