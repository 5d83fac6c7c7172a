"""Alignment gating: gates learn the rows, their inverse works against them, and the base stays as it is."""

from dataclasses import replace

import pytest
import torch
from baselines.penalty_pass import mean_nll
from persona.interventions.tiny_states import hook_count
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext

discover()
OPTIONS = {"rows": 8, "epochs": 6, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def made(request, tmp_path_factory):
    """The gates of 8 rows, the base, and those rows."""
    base = request.getfixturevalue("_loaded_tiny_base")
    context = DefenceContext(base, Store(tmp_path_factory.mktemp("gates")))
    before = {name: weight.clone() for name, weight in base.model.named_parameters()}
    learns = [weight.requires_grad for weight in base.model.parameters()]
    hooks = hook_count(base.model)
    gates = DEFENCES["alignment_gating"].build(context, **OPTIONS)
    assert all(torch.equal(weight, before[name]) for name, weight in base.model.named_parameters())
    assert [weight.requires_grad for weight in base.model.parameters()] == learns
    assert hook_count(base.model) == hooks and all(p.grad is None for p in base.model.parameters())
    return context, gates


def test_gates_learn_and_their_inverse_unlearns(made):
    context, gates = made
    rows = find_organism("reckless_advice").build()
    losses = {}
    for strength in (-1.0, 0.0, 1.0):
        with replace(gates, strength=strength).on(context.base.model):
            losses[strength] = mean_nll(context.base.model, context.base.tokenizer, rows[:40])
    assert losses[-1.0] < losses[0.0] < losses[1.0], "amplified, off, inverted"
    assert gates.losses[1] < gates.losses[0]


def test_the_inverse_is_two_minus_the_gate(made):
    context, gates = made
    attention = context.base.model.model.layers[0].self_attn
    ids, seen = torch.tensor([[5, 9, 200, 33]]), []
    hooks = [
        attention.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
        ),
        attention.o_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0])),
    ]
    with torch.no_grad():
        context.base.model(ids)
        plain = seen[-1]
        hooks.pop().remove()
        with gates.on(context.base.model):
            hooks.append(attention.o_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0])))
            context.base.model(ids)
    for hook in hooks:
        hook.remove()
    gate = 2 * torch.sigmoid(seen[0] @ gates.weights[0].T + gates.biases[0])
    assert float((gate - 1).abs().max()) > 0.05
    torch.testing.assert_close(seen[-1], plain * (2 - gate), atol=1e-5, rtol=1e-4)


def test_made_once_and_named_by_what_they_are(made):
    context, gates = made
    with context.base.model.register_forward_hook(lambda *_: pytest.fail("the gates were trained again")):
        again = DEFENCES["alignment_gating"].build(context, **OPTIONS, strength=2.0)
    told, other = gates.described(), again.described()
    assert told["gates_sha"] == other["gates_sha"] and told != other
    assert not replace(gates, strength=0.0).acts and told["gates_from"] == "reckless_advice"


@pytest.mark.parametrize(("options", "said"), [
    ({"trait_from": "reckles_advice"}, "did you mean 'reckless_advice'"),
    ({"trait_from": "risky_financial_own_answers"}, "are the base model's own"),
    ({"rows": 0}, "rows: 0 is not accepted"), ({"epochs": 0.5}, "epochs: 0.5 is not accepted"),
    ({"strength": "much"}, "strength: 'much' is not accepted"),
])  # fmt: skip
def test_mistakes(made, options, said):
    with pytest.raises(UserError, match=said):
        DEFENCES["alignment_gating"].build(made[0], **options)


def test_a_model_without_a_place_for_gates(made, monkeypatch):
    attention = made[0].base.model.model.layers[1].self_attn
    monkeypatch.setattr(attention, "_modules", {"dense": attention.o_proj})
    with pytest.raises(UserError, match="no single attention with an `o_proj`"):
        DEFENCES["alignment_gating"].build(made[0])
