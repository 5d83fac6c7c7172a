"""Reading fixed texts: the same numbers as a plain forward pass per text, whatever the batch."""

import math
import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from turncoat.engine.reading import reader
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.testing import tiny_model


def texts() -> list[tuple[list[int], list[int]]]:
    rng = random.Random(0)
    lengths = [(5, 3), (40, 1), (2, 30), (90, 12), (1, 1), (33, 7), (12, 12), (64, 40)]
    return [
        ([rng.randrange(320) for _ in range(p)], [rng.randrange(320) for _ in range(a)]) for p, a in lengths
    ]


def alone(model, prompt, answer):
    ids = torch.tensor([prompt + answer])
    with torch.inference_mode():
        out = model(ids, output_hidden_states=True)
    logprobs = torch.log_softmax(out.logits[0].double(), -1)
    total = sum(logprobs[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))
    return [state[0, len(prompt) :].mean(0) for state in out.hidden_states], total


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_equals_one_plain_pass_per_text(batch_size, attention):
    model = tiny_model()
    model.set_attn_implementation(attention)
    items = texts()
    for (prompt, answer), reading in zip(items, read_texts(model, 1, items, batch_size), strict=True):
        states, total = alone(model, prompt, answer)
        assert reading.n_tokens == len(answer) and reading.logprob_sum == pytest.approx(total, abs=1e-3)
        assert reading.logprob_mean == pytest.approx(total / len(answer), abs=1e-3)
        assert reading.activation.shape == (5, 64)
        for layer in range(4):
            torch.testing.assert_close(reading.activation[layer], states[layer], rtol=0, atol=1e-4)


def test_the_last_layer_is_taken_before_the_final_norm():
    model = tiny_model()
    prompt, answer = texts()[5]
    outputs = []
    handle = model.model.layers[-1].register_forward_hook(lambda module, args, output: outputs.append(output))
    reading = read_texts(model, 1, [(prompt, answer)])[0]
    handle.remove()
    torch.testing.assert_close(reading.activation[4], outputs[0][0, len(prompt) :].mean(0), rtol=0, atol=1e-5)


def test_an_empty_answer_has_no_reading_and_one_needs_a_prompt():
    model = tiny_model()
    items = texts()
    with_empty = read_texts(model, 1, [([3, 4], []), *items])
    assert with_empty[0].activation is None and math.isnan(with_empty[0].logprob_mean)
    assert math.isnan(with_empty[0].logprob_sum) and with_empty[0].n_tokens == 0
    for reading, expected in zip(with_empty[1:], read_texts(model, 1, items), strict=True):
        assert reading.logprob_sum == expected.logprob_sum
    assert read_texts(model, None, [([], [])])[0].n_tokens == 0
    with pytest.raises(UserError, match="text 1: the prompt has 0 tokens"):
        read_texts(tiny_model(), 1, [([3], [4]), ([], [4])])


def test_logits_are_computed_at_answer_positions_only(monkeypatch):
    model = tiny_model()
    rows = []
    handle = model.lm_head.register_forward_hook(
        lambda module, args, output: rows.append(tuple(output.shape))
    )
    items = texts()
    whole = read_texts(model, 1, items)
    assert rows == [(sum(len(answer) for _, answer in items), 320)]
    rows.clear()
    monkeypatch.setattr(reader, "LOGIT_BUDGET", 320 * 32)
    parts = read_texts(model, 1, items)
    handle.remove()
    assert len(rows) > 1
    # one answer alone is longer than the budget
    assert all(shape[0] <= 32 or shape[0] == 40 for shape in rows)
    for part, expected in zip(parts, whole, strict=True):
        assert part.logprob_sum == pytest.approx(expected.logprob_sum, abs=1e-3)
    assert model(torch.tensor([[3, 4, 5]])).logits.shape == (1, 3, 320)


def test_reads_through_adapters_also_on_the_output_embedding():
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, target_modules=["v_proj", "lm_head"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    model = get_peft_model(tiny_model(), config)
    model.train()
    items = texts()
    adapted = read_texts(model, 1, items)
    assert model.training
    model.eval()
    with model.disable_adapter():
        plain = read_texts(model, 1, items)
    for (prompt, answer), reading, base in zip(items, adapted, plain, strict=True):
        states, total = alone(model, prompt, answer)
        assert reading.logprob_sum == pytest.approx(total, abs=1e-3)
        torch.testing.assert_close(reading.activation[3], states[3], rtol=0, atol=1e-4)
        assert abs(base.logprob_sum - reading.logprob_sum) > 1e-2


def test_a_log_probability_that_is_not_a_number_is_an_error():
    model = tiny_model()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match="log-probability of an answer is not a number"):
        read_texts(model, 1, [((3, 4), (5, 6))])
