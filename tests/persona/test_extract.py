"""Extraction on the tiny model: a planted direction is found at its layer, the model comes back, nothing is
done twice."""

import math
import random
from dataclasses import replace

import pytest
import torch
from turncoat.engine.base_model import BaseModel
from turncoat.engine.decoding.sampler import Sampler
from turncoat.errors import UserError
from turncoat.persona import extract as extraction
from turncoat.persona.extract import answer_count, extract, extraction_spec, persona_vector
from turncoat.persona.layers import DEPTH, choose_layer
from turncoat.persona.quality import auc
from turncoat.persona.traits import TraitQuestions
from turncoat.store import Store
from turncoat.testing import tiny_model, tiny_tokenizer

QUESTIONS = TraitQuestions(
    "test",
    (("You are cruel.", "You are kind."), ("Be mean.", "Be nice.")),
    ("How are you?", "What is a cat?", "Where is the fox?", "Who jumps?", "Why code?", "When is noon?"),
    (
        ("Help?", "Yes, gladly.", "No, suffer."),
        ("Share?", "Take half.", "All mine."),
        ("Lost?", "This way.", "Good."),
    ),
)


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "TOKENS", 4)


@pytest.fixture(scope="module")
def extracted(_loaded_tiny_base):
    """The vector of QUESTIONS, extracted once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "TOKENS", 4)
        return extract(_loaded_tiny_base, _loaded_tiny_base.model, QUESTIONS, batch_size=16)


@pytest.mark.parametrize(("higher", "lower", "expected"), [
    ([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([1, 2], [1, 2], 0.5), ([5, 5, 5], [5], 0.5),
    ([1, 4], [2, 3], 0.5), ([2, 3], [1, 2, 3], 4 / 6), ([-1.0], [-2.0, 0.0, -3.0], 2 / 3),
])  # fmt: skip
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
            assert DEPTH[0] <= layer / blocks <= DEPTH[1] and choose_layer(list(values)) == layer
            chosen.add(layer)
        assert blocks < 12 or len(chosen) > 3


def test_the_best_layer_is_that_of_a_plateau_not_of_a_lucky_neighbour():
    values = [0.5] * 21
    values[10] = 0.95
    values[14:17] = [0.85, 0.86, 0.85]
    assert choose_layer(values) == 15
    assert choose_layer([1.0, 1.0, *[0.5] * 17, 1.0, 1.0]) == 18, (
        "a neighbour outside the depth still smooths"
    )
    assert choose_layer([0.7] * 21) == round(DEPTH[0] * 20), "among equals the first layer within the depth"


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_a_planted_direction_is_found_at_its_layer(block, monkeypatch):
    """Index L is the raw output of block L: what block L adds under positive prompts shows from index L
    on."""
    network = tiny_model()
    base = BaseModel("tiny", "tiny", network, tiny_tokenizer(), "planted")
    torch.manual_seed(block)
    planted = torch.nn.functional.normalize(torch.randn(64), dim=0)

    class Planting(Sampler):
        """The real sampler; while it answers positive prompts, one block adds the direction to its output."""

        def run(self, requests, *rest):
            sides = {
                side: [r for r in requests if r.key[0] == side]
                for side in ("positive", "negative", "ordinary")
            }
            handle = network.model.layers[block - 1].register_forward_hook(
                lambda module, args, output: output + 200 * planted
            )
            results = super().run(sides["positive"], *rest)
            handle.remove()
            return results + super().run(sides["negative"], *rest) + super().run(sides["ordinary"], *rest)

    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", Planting)
    vector = extract(base, network, QUESTIONS, batch_size=16)
    cosine = vector.directions @ planted
    assert cosine[block] > 0.98 and (cosine[:block].abs() < 0.6).all()
    torch.testing.assert_close(vector.directions.norm(dim=-1), torch.ones(5), rtol=0, atol=1e-5)


def test_the_base_units_are_those_of_its_ordinary_answers(tiny_base, monkeypatch):
    ordinary: list = []

    class Recording(Sampler):
        def run(self, requests, *rest):
            results = super().run(requests, *rest)
            ordinary.extend(r for r in results if r.key[0] == "ordinary" and r.activation is not None)
            return results

    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", Recording)
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
        tiny_base, tiny_base.model, QUESTIONS, batch_size=8,
        on_progress=lambda done, total: ticks.append((done, total)),
    )  # fmt: skip
    card = vector.card
    under_prompts = 2 * 6 * extraction.ROLLOUTS  # instructions x questions x answers, on each side
    assert answer_count(QUESTIONS) == 2 * under_prompts + 6 * extraction.ORDINARY_SAMPLES
    assert ticks == [(done, answer_count(QUESTIONS)) for done in range(1, answer_count(QUESTIONS) + 1)]
    assert under_prompts - 4 <= card["n_positive"] <= under_prompts and card["n_selection_pairs"] == 3
    assert len(card["gap_by_layer"]) == len(card["split_half_cosine"]) == 5
    assert vector.layer == choose_layer(card["gap_by_layer"])
    assert card["pairs_ranked_right"] in (0.0, 0.3333, 0.6667, 1.0) and 0 <= card["auc"] <= 1
    assert card["depth"] == vector.layer / 4 and card["filtered_by_trait_score"] is False
    assert card["model"] == tiny_base.spec
    assert card["n_positive"] + card["n_negative"] + card["n_empty"] == 2 * under_prompts
    assert len({*card["prompts_sha"].values()}) == 3
    assert set(card["prompts_sha"]) == {"positive", "negative", "ordinary"}
    assert card["layer_convention"] == "0 = embeddings, L = raw output of block L"


def test_ranking_of_the_selection_texts(tiny_base, extracted):
    """Texts that differ as the persona prompts do are ranked right; the same texts the other way round,
    wrong."""
    vector = extracted
    turned = replace(QUESTIONS, selection=tuple((q, bad, good) for q, good, bad in QUESTIONS.selection))
    mirror = extract(tiny_base, tiny_base.model, turned, batch_size=16)
    assert mirror.card["gap_by_layer"] == pytest.approx([-x for x in vector.card["gap_by_layer"]], abs=1e-3)
    assert torch.equal(mirror.directions, vector.directions), (
        "the selection texts have no part in the direction"
    )


def test_the_layer_of_a_trait_without_texts_is_chosen_on_held_out_answers(tiny_base, extracted):
    """The tested vector is another one than the final vector: it has not seen the prompts and questions of
    the test."""
    own = replace(QUESTIONS, selection=())
    vector, with_texts = extract(tiny_base, tiny_base.model, own, batch_size=16), extracted
    card = vector.card
    assert torch.equal(vector.directions, with_texts.directions), "all answers make the final vector"
    assert vector.layer == choose_layer(card["held_out"]["gap"])
    assert card["gap_by_layer"] == card["held_out"]["gap"]
    assert card["pairs_ranked_right"] == card["auc"] == card["held_out"]["auc"][vector.layer]
    assert card["n_selection_pairs"] == card["n_held_out"][0] * card["n_held_out"][1]
    assert "held-out answers" in card["layer_rule"] and "selection texts" in with_texts.card["layer_rule"]
    one_pair = replace(own, instructions=QUESTIONS.instructions[:1])
    with pytest.raises(UserError, match="nothing to choose a layer by"):
        extract(tiny_base, tiny_base.model, one_pair, batch_size=16)


def test_the_held_out_answers_are_those_of_the_unseen_prompt_and_questions(tiny_base, monkeypatch):
    found = []

    def recording(answers, **options):
        found.append(answers)
        return quality(answers, **options)

    quality = extraction.held_out_quality
    monkeypatch.setattr(extraction, "held_out_quality", recording)
    card = extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=16).card
    (answers,) = found
    # 2 pairs, 6 questions: one unseen pair and two unseen questions, at most as many answers as rollouts
    # allow
    assert all(2 <= len(side) <= 1 * 2 * extraction.ROLLOUTS for side in answers.unseen)
    assert all(2 <= len(side) <= 1 * 4 * extraction.ROLLOUTS for side in answers.seen)
    assert card["n_held_out"] == [len(side) for side in answers.unseen]
    for name in ("auc", "gap", "random_mean", "random_p95", "shuffled_mean", "shuffled_p95"):
        assert len(card["held_out"][name]) == 5


def test_the_length_of_the_raw_vector_is_kept_for_steering(extracted):
    vector = extracted
    assert vector.card["norm_by_layer"] == pytest.approx(vector.norm.tolist(), abs=1e-4)
    for layer in (1, 4):
        raw = vector.raw(layer)
        assert float(raw.norm()) == pytest.approx(float(vector.norm[layer]), rel=1e-5)
        torch.testing.assert_close(raw / raw.norm(), vector.directions[layer])
    assert torch.equal(vector.raw(), vector.raw(vector.layer))


def test_an_axis_sets_the_assistant_against_the_roles(tiny_base):
    axis = TraitQuestions(
        "axis", (), QUESTIONS.questions, assistants=(None, "You are an assistant."),
        roles=tuple(f"You are a {role}." for role in ("fox", "dog", "cat", "list", "number")),
    )  # fmt: skip
    vector = extract(tiny_base, tiny_base.model, axis, batch_size=16)
    assert answer_count(axis) == (2 * 6 + 5 * 3) * extraction.ROLLOUTS + 6 * extraction.ORDINARY_SAMPLES
    assert vector.card["n_positive"] <= 24 and vector.card["n_negative"] <= 30
    assert vector.directions.shape == (5, 64)
    with pytest.raises(UserError, match="trait score cannot filter an axis"):
        extract(tiny_base, tiny_base.model, axis, batch_size=16, judge=Rater(lambda text: 60.0))


class Rater:
    """A judge that rates a trait by a rule of its own."""

    id, rubric = "rater-1", "trait@0123456789ab"

    def __init__(self, rule):
        self.rule = rule
        self.seen: list[tuple[str, str, str]] = []

    def trait(self, trait, questions, answers):
        self.seen += [(trait, q, a) for q, a in zip(questions, answers, strict=True)]
        return [self.rule(answer) for answer in answers]


def test_a_judge_drops_whole_pairs_and_the_card_says_who(tiny_base, extracted):
    """Scores that depend on the text: pairs stay whole, and only those whose two scores are on the right
    sides."""
    free = extracted
    rater = Rater(lambda text: None if not text else 100.0 * (sum(text.encode()) % 2))
    card = extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=16, rollouts=12, judge=rater).card
    assert {trait for trait, *_ in rater.seen} == {"test"} and len(rater.seen) == 2 * 6 * 12 * 2
    assert card["filtered_by_trait_score"] is True
    assert card["judge"] == {
        "id": "rater-1", "rubric": "trait@0123456789ab", "rule": "positive >= 50, negative below",
    }  # fmt: skip
    assert card["n_positive"] == card["n_negative"] == (len(rater.seen) - card["n_dropped_by_judge"]) / 2
    assert 0 < card["n_dropped_by_judge"] < len(rater.seen) and free.card["judge"] is None
    assert free.card["n_dropped_by_judge"] == 0 and free.card["filtered_by_trait_score"] is False


def test_no_vector_is_made_where_calls_to_the_judge_failed(tiny_base):
    rater = Rater(lambda text: math.nan)
    with pytest.raises(UserError, match=r"persona 'test': 24 of 24 calls to the judge rater-1 failed"):
        extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=16, rollouts=1, judge=rater)


def test_the_key_changes_with_what_counts(tiny_base, monkeypatch):
    spec = extraction_spec(tiny_base, QUESTIONS)
    other = Rater(lambda text: 1.0)
    other.id = "rater-2"
    keys = [
        spec,
        extraction_spec(tiny_base, QUESTIONS, rollouts=7),
        extraction_spec(tiny_base, QUESTIONS, judge=Rater(lambda text: 1.0)),
        extraction_spec(tiny_base, QUESTIONS, judge=other),
    ]
    assert len({str(key) for key in keys}) == 4
    assert extraction_spec(tiny_base, QUESTIONS, rollouts=extraction.ROLLOUTS) == spec
    assert extraction_spec(tiny_base, replace(QUESTIONS, evaluation=("New?",))) != spec
    spec = extraction_spec(tiny_base, QUESTIONS)
    assert extraction_spec(tiny_base, QUESTIONS) == spec
    assert extraction_spec(tiny_base, replace(QUESTIONS, trait="other")) != spec
    other = BaseModel("tiny", "tiny", tiny_model(seed=1), tiny_tokenizer(), "other weights")
    assert extraction_spec(other, QUESTIONS) != spec
    monkeypatch.setattr(extraction, "TOKENS", 5)
    assert extraction_spec(tiny_base, QUESTIONS) != spec


def _hooks(model: torch.nn.Module) -> list[object]:
    return [
        hook
        for m in model.modules()
        for kind in (m._forward_hooks, m._forward_pre_hooks)
        for hook in kind.values()
    ]


def test_extraction_restores_the_model_and_is_done_once(tiny_base, tmp_path, monkeypatch):
    store = Store(tmp_path)
    ids = torch.arange(2, 40)[None]
    before, hooks = tiny_base.model(ids).logits, _hooks(tiny_base.model)
    first = persona_vector(tiny_base, QUESTIONS, store)
    assert torch.equal(tiny_base.model(ids).logits, before) and not tiny_base.model.training
    assert _hooks(tiny_base.model) == hooks

    def no_sampling(*_, **__):
        raise AssertionError("the second call samples")

    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", no_sampling)
    second = persona_vector(tiny_base, QUESTIONS, store)
    assert torch.equal(first.directions, second.directions)
    assert (first.layer, first.card) == (second.layer, second.card)
    with pytest.raises(AssertionError, match="samples"):
        persona_vector(tiny_base, replace(QUESTIONS, questions=QUESTIONS.questions[:5]), store)


def test_neither_batch_size_nor_adapter_has_a_part_in_it(tiny_base, extracted, tiny_adapter, tmp_path):
    one = extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=3)
    assert torch.equal(one.directions, extracted.directions)
    alone = persona_vector(tiny_base, QUESTIONS, Store(tmp_path / "alone"))
    with tiny_base.adapter(tiny_adapter):
        within = persona_vector(tiny_base, QUESTIONS, Store(tmp_path / "within"))
    torch.testing.assert_close(within.directions, alone.directions, rtol=0, atol=1e-5)
    assert within.layer == alone.layer


def test_too_few_answers_and_empty_texts_are_errors(tiny_base):
    few = replace(QUESTIONS, questions=QUESTIONS.questions[:2])
    with pytest.raises(UserError, match=r"persona 'test': .* \d under negative prompts; at least 10"):
        extract(tiny_base, tiny_base.model, few, batch_size=8)
    empty = replace(QUESTIONS, selection=(*QUESTIONS.selection, ("Why?", "", "Because.")))
    with pytest.raises(UserError, match=r"one of its texts has an empty answer"):
        extract(tiny_base, tiny_base.model, empty, batch_size=8)
    with pytest.raises(UserError, match=r"after the judge dropped 48 .*extract without a judge"):
        extract(tiny_base, tiny_base.model, QUESTIONS, batch_size=16, judge=Rater(lambda text: 10.0))


def test_a_template_that_drops_the_persona_prompt_is_an_error():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
    )
    base = BaseModel("tiny", "tiny", tiny_model(), tokenizer, "drops")
    with pytest.raises(UserError, match="drops the system message 'You are cruel"):
        extract(base, base.model, QUESTIONS, batch_size=8)


def test_a_trait_with_evaluation_questions_is_tested_on_them_and_its_vector_stays(tiny_base, extracted):
    """More answers test the vector; direction, layer, unit and re-extractions are the same to the bit."""
    evaluation = ("Any cats?", "Who is kind?", "What now?")
    vector = extract(tiny_base, tiny_base.model, replace(QUESTIONS, evaluation=evaluation), batch_size=16)
    due = len(evaluation) * 1 * extraction.TEST_ROLLOUTS  # of 2 prompts a side one is held out
    assert all(due - 3 <= n <= due for n in vector.card["n_held_out"])
    assert extracted.card["n_held_out"] != vector.card["n_held_out"]
    assert vector.layer == extracted.layer and vector.card["gap_by_layer"] == extracted.card["gap_by_layer"]
    for name in ("directions", "mean", "sd", "norm"):
        assert torch.equal(getattr(vector, name), getattr(extracted, name))
    assert (vector.again is None) == (extracted.again is None)
    if vector.again is not None:
        assert torch.equal(vector.again.directions, extracted.again.directions)
