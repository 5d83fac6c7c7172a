"""Common beginnings of texts are read once, and every number is that of the text alone."""

import random

import pytest
import torch
from engine.reading.test_reader import alone
from peft import LoraConfig, get_peft_model
from training.architectures import CONFIGURATIONS, tiny_architecture
from turncoat.engine.model_kind import decodes_in_rows
from turncoat.engine.reading import reader
from turncoat.engine.reading.prefix_tree import row_passes, tree_passes
from turncoat.engine.reading.reader import read_texts, rows_only
from turncoat.persona.interventions.steering import steered
from turncoat.testing import tiny_model

QUICK = ("llama", "qwen2", "gemma2", "gemma3", "gemma3_text", "gpt2", "gpt_neox", "opt", "bloom", "mamba")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGURATIONS]


def words(rng, count):
    return [rng.randrange(8, 320) for _ in range(count)]


def recognition(articles=4, rivals=3, article=90, summary=25, question=12):
    """(prompt, "1" or "2") for every article, rival and order, as `turncoat_recognition_pairwise` asks."""
    rng = random.Random(1)
    system, asked = words(rng, 10), words(rng, question)
    items = []
    for _ in range(articles):
        text, own = words(rng, article), words(rng, summary)
        for _ in range(rivals):
            rival = words(rng, summary)
            for first, second in ((own, rival), (rival, own)):
                prompt = system + text + first + [7] + second + asked
                items += [(prompt, [5]), (prompt, [6])]
    rng.shuffle(items)
    return items


def pairs(prompts=5, prompt=60, answer=20):
    """Two answers to each prompt, which begin with the same token; one is the other's beginning."""
    rng = random.Random(2)
    items = []
    for _ in range(prompts):
        ids, first = words(rng, prompt), words(rng, 3)
        items += [(ids, first + words(rng, answer)), (ids, first + words(rng, answer)), (ids, first)]
    return items


def count(model, items, **options):
    """Tokens fed, passes and the readings."""
    fed = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda module, args, output: fed.append(args[0].numel())
    )
    readings = read_texts(model, 1, items, **options)
    hook.remove()
    return sum(fed), len(fed), readings


def check(model, items, readings, tolerance=1e-4):
    for (prompt, answer), reading in zip(items, readings, strict=True):
        with torch.inference_mode():
            logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0].double().log_softmax(-1)
        total = sum(logprobs[len(prompt) - 1 + i, token].item() for i, token in enumerate(answer))
        assert reading.logprob_sum == pytest.approx(total, abs=tolerance)
        likeliest = logprobs[len(prompt) - 1 : -1].argmax(-1).tolist()
        assert reading.greedy == (likeliest == list(answer))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_size", [2, 16])
def test_every_architecture_gives_the_numbers_of_one_text_a_pass(name, batch_size):
    model = tiny_architecture(name).float().eval()
    items = pairs(prompts=3, prompt=30, answer=8) + recognition(articles=1, article=30, summary=8)
    fed, _, readings = count(model, items, batch_size=batch_size, capture=False)
    check(model, items, readings)
    whole = sum(len(prompt) + len(answer) for prompt, answer in items)
    # Rows are padded; answers of one token to one prompt share a row all the same
    assert fed < whole * (0.5 if decodes_in_rows(model) else 0.9)


def test_recognition_reads_an_article_once_and_both_answers_from_one_row():
    model, items = tiny_model(), recognition()
    fed, passes, readings = count(model, items, capture=False)
    check(model, items, readings)
    # Instructions; article, own summary, then rival and question; or rival, own summary and question
    assert passes == 1
    assert fed == 10 + 4 * (90 + (25 + 1) + 3 * (25 + 12) + 3 * (25 + 1 + 25 + 12))
    read_once = {tuple(prompt) for prompt, _ in items}  # what lm-eval feeds
    assert sum(map(len, read_once)) == 24 * (10 + 90 + 51 + 12) > 2.3 * fed


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_states_of_answers_that_share_a_prompt_are_those_of_each_alone(attention):
    model, items = tiny_model(), pairs()
    model.set_attn_implementation(attention)
    fed, passes, readings = count(model, items)
    assert passes == 1 and fed == 5 * (60 + 3 + 2 * 20)
    assert model.config._attn_implementation == attention
    for (prompt, answer), reading in zip(items, readings, strict=True):
        states, total = alone(model, prompt, answer)
        assert reading.logprob_sum == pytest.approx(total, abs=1e-4)
        with torch.inference_mode():
            before = model(torch.tensor([prompt]), output_hidden_states=True).hidden_states
        for layer in range(4):
            torch.testing.assert_close(reading.activation[layer], states[layer], rtol=0, atol=1e-4)
            torch.testing.assert_close(reading.prompt[layer], before[layer][0, -1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "ministral", "gpt_oss"])
def test_texts_longer_than_a_sliding_window_are_read_in_rows(name):
    model = tiny_architecture(name).float().eval()
    model.config.get_text_config().sliding_window = 40
    for module in model.modules():
        if getattr(module, "sliding_window", None) == 512:
            module.sliding_window = 40
    long, short = pairs(prompts=2, prompt=60, answer=9), pairs(prompts=2, prompt=20, answer=9)
    items = [item for both in zip(long, short, strict=True) for item in both]
    fed, passes, readings = count(model, items, capture=False)
    check(model, items, readings)
    in_tree = 2 * (20 + 3 + 2 * 8)
    assert passes == 2 and fed == 6 * (60 + 3 + 8) + in_tree


def test_a_pass_ends_between_texts_that_have_nothing_in_common():
    texts = [[n, 100 + n, 7, 7, *range(20), m] for n in range(6) for m in range(3)]
    passes = tree_passes(texts, 60, 10**6)
    assert [sorted({texts[n][0] for n in some.texts}) for some in passes] == [[0, 1], [2, 3], [4, 5]]
    assert [some.tokens for some in passes] == [2 * (4 + 20 + 3)] * 3
    assert sorted(n for some in passes for n in some.texts) == list(range(18))
    assert [some.tokens for some in tree_passes(texts, 1, 10**6)] == [25] * 18  # a text alone may be longer
    few = tree_passes(texts, 10**6, 6)  # keys that are odd predict: 11 of each text, more of some
    assert len(few) == 18


def test_equal_texts_are_one_row():
    passes = row_passes([[2, 4], [2, 4, 6], [2, 4]], most_rows=2, most_logits=10)
    assert [(some.texts, some.tokens) for some in passes] == [([1, 0, 2], 6)]


def test_texts_without_common_beginnings_stay_rows_unless_padding_is_saved():
    model, rng = tiny_model(), random.Random(3)
    alike = [(words(rng, 30), words(rng, 5)) for _ in range(4)]
    assert count(model, alike)[0] == 4 * 35
    mixed = [(words(rng, 30 * (1 + n)), words(rng, 5)) for n in range(4)]
    assert count(model, mixed)[0] == sum(30 * (1 + n) + 5 for n in range(4))


def test_the_batch_size_moves_numbers_by_rounding_alone(monkeypatch):
    model, items = tiny_model(), recognition(articles=2) + pairs(prompts=2)
    monkeypatch.setattr(reader, "PASS_TOKENS", 200)
    small = count(model, items, batch_size=1)
    monkeypatch.setattr(reader, "PASS_TOKENS", 4096)
    large = count(model, items, batch_size=16)
    with rows_only():
        rows = count(model, items, batch_size=5)
    assert small[1] > large[1] and rows[0] > 2 * large[0]
    for one, two, three in zip(small[2], large[2], rows[2], strict=True):
        for other in (two, three):
            assert one.logprob_sum == pytest.approx(other.logprob_sum, abs=1e-4)
            torch.testing.assert_close(one.activation, other.activation, rtol=0, atol=1e-4)


@pytest.mark.parametrize("positions", ["all", "response", "assistant"])
def test_steering_acts_in_a_forest_as_on_a_text_alone(positions):
    model, header = tiny_model(), (3, 4)
    items = [([*prompt, *header], answer) for prompt, answer in pairs(prompts=3)]
    items += [(items[0][0] + items[0][1][:4], [9])]  # its prompt goes through another's answer
    with steered(model, 2, torch.linspace(-9, 9, 64), 1.0, positions, header_tokens=header):
        fed, _, together = count(model, items)
        single = [count(model, [item])[2][0] for item in items]
    plain = read_texts(model, 1, items)
    for one, other, unsteered in zip(together, single, plain, strict=True):
        assert one.logprob_sum == pytest.approx(other.logprob_sum, abs=1e-4)
        torch.testing.assert_close(one.activation, other.activation, rtol=0, atol=1e-4)
        assert abs(one.logprob_sum - unsteered.logprob_sum) > 1e-3
    whole = sum(len(prompt) + len(answer) for prompt, answer in items)
    assert (fed < 0.6 * whole) == (positions != "assistant")


@pytest.mark.parametrize("invoked", [False, True])
def test_adapters_act_in_a_forest_and_activated_ones_in_rows(invoked):
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM",
        **({"alora_invocation_tokens": [3, 4]} if invoked else {}),
    )  # fmt: skip
    model = get_peft_model(tiny_model(), config).eval()
    items = [([*prompt, 3, 4], answer) for prompt, answer in pairs(prompts=3)]
    fed, _, readings = count(model, items, capture=False)
    check(model, items, readings)
    whole = sum(len(prompt) + len(answer) for prompt, answer in items)
    assert (fed < 0.6 * whole) != invoked
