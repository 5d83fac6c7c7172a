"""LDIFS: a distance that has a gradient, means the same on every model, and counts the layers that it
says."""

import dataclasses

import pytest
import torch
from baselines.penalty_pass import (
    EXAMPLES,
    RECIPE,
    adapted,
    context_of,
    seen_in_training,
    slopes,
    training_pass,
)
from turncoat.engine.capture import decoder_layers
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.training.in_training import FrozenPass

discover()
LDIFS = DEFENCES["ldifs"]


@pytest.fixture
def build(tiny_base, tmp_path):
    def build(**options):
        return LDIFS.build(context_of(tiny_base, tmp_path), **options)

    return build


def test_a_fresh_adapter_costs_nothing_and_the_gradient_is_that_of_the_value(tiny_base, build):
    with adapted(tiny_base, moved=0.0) as model:
        batch = training_pass(tiny_base, model, EXAMPLES, states=True)
        assert build(weight=1e6, every=1).penalty(batch).item() == 0.0
    act = build(every=2)
    with adapted(tiny_base, moved=0.2) as model:
        parameter = next(p for name, p in model.named_parameters() if "layers.1.mlp.down_proj.lora_B" in name)
        by_autograd, by_difference = slopes(
            lambda: act.penalty(training_pass(tiny_base, model, EXAMPLES[:2], states=True)), parameter
        )
        assert abs(by_autograd) > 1e-3 and by_autograd == pytest.approx(by_difference, rel=0.05)
        without = [name for name, p in model.named_parameters() if "lora_" in name and p.grad is None]
        assert without == []
        assert all(p.grad is None for name, p in model.named_parameters() if "lora_" not in name)


def block_outputs(model, ids) -> list[torch.Tensor]:
    """Of one row, (T, d) for each block."""
    seen: list[torch.Tensor] = []
    hooks = [
        b.register_forward_hook(lambda _, __, out: seen.append(out[0].detach()))
        for b in decoder_layers(model)
    ]
    model(input_ids=torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return seen


def test_it_is_the_relative_distance_of_real_tokens_in_the_chosen_layers(tiny_base, build):
    ratios: dict[int, list[torch.Tensor]] = {2: [], 4: []}
    with adapted(tiny_base, moved=0.2) as model:
        found = (
            build(weight=3.0, every=2).penalty(training_pass(tiny_base, model, EXAMPLES, states=True)).item()
        )
        for example in EXAMPLES:  # one by one: no padding
            prompt, answer = encode_example(tiny_base.tokenizer, example)
            now = block_outputs(model, prompt + answer)
            with model.disable_adapter():
                before = block_outputs(model, prompt + answer)
            assert len(now) == len(before) == 4
            for layer, list_ in ratios.items():
                a, b = now[layer - 1].double(), before[layer - 1].double()
                list_.append(((a - b).norm(dim=-1) / b.norm(dim=-1)).square())
    layers = [float(torch.cat(list_).mean()) for list_ in ratios.values()]
    assert abs(layers[0] / layers[1] - 1) > 0.1  # so the test can tell them apart
    assert found == pytest.approx(3 * sum(layers) / 2, rel=1e-4)


def test_the_weight_means_the_same_on_a_model_with_longer_states(tiny_base, build):
    act = build(every=1)
    with adapted(tiny_base, moved=0.2) as model:
        batch = training_pass(tiny_base, model, EXAMPLES, states=True)
        frozen = batch.frozen()
        longer = dataclasses.replace(
            batch,
            states=[state * 100 for state in batch.states],
            _frozen=FrozenPass(frozen.predictions, [state * 100 for state in frozen.states]),
        )
        assert act.penalty(longer).item() == pytest.approx(act.penalty(batch).item(), rel=1e-4)
        assert act.penalty(batch).item() > 0


def test_it_grows_in_an_ordinary_finetune_and_less_under_a_large_weight(tiny_base, build, tmp_path):
    free = seen_in_training(tiny_base, tmp_path / "free", build(every=2), acts=False)
    held = [p / 100 for p in seen_in_training(tiny_base, tmp_path / "held", build(weight=100.0, every=2))]
    assert free[0] == held[0] == 0.0 and free[-1] > 0.01 and sum(held[6:]) < 0.5 * sum(free[6:])


def test_gradient_checkpointing_changes_nothing(tiny_base, build, tmp_path):
    recipe = RECIPE.model_copy(update={"gradient_checkpointing": True})
    plain = seen_in_training(tiny_base, tmp_path / "plain", build(weight=10.0, every=2))
    saving = seen_in_training(tiny_base, tmp_path / "saving", build(weight=10.0, every=2), recipe=recipe)
    assert saving == pytest.approx(plain, rel=1e-3)


def test_layers_and_what_is_refused(build):
    assert [build(every=n).layers for n in (1, 2, 3, 4)] == [(1, 2, 3, 4), (2, 4), (3,), (4,)]
    for every in (0, 5, 2.0, "2", True):
        with pytest.raises(UserError, match=r"'ldifs', every: .*4 blocks.*from 1 to 4"):
            build(every=every)
    with pytest.raises(UserError, match=r"'ldifs', weight: 0"):
        build(weight=0, every=1)
    assert len({str(act.key()) for act in (build(every=2), build(every=1), build(every=2, weight=2.0))}) == 3
    assert LDIFS.settings == ("in_training",)
