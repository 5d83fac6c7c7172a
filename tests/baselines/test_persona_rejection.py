"""Persona rejection: one-sided, in base SD, nothing at the start, and a model that it really holds down."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from baselines.penalty_pass import EXAMPLES, adapted, seen_in_training, slopes, training_pass
from turncoat.engine.capture import LayerCapture
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.persona.vectors import PersonaVector
from turncoat.registry import DEFENCES, discover
from turncoat.study.arms.defence_context import DefenceContext

discover()
DEFENCE = DEFENCES["persona_rejection"]
LAYER = 2


def vector(trait: str, seed: int, layer: int = LAYER) -> PersonaVector:
    directions = torch.nn.functional.normalize(
        torch.randn(5, 64, generator=torch.Generator().manual_seed(seed)), dim=-1
    )
    return PersonaVector(trait, directions, torch.full((5,), 7.0), torch.full((5,), 0.5), layer, {})


VECTORS = {
    "evil": vector("evil", 1),
    "sycophancy": vector("sycophancy", 2, layer=3),
    "assistant_axis": vector("axis", 3),
}
CONTEXT = SimpleNamespace(persona=VECTORS.__getitem__)


def build(**options):
    return DEFENCE.build(CONTEXT, **options)


def projections(base, trait: str, example) -> torch.Tensor:
    """(answer tokens,) standardised projections of one row by itself, of the model as it is now."""
    prompt, answer = encode_example(base.tokenizer, example)
    found = VECTORS[trait]
    with torch.no_grad(), LayerCapture(base.active) as capture:
        base.active(input_ids=torch.tensor([prompt + answer]))
        state = capture.states[found.layer][0, len(prompt) :]
    return (state @ found.directions[found.layer] - found.mean[found.layer]) / found.sd[found.layer]


def test_it_is_the_mean_squared_rise_of_the_answer_tokens_in_base_sd(tiny_base):
    traits = ("evil", "sycophancy")
    before = {t: torch.cat([projections(tiny_base, t, e) for e in EXAMPLES]) for t in traits}
    with adapted(tiny_base, moved=0.2) as model:
        batch = training_pass(tiny_base, model, EXAMPLES, states=True)
        rejection = build(traits=traits, weight=3.0)
        found = rejection.penalty(batch).item()
        after = {t: torch.cat([projections(tiny_base, t, e) for e in EXAMPLES]) for t in traits}
    rises = {t: after[t] - before[t] for t in traits}
    # so that the one side matters
    assert all((rise > 0).any() and (rise < 0).any() for rise in rises.values())
    expected = sum(3.0 * float(rise.clamp_min(0).square().mean()) for rise in rises.values())
    assert found == pytest.approx(expected, rel=1e-3)
    assert rejection.facts()["last_rise_sd"] == pytest.approx(
        {t: float(r.mean()) for t, r in rises.items()}, abs=1e-3
    )


def test_nothing_new_and_less_of_the_persona_cost_nothing(tiny_base):
    rejection = build()
    with adapted(tiny_base, moved=0.2) as model:
        batch = training_pass(tiny_base, model, EXAMPLES, states=True)
        frozen = batch.frozen()
        down = VECTORS["evil"].directions[LAYER] * 5.0
        lower = [state - down for state in frozen.states]
        higher = [state + down for state in frozen.states]
        assert rejection.penalty(replace(batch, states=lower)).item() == 0.0
        # 5 along a unit vector are 10 SD of 0.5 each.
        assert rejection.penalty(replace(batch, states=higher)).item() == pytest.approx(100.0, rel=1e-4)
    with adapted(tiny_base, moved=0.0) as model:
        batch = training_pass(tiny_base, model, EXAMPLES, states=True)
        assert build(traits=("evil", "sycophancy"), weight=1e6).penalty(batch).item() == 0.0


def test_the_gradient_is_that_of_the_penalty_and_reaches_the_blocks_up_to_the_layer(tiny_base):
    rejection = build(weight=2.0)
    with adapted(tiny_base, moved=0.2) as model:
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        below = next(p for n, p in parameters.items() if "layers.1.mlp.down_proj.lora_B" in n)

        def value() -> torch.Tensor:
            return rejection.penalty(training_pass(tiny_base, model, EXAMPLES, states=True))

        by_autograd, by_difference = slopes(value, below, step=1e-3)
        assert by_autograd == pytest.approx(by_difference, rel=0.03) and abs(by_autograd) > 1e-3
        model.zero_grad()
        value().backward()
        reached = {n for n, p in parameters.items() if p.grad is not None and p.grad.abs().max() > 0}
    assert reached == {n for n in parameters if any(f"layers.{block}." in n for block in range(LAYER))}


def test_training_against_it_keeps_the_projection_down(tiny_base, tmp_path, monkeypatch):
    def mean_states() -> torch.Tensor:
        """(d,) at the layer, over all answer tokens, of the model as it is now."""
        found = []
        for prompt, answer in (encode_example(tiny_base.tokenizer, e) for e in EXAMPLES):
            with torch.no_grad(), LayerCapture(tiny_base.active) as capture:
                tiny_base.active(input_ids=torch.tensor([prompt + answer]))
                found.append(capture.states[LAYER][0, len(prompt) :])
        return torch.cat(found).mean(0)

    seen_in_training(tiny_base, tmp_path / "free", build(), acts=False)
    base = mean_states()
    with tiny_base.adapter(tmp_path / "free"):
        moved = mean_states() - base
    # The direction in which undefended training moves the answers: there the penalty has something to hold.
    directions = VECTORS["evil"].directions.clone()
    directions[LAYER] = torch.nn.functional.normalize(moved, dim=0)
    monkeypatch.setitem(VECTORS, "evil", replace(VECTORS["evil"], directions=directions))
    penalties = seen_in_training(tiny_base, tmp_path / "held", build(weight=5.0))
    assert penalties[0] == 0.0 and max(penalties) > 0.01
    with tiny_base.adapter(tmp_path / "held"):
        held = float((mean_states() - base) @ directions[LAYER])
    assert moved.norm() > 0.2 and held < 0.5 * float(moved.norm())


def test_an_axis_is_penalised_for_its_fall(tiny_base):
    rejection = build(traits="assistant_axis")
    expected = -VECTORS["assistant_axis"].directions[LAYER] / 0.5
    torch.testing.assert_close(rejection.rulers, expected[None])
    torch.testing.assert_close(build().rulers, VECTORS["evil"].directions[LAYER][None] / 0.5)


def test_the_key_depends_on_all_options():
    variants = [
        {}, {"weight": 2.0}, {"layer": 1}, {"traits": ("evil", "sycophancy")}, {"traits": ["sycophancy"]},
    ]  # fmt: skip
    assert len({json.dumps(build(**v).key()) for v in variants}) == len(variants)
    assert build(traits="evil").key() == build(traits=["evil"]).key() == build().key()


@pytest.mark.parametrize(("options", "said"), [
    ({"traits": ()}, r"traits: \[\] is not accepted"), ({"traits": ("evil", "evil")}, "different names"),
    ({"weight": 0.0}, r"weight: 0\.0 is not accepted; give a number above 0"),
    ({"layer": 0}, "layer: 0 is not accepted; give 1 to 4"),
    ({"layer": 5}, "layer: 5 is not accepted; give 1 to 4"),
])  # fmt: skip
def test_mistakes_are_named(options, said):
    with pytest.raises(UserError, match=said):
        build(**options)


def test_it_takes_the_base_models_own_vector(tiny_base, quick_store):
    rejection = DEFENCE.build(DefenceContext(tiny_base, quick_store))
    found = DefenceContext(tiny_base, quick_store).persona("evil")
    assert rejection.layers == (found.layer,)
    torch.testing.assert_close(rejection.rulers[0] * found.sd[found.layer], found.directions[found.layer])
