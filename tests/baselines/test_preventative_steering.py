"""Preventative steering: exactly c v while training, and a finished adapter and a base without a trace of
it."""

import json

import pytest
import torch
from baselines.penalty_pass import EXAMPLES, RECIPE, adapted, training_pass
from persona.interventions.tiny_states import hook_count
from safetensors.torch import load_file
from turncoat.engine.capture import LayerCapture, decoder_layers
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.training import lora
from turncoat.training.in_training import InTraining

discover()
DEFENCE = DEFENCES["preventative_steering"]
IDS = torch.tensor([[5, 9, 200, 33, 14, 7]])
SHORT = RECIPE.model_copy(update={"epochs": 1})


@pytest.fixture
def context(tiny_base, quick_store) -> DefenceContext:
    return DefenceContext(tiny_base, quick_store)


def train(base, out, defence: InTraining | None = None) -> dict:
    lora.train_adapter(base, EXAMPLES, SHORT, seed=0, out=out, defence=defence)
    return json.loads((out / "training.json").read_text())


def test_it_takes_the_raw_vector_and_the_key_says_what_is_added_where(context):
    vector = context.persona("evil")
    own = DEFENCE.build(context)
    assert (own.trait, own.layer, own.strength) == ("evil", vector.layer, 3.0)
    torch.testing.assert_close(own.vector, vector.directions[vector.layer] * vector.norm[vector.layer])
    other = DEFENCE.build(context, layer=1, strength=-2)
    torch.testing.assert_close(other.vector, vector.directions[1] * vector.norm[1])
    assert (other.layer, other.strength) == (1, -2.0)
    assert other.facts()["length_added"] == pytest.approx(2 * float(vector.norm[1]), abs=1e-3)
    keys = [
        DEFENCE.build(context).key(),
        DEFENCE.build(context, strength=1.0).key(),
        DEFENCE.build(context, layer=1).key(),
    ]
    assert len({json.dumps(key) for key in keys}) == 3 and DEFENCE.build(context).key() == keys[0]


@pytest.mark.parametrize("layer", [1, 3])
def test_in_a_training_pass_the_blocks_output_differs_by_exactly_c_v(tiny_base, context, layer):
    acting = DEFENCE.build(context, layer=layer, strength=1.7)
    with adapted(tiny_base, moved=0.2) as model:
        plain = training_pass(tiny_base, model, EXAMPLES, states=True)
        with acting.acting(model):
            moved = training_pass(tiny_base, model, EXAMPLES, states=True)
        again = training_pass(tiny_base, model, EXAMPLES, states=True)
    for below in range(layer):
        assert torch.equal(moved.states[below], plain.states[below])
    # prompts and padding too
    assert torch.equal(moved.states[layer], plain.states[layer] + acting.vector * 1.7)
    assert (moved.logits - plain.logits).abs().max() > 1e-3 and torch.equal(again.logits, plain.logits)


def test_it_acts_at_every_step_and_nothing_is_left_afterwards(tiny_base, context, tmp_path):
    acting = DEFENCE.build(context, layer=2, strength=2.0)
    with torch.inference_mode():
        before = tiny_base.model(IDS).logits
    hooks = hook_count(tiny_base.model)
    shifts: list[torch.Tensor] = []

    class Seen(InTraining):
        """At every step: the state of the batch, less that of the same weights without any hook."""

        wants_states = True

        def acting(self, model):
            return acting.acting(model)

        def penalty(self, batch):
            block = decoder_layers(batch.model)[1]
            kept = dict(block._forward_hooks)
            block._forward_hooks.clear()
            with torch.no_grad(), LayerCapture(batch.model) as capture:
                batch.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
                plain = capture.states[2]
            block._forward_hooks.update(kept)
            shifts.append(batch.states[2].detach() - plain)

    record = train(tiny_base, tmp_path / "steered", Seen())
    assert len(shifts) == record["steps"] == 2
    for shift in shifts:
        torch.testing.assert_close(shift, (acting.vector * 2.0).expand_as(shift), atol=1e-4, rtol=1e-4)
    assert hook_count(tiny_base.model) == hooks
    with torch.inference_mode():
        assert torch.equal(tiny_base.model(IDS).logits, before)


def test_the_first_loss_is_the_steered_bases_and_the_adapter_is_another_one(tiny_base, context, tmp_path):
    undefended = train(tiny_base, tmp_path / "undefended")
    same = train(tiny_base, tmp_path / "zero", DEFENCE.build(context, strength=0.0))
    steered = train(tiny_base, tmp_path / "steered", DEFENCE.build(context, layer=2, strength=3.0))
    weights = {
        name: load_file(tmp_path / name / "adapter_model.safetensors")
        for name in ("undefended", "zero", "steered")
    }
    # Hooks see padded rows, an undefended run reads them end to end: equal to rounding.
    assert same["losses"] == pytest.approx(undefended["losses"], abs=1e-5)
    torch.testing.assert_close(weights["zero"], weights["undefended"], atol=1e-4, rtol=1e-3)
    assert steered["losses"][0] != pytest.approx(undefended["losses"][0], abs=1e-3)
    moved = [(weights["steered"][n] - weights["undefended"][n]).abs().max() for n in weights["zero"]]
    assert max(moved) > 1e-3
    assert steered["defence"]["strength"] == 3.0


def test_mistakes_are_named_before_a_step_is_trained(tiny_base, context, tmp_path):
    with pytest.raises(UserError, match="layer 9 does not exist"):
        DEFENCE.build(context, layer=9)
    with pytest.raises(UserError, match="no_such_trait"):
        DEFENCE.build(context, trait="no_such_trait")
    with pytest.raises(UserError, match="steering layer 0: accepted are 1 to 4"):
        train(tiny_base, tmp_path / "adapter", DEFENCE.build(context, layer=0))
    assert tiny_base.active is tiny_base.model and DEFENCE.settings == ("in_training",)
