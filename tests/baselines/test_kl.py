"""KL to the frozen model: the divergence itself, nothing at the start, and a model that it really holds
back."""

import pytest
import torch
from baselines.penalty_pass import EXAMPLES, adapted, seen_in_training, slopes, training_pass
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover

discover()
KL = DEFENCES["kl"]
WEIGHT = 0.1


def penalty(**options):
    return KL.build(None, **options)


def answer_logits(model, tokenizer, example) -> torch.Tensor:
    """(answer tokens, vocabulary) of one row by itself, without padding."""
    prompt, answer = encode_example(tokenizer, example)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
    return logits[len(prompt) - 1 : -1]


def test_a_fresh_adapter_costs_nothing_and_frozen_predictions_are_the_base_models(tiny_base):
    with adapted(tiny_base, moved=0.0) as model:
        for direction in ("model_frozen", "frozen_model"):
            batch = training_pass(tiny_base, model, EXAMPLES)
            assert penalty(weight=1e6, direction=direction).penalty(batch).item() == 0.0
    own = torch.cat([answer_logits(tiny_base.model, tiny_base.tokenizer, e) for e in EXAMPLES])
    with adapted(tiny_base, moved=0.2) as model:
        batch = training_pass(tiny_base, model, EXAMPLES)
        frozen = batch.frozen().logits
    torch.testing.assert_close(frozen, own, atol=1e-4, rtol=1e-4)
    assert (batch.logits - own).abs().max() > 0.1 and not frozen.requires_grad


def test_it_is_the_mean_divergence_of_the_answer_tokens(tiny_base):
    with adapted(tiny_base, moved=0.2) as model:
        batch = training_pass(tiny_base, model, EXAMPLES)
        found = {d: penalty(direction=d).penalty(batch).item() for d in ("model_frozen", "frozen_model")}
        assert penalty().penalty(batch).item() == found["model_frozen"]
        moved = torch.cat([answer_logits(model, tiny_base.tokenizer, e) for e in EXAMPLES])
    own = torch.cat([answer_logits(tiny_base.model, tiny_base.tokenizer, e) for e in EXAMPLES])
    p, q = (logits.double().softmax(-1) for logits in (moved, own))
    assert len(p) == sum(len(encode_example(tiny_base.tokenizer, e)[1]) for e in EXAMPLES)
    expected = {
        "model_frozen": WEIGHT * float((p * (p / q).log()).sum() / len(p)),
        "frozen_model": WEIGHT * float((q * (q / p).log()).sum() / len(p)),
    }
    assert found == pytest.approx(expected, rel=1e-3)
    # so the test can tell them apart
    assert abs(expected["model_frozen"] / expected["frozen_model"] - 1) > 0.02


@pytest.mark.parametrize("direction", ["model_frozen", "frozen_model"])
def test_its_gradient_is_that_of_its_value_and_spares_the_base(tiny_base, direction):
    act = penalty(weight=1.0, direction=direction)
    with adapted(tiny_base, moved=0.2) as model:
        parameter = next(p for name, p in model.named_parameters() if "layers.1.mlp.up_proj.lora_B" in name)
        by_autograd, by_difference = slopes(
            lambda: act.penalty(training_pass(tiny_base, model, EXAMPLES[:2])), parameter
        )
        assert abs(by_autograd) > 1e-3 and by_autograd == pytest.approx(by_difference, rel=0.05)
        assert all(p.grad is None for name, p in model.named_parameters() if "lora_" not in name)


def test_it_grows_in_an_ordinary_finetune_and_less_under_a_large_weight(tiny_base, tmp_path):
    free = seen_in_training(tiny_base, tmp_path / "free", penalty(weight=1.0), acts=False)
    held = [p / 20 for p in seen_in_training(tiny_base, tmp_path / "held", penalty(weight=20.0))]
    assert free[0] == held[0] == 0.0 and free[-1] > 0.1 and sum(held[6:]) < 0.3 * sum(free[6:])


def test_what_is_refused_and_what_makes_another_adapter():
    for weight in (0, -0.1, float("nan"), float("inf"), "0.1", True):
        with pytest.raises(UserError, match=r"'kl', weight: .*above 0"):
            penalty(weight=weight)
    with pytest.raises(UserError, match=r"direction: 'both'.*model_frozen, frozen_model"):
        penalty(direction="both")
    keys = [penalty(), penalty(weight=0.2), penalty(direction="frozen_model")]
    assert len({str(act.key()) for act in keys}) == 3 and KL.settings == ("in_training",)
