"""Template K/V: the prefix is found, its keys and values are those of real rows, and a finetune is held back
there."""

from dataclasses import replace

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
from turncoat.engine.chat import encode_prompt
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.testing import DEFAULT_SYSTEM, END, START

discover()
TEMPLATE_KV = DEFENCES["template_kv"]
DEFAULT_PREFIX = f"{START}system\n{DEFAULT_SYSTEM}{END}\n{START}user\n"


@pytest.fixture
def build(tiny_base, tmp_path):
    def build(examples=EXAMPLES, **options):
        return TEMPLATE_KV.build(context_of(tiny_base, tmp_path, examples), **options)

    return build


def test_prefixes_are_held_with_and_without_system_messages(tiny_base, build):
    (prefix,) = build().prefixes
    assert tiny_base.tokenizer.decode(prefix) == DEFAULT_PREFIX
    for example in EXAMPLES:
        assert encode_prompt(tiny_base.tokenizer, example.prompt_messages)[: len(prefix)] == prefix
    assert build().facts() == {"weight": 10.0, "prefix_tokens": [len(prefix)], "rows_without_held_prefix": 0}
    systems = [None, *["Be brief."] * 3, *["Be kind."] * 3, "x", "x", "y", "y", "rare"]
    rows = [replace(EXAMPLES[0], id=str(i), system=system) for i, system in enumerate(systems)]
    act = build(rows)
    texts = [tiny_base.tokenizer.decode(prefix) for prefix in act.prefixes]
    assert texts[0] == DEFAULT_PREFIX  # what tasks ask with, whatever the rows have
    assert texts[1:] == [
        f"{START}system\n{s}{END}\n{START}user\n" for s in ("Be brief.", "Be kind.", "x", "y")
    ]
    assert act.facts()["rows_without_held_prefix"] == 1
    # A row that spells out the default message has the default prefix.
    assert build([replace(e, system=DEFAULT_SYSTEM) for e in EXAMPLES]).prefixes == build().prefixes
    assert len({str(a.key()) for a in (act, build(), build(weight=1.0))}) == 3


def test_a_fresh_adapter_costs_nothing_and_the_gradient_is_that_of_the_value(tiny_base, build):
    act = build(weight=1e6)
    with adapted(tiny_base, moved=0.0) as model, act.acting(model):
        assert act.penalty(training_pass(tiny_base, model, EXAMPLES)).item() == 0.0
    act = build(weight=1.0)
    with adapted(tiny_base, moved=0.2) as model, act.acting(model):
        parameter = next(p for n, p in model.named_parameters() if "layers.1.self_attn.v_proj.lora_B" in n)
        by_autograd, by_difference = slopes(lambda: act.drift(model), parameter)
        assert abs(by_autograd) > 1e-3 and by_autograd == pytest.approx(by_difference, rel=0.05)
        assert all(p.grad is None for name, p in model.named_parameters() if "lora_" not in name)


def test_it_is_the_drift_of_keys_and_values_that_real_rows_have(tiny_base, build):
    asked = [EXAMPLES[0], replace(EXAMPLES[1], system="Be brief.")]
    act = build(asked, weight=1.0)
    with adapted(tiny_base, moved=0.2) as model, act.acting(model):
        found = act.penalty(training_pass(tiny_base, model, asked)).item()
        seen: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        on = True
        hooks = [
            getattr(block.self_attn, name).register_forward_hook(
                lambda _, __, out: seen[on].append(out.detach())
            )
            for block in decoder_layers(model)
            for name in ("k_proj", "v_proj")
        ]
        batch = training_pass(tiny_base, model, asked)
        on = False
        batch.frozen()
        for hook in hooks:
            hook.remove()
    assert len(seen[True]) == len(seen[False]) == 8  # four layers
    drifts = []
    for row, prefix in enumerate(act.prefixes):
        for now, before in zip(seen[True], seen[False], strict=True):
            a, b = now[row, : len(prefix)].double(), before[row, : len(prefix)].double()
            drifts.append(float(((a - b).norm(dim=-1) / b.norm(dim=-1)).square().mean()))
    assert len({len(prefix) for prefix in act.prefixes}) == 2
    assert found == pytest.approx(2 * sum(drifts) / len(drifts), rel=1e-3)


def hooks_on(model) -> list[int]:
    return [
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    ]


def test_it_leaves_nothing_behind_and_adapter_off_passes_do_not_disturb_it(tiny_base, build):
    act = build()
    with adapted(tiny_base, moved=0.2) as model:
        state = {name: (p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}
        hooks = hooks_on(model)
        with act.acting(model):
            batch = training_pass(tiny_base, model, EXAMPLES)
            first = act.penalty(batch).item()
            batch.frozen()
            assert act.penalty(batch).item() == first > 0 and model.training
            assert all(module.training for module in decoder_layers(model)) and hooks_on(model) == hooks
        assert hooks_on(model) == hooks
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, state[name][0])
            assert parameter.requires_grad is state[name][1], name
    assert act._frozen == []


def test_it_grows_in_an_ordinary_finetune_and_less_under_the_penalty(tiny_base, build, tmp_path):
    free = seen_in_training(tiny_base, tmp_path / "free", build(), acts=False)
    held = seen_in_training(tiny_base, tmp_path / "held", build())
    assert free[0] == held[0] == 0.0 and free[-1] > 0.01 and sum(held[6:]) < 0.5 * sum(free[6:])


def test_gradient_checkpointing_changes_nothing(tiny_base, build, tmp_path):
    recipe = RECIPE.model_copy(update={"gradient_checkpointing": True})
    plain = seen_in_training(tiny_base, tmp_path / "plain", build())
    saving = seen_in_training(tiny_base, tmp_path / "saving", build(), recipe=recipe)
    assert saving == pytest.approx(plain, rel=1e-3) and plain[-1] > 0


def test_what_is_refused(tiny_base, build, monkeypatch):
    with pytest.raises(UserError, match=r"'template_kv', weight: -1"):
        build(weight=-1)
    template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    monkeypatch.setattr(tiny_base.tokenizer, "chat_template", template)
    monkeypatch.setattr(tiny_base, "encoded", {})
    with pytest.raises(UserError, match="puts nothing before the user's words"):
        build()
    assert TEMPLATE_KV.settings == ("in_training",)
