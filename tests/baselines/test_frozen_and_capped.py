"""Two defences that act in training and are gone afterwards: a frozen adapter, and a cap on the axis."""

import json
from dataclasses import replace

import pytest
import torch
from baselines.penalty_pass import EXAMPLES, RECIPE, adapted, context_of, training_pass
from persona.interventions.tiny_states import hook_count
from safetensors.torch import load_file
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.training.lora import train_adapter

discover()


@pytest.fixture(scope="module")
def trait(request, tmp_path_factory):
    """An adapter that has learnt the very rows."""
    base = request.getfixturevalue("_loaded_tiny_base")
    folder = tmp_path_factory.mktemp("trait") / "adapter"
    train_adapter(base, EXAMPLES, RECIPE, seed=1, out=folder)
    return folder


def inoculation(base, folder, trait):
    context = replace(context_of(base, folder), other_organism=lambda name: trait)
    return DEFENCES["inoculation_adapter"].build(context, trait_from="another")


def test_the_frozen_adapter_acts_in_the_scope_and_learns_nothing(tiny_base, tmp_path, trait):
    defence = inoculation(tiny_base, tmp_path, trait)
    with tiny_base.adapter(trait) as model:
        alone = training_pass(tiny_base, model, EXAMPLES).logits
    with adapted(tiny_base, moved=0.0) as model:
        learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
        before = training_pass(tiny_base, model, EXAMPLES).logits
        with defence.acting(model):
            torch.testing.assert_close(
                training_pass(tiny_base, model, EXAMPLES).logits, alone, atol=1e-4, rtol=1e-4
            )
            assert {name for name, weight in model.named_parameters() if weight.requires_grad} == learning
        assert torch.equal(training_pass(tiny_base, model, EXAMPLES).logits, before)
        assert {name for name, weight in model.named_parameters() if weight.requires_grad} == learning
        assert list(model.peft_config) == ["default"]


def test_with_the_trait_there_the_new_adapter_has_less_to_learn(tiny_base, tmp_path, trait):
    records, moved = {}, {}
    for name, defence in {"plain": None, "beside": inoculation(tiny_base, tmp_path, trait)}.items():
        train_adapter(tiny_base, EXAMPLES, RECIPE, seed=0, out=tmp_path / name, defence=defence)
        records[name] = json.loads((tmp_path / name / "training.json").read_text())
        weights = load_file(tmp_path / name / "adapter_model.safetensors")
        moved[name] = {key: float(w.norm()) for key, w in weights.items() if ".lora_B." in key}
    assert records["beside"]["losses"][0] < 0.7 * records["plain"]["losses"][0]
    assert records["beside"]["defence"] == {"frozen_adapter_of": "another"}
    assert moved["plain"].keys() == moved["beside"].keys(), "the frozen one is not saved"
    assert sum(moved["beside"].values()) < sum(moved["plain"].values())


def test_no_state_is_below_the_floor_and_no_gradient_passes_along_the_axis(tiny_base, quick_store):
    context = DefenceContext(tiny_base, quick_store)
    held = DEFENCES["capped_training"].build(context, layers=[2], percentile=25)
    high = replace(held, cap=replace(held.cap, floors=torch.tensor([500.0])))
    unit = held.cap.directions[0] / held.cap.directions[0].norm()
    with adapted(tiny_base, moved=0.2) as model:
        hooks, steepest = hook_count(model), []
        for defence in (None, high):
            if defence is None:
                along = training_pass(tiny_base, model, EXAMPLES, states=True).states[2] @ unit
            else:
                with defence.acting(model):
                    along = training_pass(tiny_base, model, EXAMPLES, states=True).states[2] @ unit
            model.zero_grad()
            along.sum().backward()
            grads = [weight.grad for weight in model.parameters() if weight.grad is not None]
            steepest.append(max(float(grad.abs().max()) for grad in grads))
        torch.testing.assert_close(along.detach(), torch.full_like(along, 500.0))
        assert steepest[1] < 1e-4 * steepest[0]
        with held.acting(model):
            low = training_pass(tiny_base, model, EXAMPLES, states=True).states[2] @ unit
        assert float(low.detach().min()) >= float(held.cap.floors[0]) - 1e-3
        assert hook_count(model) == hooks
    assert json.dumps(held.key()) != json.dumps(high.key())
    assert held.facts() == {
        "trait": "assistant_axis", "capped_layers": [2], "floors": [round(float(held.cap.floors[0]), 4)],
    }  # fmt: skip
    with pytest.raises(UserError, match="percentile: 101 is not accepted"):
        DEFENCES["capped_training"].build(context, percentile=101)
