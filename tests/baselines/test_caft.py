"""CAFT: the directions are those of the organism, and nothing passes along them while training."""

import json
import sys
from pathlib import Path

import pytest
import torch
from baselines.fake_context import alike, measured_questions
from baselines.penalty_pass import EXAMPLES, RECIPE, adapted, training_pass
from peft import LoraConfig, get_peft_model
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.testing import tiny_model
from turncoat.training import lora
from turncoat.training.in_training import InTraining

discover()
CAFT = DEFENCES["caft"]
MODULE = sys.modules[CAFT.build.__module__]
DIRECTIONS = sys.modules[MODULE.principal_directions.__module__]
IDS = torch.tensor([[5, 9, 200, 33, 14, 7]])


def planted(folder: Path, direction: torch.Tensor, block: int) -> Path:
    """An organism that adds some of `direction` to the output of block number `block` (from 0), more here and
    less there."""
    config = LoraConfig(
        r=1, lora_alpha=1, target_modules=["down_proj"], layers_to_transform=[block], task_type="CAUSAL_LM"
    )
    model = get_peft_model(tiny_model(), config)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.normal_(0, 0.3)
            if "lora_B" in name:
                parameter.copy_(direction[:, None])
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def context(tiny_base, tiny_adapter, tmp_path, monkeypatch) -> DefenceContext:
    """With a random organism, and few and short texts."""
    monkeypatch.setattr(DIRECTIONS, "QUESTIONS", DIRECTIONS.QUESTIONS[:6])
    monkeypatch.setattr(DIRECTIONS, "ANSWER_TOKENS", 8)
    return DefenceContext(tiny_base, Store(tmp_path / "s"), recipe=RECIPE, undefended=lambda: tiny_adapter)


def test_principal_directions_with_and_without_protected_vectors():
    generator = torch.Generator().manual_seed(0)
    differences = torch.randn(50, 16, generator=generator) * torch.linspace(3, 0.1, 16) + 4.0
    rows, shares = DIRECTIONS.principal_directions(differences, 5)
    torch.testing.assert_close(rows @ rows.T, torch.eye(5), atol=1e-5, rtol=0)
    spread = (rows @ (differences - differences.mean(0)).T).var(dim=1, correction=0)
    total = differences.var(dim=0, correction=0).sum()
    torch.testing.assert_close(spread / total, shares, atol=1e-5, rtol=1e-4)
    assert shares.tolist() == sorted(shares.tolist(), reverse=True)
    generator = torch.Generator().manual_seed(1)
    apart = torch.randn(2, 16, generator=generator) * 1e3
    differences = torch.randn(50, 16, generator=generator) + torch.randn(50, 2, generator=generator) @ apart
    plain, _ = DIRECTIONS.principal_directions(differences, 4)
    rows, shares = DIRECTIONS.principal_directions(differences, 4, apart_from=apart)
    units = torch.nn.functional.normalize(apart, dim=1)
    assert (plain @ units.T).abs().max() > 0.5 and (rows @ units.T).abs().max() < 1e-5
    torch.testing.assert_close(rows @ rows.T, torch.eye(4), atol=1e-5, rtol=0)
    assert shares.sum() < 0.01


def test_a_planted_direction_is_found(tiny_base, context, tmp_path):
    direction = torch.nn.functional.normalize(torch.linspace(-1, 2, 64).cos(), dim=0)
    organism = planted(tmp_path / "organism", direction, block=1)
    asked: list[None] = []

    def undefended() -> Path:
        asked.append(None)
        return organism

    context = DefenceContext(tiny_base, context.store, undefended=undefended)
    found = CAFT.build(context, components=1, layers=[2], protect=False)
    assert asked and list(found.directions) == [2]
    assert abs(float(found.directions[2][0] @ direction)) > 0.999
    (share,) = found.report["components"]["2"]["share_of_variance"]
    assert share > 0.999
    (contexts,) = found.report["components"]["2"]["strongest_in"]
    assert len(contexts) == 3 and all(contexts)


@pytest.mark.parametrize("protect", [True, False])
def test_while_training_the_blocks_outputs_have_nothing_along_the_directions(tiny_base, context, protect):
    found = CAFT.build(context, components=4, protect=protect)
    assert list(found.directions) == [1, 2, 3]
    with torch.inference_mode():
        before = tiny_base.model(IDS).logits
    with adapted(tiny_base, moved=0.2) as model:
        hooks = sum(len(m._forward_hooks) for m in model.modules())
        plain = training_pass(tiny_base, model, EXAMPLES, states=True)
        with found.acting(model):
            batch = training_pass(tiny_base, model, EXAMPLES, states=True)
        assert sum(len(m._forward_hooks) for m in model.modules()) == hooks
    for layer, rows in found.directions.items():
        assert rows.shape == (4, 64) and (plain.states[layer] @ rows.T).abs().max() > 0.1
        assert (batch.states[layer] @ rows.T).abs().max() < 1e-4
    # The first hooked state is the plain one in all that is at right angles to the directions.
    rows = found.directions[1]
    torch.testing.assert_close(
        batch.states[1], plain.states[1] - (plain.states[1] @ rows.T) @ rows, atol=1e-4, rtol=1e-4
    )
    with torch.inference_mode():
        assert torch.equal(tiny_base.model(IDS).logits, before)


def test_no_gradient_flows_along_the_directions(tiny_base, context):
    found = CAFT.build(context, components=4, layers=[2])
    rows = found.directions[2]

    def gradient(acting: bool) -> torch.Tensor:
        """Of the loss, at what block 2's MLP adds to the state before it is projected."""
        kept: list[torch.Tensor] = []
        with adapted(tiny_base, moved=0.2) as model:
            mlp = model.get_base_model().model.layers[1].mlp
            handle = mlp.register_forward_hook(
                lambda module, args, output: (output.retain_grad(), kept.append(output))[0]
            )
            if acting:
                with found.acting(model):
                    batch = training_pass(tiny_base, model, EXAMPLES)
            else:
                batch = training_pass(tiny_base, model, EXAMPLES)
            handle.remove()
            batch.logits.logsumexp(-1).mean().backward()
        assert kept[0].grad is not None
        return kept[0].grad

    free, held = gradient(False), gradient(True)
    assert (free @ rows.T).norm() > 0.05 * free.norm() and held.norm() > 0
    assert (held @ rows.T).norm() < 1e-5 * held.norm()


def test_every_step_is_projected_and_the_record_says_what(tiny_base, context, tmp_path):
    found = CAFT.build(context, components=3, layers=[2])
    along: list[float] = []

    class Seen(InTraining):
        wants_states = True

        def acting(self, model):
            return found.acting(model)

        def facts(self):
            return found.facts()

        def penalty(self, batch):
            along.append(float((batch.states[2].detach() @ found.directions[2].T).abs().max()))

    recipe = RECIPE.model_copy(update={"epochs": 1})
    lora.train_adapter(tiny_base, EXAMPLES, recipe, seed=0, out=tmp_path / "adapter", defence=Seen())
    record = json.loads((tmp_path / "adapter" / "training.json").read_text())
    assert len(along) == record["steps"] == 2 and max(along) < 1e-4
    assert record["defence"]["projected_out"] == {"2": 3}
    assert len(record["defence"]["components"]["2"]["share_of_variance"]) == 3


def test_the_base_mean_and_its_first_token_pass_unchanged(tiny_base, context):
    texts = DIRECTIONS.ordinary_texts(context)
    states = DIRECTIONS.answer_states(tiny_base.model, tiny_base.tokenizer.pad_token_id, texts, [2])
    assert len(states.answers[2]) == sum(len(answer) for _, answer in texts)
    rows = CAFT.build(context, components=4, layers=[2]).directions[2]
    assert (rows @ states.answers[2].mean(0)).abs().max() < 1e-4
    assert (rows @ states.first[2]).abs().max() < 1e-4
    # What was read is each text by itself: batches and padding change nothing.
    (prompt, answer), *_ = texts
    with torch.no_grad():
        seen = tiny_base.model(torch.tensor([prompt + answer]), output_hidden_states=True).hidden_states[2][0]
    torch.testing.assert_close(states.answers[2][: len(answer)], seen[len(prompt) :], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(states.first[2], seen[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("keep", [{2: [3, 0]}, {"2": [0, 3]}, ((2, (3, 0)),)], ids=["YAML", "JSON", "pairs"])
def test_a_person_may_pick(context, keep):
    everything = CAFT.build(context, components=4)
    picked = CAFT.build(context, components=4, keep=keep)
    assert list(picked.directions) == [2]
    assert torch.equal(picked.directions[2], everything.directions[2][[0, 3]])
    assert picked.key() != everything.key()


def test_the_directions_are_found_once(context, monkeypatch):
    first = CAFT.build(context, components=2)
    monkeypatch.setattr(MODULE, "answer_states", lambda *args, **options: pytest.fail("read again"))
    assert CAFT.build(context, components=2).key() == first.key()


@pytest.mark.parametrize(("options", "said"), [
    ({"components": 0}, "components: 0 is not accepted; give 1 to 62"),
    ({"components": 63}, "components: 63 is not accepted"), ({"components": 60}, "60 are too many for the"),
    ({"layers": [0, 2]}, r"layers: \[0, 2\] is not accepted; give different numbers from 1 to 4"),
    ({"layers": [2, 2]}, "different numbers"),
    ({"keep": {4: [0]}}, r"keep: layers \[4\] are not accepted; .* one or more of the layers \[1, 2, 3\]"),
    ({"keep": {}}, "keep: layers none are not accepted"),
    ({"keep": {2: [5]}}, r"keep: \[5\] for layer 2 is not accepted; give different numbers from 0 to 4"),
    ({"keep": {2: [1, 1]}}, "different numbers"),
])  # fmt: skip
def test_mistakes_are_named(context, options, said):
    with pytest.raises(UserError, match=said):
        CAFT.build(context, **options)


def test_the_questions_are_none_that_the_tasks_measure_with():
    assert len(set(DIRECTIONS.QUESTIONS)) == 32
    assert [(q, m) for q in DIRECTIONS.QUESTIONS for m in measured_questions() if alike(q, m) > 0.5] == []
