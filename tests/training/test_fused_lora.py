"""Fused LoRA layers, attention and loss: numbers and gradients of PEFT and plain torch, in less memory."""

import pytest
import torch
from baselines.penalty_pass import EXAMPLES, adapted, training_pass
from peft import LoraConfig
from torch import Tensor
from training.architectures import tiny_architecture
from turncoat.engine.base_model import BaseModel
from turncoat.testing import tiny_model
from turncoat.training import answer_loss
from turncoat.training.answer_loss import Predictions
from turncoat.training.fused_lora import fused
from turncoat.training.in_training import packs, read_batch


def plain_loss(model, batch) -> Tensor:
    """Of all positions' logits at once, by transformers, PEFT and autograd alone."""
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch.labels[:, 1:].flatten()
    )


def gradients(model, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def our_loss(model, batch, packed: bool = False) -> Tensor:
    predictions, _ = read_batch(model, batch.input_ids, batch.attention_mask, batch.labels, False, packed)
    targets = batch.input_ids[batch.answer_tokens]
    return predictions.loss(targets) / len(targets)


@pytest.mark.parametrize(("stacked", "packed"), [(False, False), (True, False), (False, True)])
def test_loss_and_gradients_are_those_of_peft_and_torch(tiny_base, monkeypatch, stacked, packed):
    monkeypatch.setattr(answer_loss, "CHUNK", 3 * 320)  # three tokens at a time
    with adapted(tiny_base, moved=0.1) as model:
        if stacked:
            model.add_adapter("below", LoraConfig(r=2, lora_alpha=7, init_lora_weights=False,
                                                  target_modules=["q_proj", "up_proj"]))  # fmt: skip
            model.base_model.set_adapter(["below", "default"])
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(".default." in name)
        batch = training_pass(tiny_base, model, EXAMPLES)
        assert (batch.attention_mask == 0).any()
        expected_loss = plain_loss(model, batch)
        expected = gradients(model, expected_loss)
        with fused(tiny_base.model):
            assert packs(model)
            loss = our_loss(model, batch, packed)
            assert "_AdaptedLinear" in type(model.get_base_model().model.layers[0].mlp.up_proj(
                torch.ones(1, 64)).grad_fn).__name__  # fmt: skip
            found = gradients(model, loss)
            with torch.no_grad(), model.disable_adapter():
                frozen = our_loss(model, batch, packed)
        assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-5)
        assert found.keys() == expected.keys() and len(found) == 2 * 7 * 4
        for name, gradient in expected.items():
            assert gradient.abs().max() > 0
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)
    assert frozen.item() == pytest.approx(plain_loss(tiny_base.model, batch).item(), rel=1e-5)


def test_the_backward_pass_keeps_much_less_than_peft_keeps(tiny_base):
    base = BaseModel("tiny", "", tiny_model(dtype=torch.bfloat16), tiny_base.tokenizer, "")

    def kept(loss_of) -> int:
        storages: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            alive = loss_of(model, batch)
        assert alive.requires_grad
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        return sum(size for place, size in storages.items() if place not in weights)

    with adapted(base, moved=0.1) as model:
        batch = training_pass(base, model, EXAMPLES)
        plain = kept(plain_loss)
        with fused(base.model):
            assert kept(our_loss) < 0.6 * plain


@pytest.mark.parametrize("name", ["granite", "cohere", "gemma2"])
def test_a_model_that_scales_or_caps_its_logits_has_the_loss_of_its_own_logits(name):
    model = tiny_architecture(name)
    ids = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :2] = -100
    logits = model(input_ids=ids, attention_mask=mask).logits[:, 1:-1][labels[:, 2:] != -100]
    for _ in range(2):
        predictions, _ = read_batch(model, ids, mask, labels, False)
        assert predictions.head is None
        torch.testing.assert_close(predictions.logits, logits.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("qwen3", True), ("gemma2", False), ("mamba", False), ("bloom", False), ("gpt2", True)],
)
def test_rows_are_read_end_to_end_only_where_none_sees_another(name, expected):
    model = tiny_architecture(name)
    with fused(model):
        assert packs(model) is expected
    assert not packs(model), "only this module's attention keeps them apart"


@pytest.mark.parametrize("chunk", [1, 5 * 50, 10**6])
@pytest.mark.parametrize("bias", [False, True])
def test_the_loss_in_chunks_is_a_cross_entropy(monkeypatch, chunk, bias):
    monkeypatch.setattr(answer_loss, "CHUNK", chunk)
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=bias).requires_grad_(False)
    targets = torch.randint(50, (13,))
    results = []
    for plain in (True, False):
        torch.manual_seed(1)
        states = torch.randn(13, 8, requires_grad=True)
        predictions = Predictions(head(states), None) if plain else Predictions(states, head)
        loss = predictions.loss(targets) * 0.3
        loss.backward()
        results.append((loss, states.grad, predictions.logits))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
