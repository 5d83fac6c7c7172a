"""The sampler: equal to `generate` where both are greedy, exact whatever the batch, honest about what it
computes."""

import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare
from transformers import MistralConfig, MistralForCausalLM
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.decoding.token_choice import choose_tokens
from turncoat.engine.reading.reader import read_texts
from turncoat.engine.seeds import sample_seed, uniforms
from turncoat.errors import UserError
from turncoat.testing import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
LENGTHS = (5, 17, 40, 63, 64, 90, 127, 130, 150)


def prompt_of(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(random.Random(f"{length} {seed}").randrange(2, 320) for _ in range(length))


def requests_for(lengths=LENGTHS, samples=3, new_tokens=24) -> list[SampleRequest]:
    return [
        SampleRequest(
            prompt_of(length), seed=sample_seed(7, "test", str(length), index), max_new_tokens=new_tokens,
            temperature=(1.0, 0.8)[index % 2], top_p=(1.0, 1.0, 0.9)[index % 3], key=(length, index),
        )
        for length in lengths
        for index in range(samples)
    ]  # fmt: skip


def with_lora(model, seed=1):
    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def assert_same(result, reference):
    assert result.token_ids == reference.token_ids
    assert (result.text, result.finish) == (reference.text, reference.finish)
    assert result.logprob_sum == reference.logprob_sum
    if reference.activation is None:
        assert result.activation is None
    else:
        assert torch.equal(result.activation, reference.activation)


class Forwards:
    """Shapes (rows, tokens) of every pass through a model."""

    def __init__(self, model):
        self.shapes: list[tuple[int, int]] = []
        model.get_decoder().register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, module, args, kwargs):
        self.shapes.append(tuple(kwargs["input_ids"].shape))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_greedy_equals_generate(attention):
    model = tiny_model()
    model.set_attn_implementation(attention)
    requests = [SampleRequest(prompt_of(n), None, 30, 1.0, key=n) for n in (5, 64, 90)]
    for request, result in zip(requests, Sampler(model, TOKENIZER).run(requests), strict=True):
        ids = torch.tensor([request.prompt_ids])
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=30
        )
        new = expected[0, ids.shape[1] :].tolist()
        assert result.token_ids == [token for token in new if token != TOKENIZER.eos_token_id]
        assert result.finish == ("stop" if TOKENIZER.eos_token_id in new else "length")
    assert model.config._attn_implementation == attention


def test_zero_is_greedy_and_a_limit_gives_the_same_samples():
    model = tiny_model()
    greedy, seeded = Sampler(model, TOKENIZER).run(
        [SampleRequest(prompt_of(9), None, 20, 0.7), SampleRequest(prompt_of(9), 5, 20, 0.0)]
    )
    assert_same(seeded, greedy)
    model = tiny_model()
    requests = requests_for(samples=4)
    full = {result.key: result for result in Sampler(model, TOKENIZER, 8).run(requests)}
    for result in Sampler(model, TOKENIZER, 8).run(requests[: len(requests) // 3]):
        assert_same(result, full[result.key])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("dtype", "lora"), [(torch.float32, False), (torch.float32, True), (torch.bfloat16, False)]
)
def test_batch_size_order_and_companions_change_no_bit(dtype, lora, attention):
    model = tiny_model(dtype=dtype)
    model.set_attn_implementation(attention)
    if lora:
        model = with_lora(model)
    requests = requests_for()
    reference = {result.key: result for result in Sampler(model, TOKENIZER, 1, capture=True).run(requests)}
    assert len({tuple(result.token_ids) for result in reference.values()}) > len(LENGTHS)
    assert {result.finish for result in reference.values()} == {"stop", "length"}
    for batch_size, order, refill in ((3, None, False), (4, 1, False), (16, None, False), (16, 2, True)):
        shuffled = list(requests)
        if order is not None:
            random.Random(order).shuffle(shuffled)
        results = Sampler(model, TOKENIZER, batch_size, capture=True, refill=refill).run(shuffled)
        assert [result.key for result in results] == [request.key for request in shuffled]
        for result in results:
            assert_same(result, reference[result.key])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_exact_where_many_query_heads_share_one_key_head(attention):
    """Here MKL's float32 attention gives a row of 150 tokens other bits over 256 columns than over 192."""
    model = tiny_model(kv_heads=1)
    model.set_attn_implementation(attention)
    requests = requests_for(lengths=(140, 150, 200, 230), samples=2)
    reference = Sampler(model, TOKENIZER, 1, capture=True).run(requests)
    for result, expected in zip(
        Sampler(model, TOKENIZER, 8, capture=True).run(requests), reference, strict=True
    ):
        assert_same(result, expected)


def test_row_multiple_of_the_whole_batch_is_exact_too():
    model = tiny_model()
    requests = requests_for(lengths=(5, 90))
    reference = Sampler(model, TOKENIZER, 1).run(requests)
    forwards = Forwards(model)
    results = Sampler(model, TOKENIZER, 16, row_multiple=16).run(requests)
    for result, expected in zip(results, reference, strict=True):
        assert_same(result, expected)
    assert {rows for rows, tokens in forwards.shapes if tokens == 1} == {16}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_activation_is_what_a_reader_of_the_same_tokens_sees(attention):
    model = tiny_model()
    model.set_attn_implementation(attention)
    requests = requests_for(new_tokens=25)
    requests += [replace(request, stop=("e",), key=("stop", *request.key)) for request in requests[:6]]
    results = Sampler(model, TOKENIZER, 8, capture=True).run(requests)
    readings = read_texts(
        model,
        TOKENIZER.pad_token_id,
        [(q.prompt_ids, r.token_ids) for q, r in zip(requests, results, strict=True)],
    )
    seen = Counter()
    for request, result, reading in zip(requests, results, readings, strict=True):
        by_eos = result.finish == "stop" and "e" not in TOKENIZER.decode(result.token_ids)
        seen[("eos" if by_eos else result.finish, bool(result.token_ids))] += 1
        if not result.token_ids:
            assert result.activation is None and reading.activation is None
            continue
        assert result.activation.shape == (5, 64) and result.activation.dtype == torch.float32
        torch.testing.assert_close(result.activation, reading.activation, rtol=0, atol=1e-4)
        if result.finish == "length":  # no end-of-text token in the sum
            assert result.logprob_sum == pytest.approx(reading.logprob_sum, abs=1e-3)
        assert request.max_new_tokens >= len(result.token_ids)
    assert seen[("length", True)] > 2 and seen[("eos", True)] > 2 and seen[("stop", True)] > 2


def test_activation_index_convention():
    model = tiny_model()
    request = SampleRequest(prompt_of(12), 3, 6, 1.0)
    result = Sampler(model, TOKENIZER, capture=True).run([request])[0]
    assert len(result.token_ids) > 1
    last_block = []
    handle = model.model.layers[-1].register_forward_hook(
        lambda module, args, output: last_block.append(output)
    )
    ids = torch.tensor([[*request.prompt_ids, *result.token_ids]])
    with torch.inference_mode():
        hidden = model(ids, output_hidden_states=True).hidden_states
    handle.remove()
    for layer in range(4):
        torch.testing.assert_close(result.activation[layer], hidden[layer][0, 12:].mean(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(result.activation[4], last_block[0][0, 12:].mean(0), rtol=0, atol=1e-4)
    assert (
        result.activation[4] - hidden[4][0, 12:].mean(0)
    ).abs().max() > 0.1  # that one is after the final norm


def test_each_distinct_prompt_is_prefilled_once_and_alone():
    model = tiny_model()
    forwards = Forwards(model)
    requests = requests_for(lengths=(5, 17, 90), samples=7)
    random.Random(0).shuffle(requests)
    Sampler(model, TOKENIZER, 4).run(requests)
    prefills = [shape for shape in forwards.shapes if shape[1] > 1]
    assert sorted(prefills) == [(1, 5), (1, 17), (1, 90)]


@pytest.mark.parametrize("refill", [False, True])
def test_finished_rows_are_not_computed(refill):
    model = tiny_model()
    requests = requests_for(lengths=(5, 40), samples=16)
    # An answer is fed once per token, but for the last one of an answer cut by length: nobody needs what
    # follows.
    steps = {
        result.key: len(result.token_ids) - (result.finish == "length")
        for result in Sampler(model, TOKENIZER, 4, row_multiple=4).run(requests)
    }
    forwards = Forwards(model)
    Sampler(model, TOKENIZER, 16, refill=refill, row_multiple=4).run(requests)
    decoded = [rows for rows, tokens in forwards.shapes if tokens == 1]
    assert all(rows % 4 == 0 and rows <= 16 for rows in decoded)
    if not refill:
        groups = [[steps[request.key] for request in requests[start : start + 16]] for start in (0, 16)]
        active = [sum(step < total for total in group) for group in groups for step in range(max(group))]
        assert decoded == [-(-rows // 4) * 4 for rows in active]
        assert sum(decoded) < 0.8 * sum(16 for _ in active)
    else:
        assert sum(decoded) < sum(steps.values()) + 4 * len(decoded)


def test_refilling_needs_fewer_passes():
    requests = requests_for(lengths=(5, 40), samples=16)
    passes = {}
    for refill in (False, True):
        model = tiny_model()
        forwards = Forwards(model)
        Sampler(model, TOKENIZER, 8, refill=refill).run(requests)
        passes[refill] = len(forwards.shapes)
    assert passes[True] < passes[False]


def test_samples_follow_the_model_distribution():
    model = tiny_model()
    prompt = prompt_of(11)
    requests = [SampleRequest(prompt, sample_seed(0, "chi", "p", i), 1, 1.0) for i in range(4000)]
    results = Sampler(model, TOKENIZER, 64).run(requests)
    with torch.inference_mode():
        expected = torch.softmax(model(torch.tensor([prompt])).logits[0, -1].double(), -1).numpy()
    counts = np.bincount(
        [r.token_ids[0] if r.token_ids else TOKENIZER.eos_token_id for r in results], minlength=320
    )
    common = expected * 4000 >= 5
    assert common.sum() > 20
    observed = [*counts[common], counts[~common].sum()]
    predicted = [*(expected[common] * 4000), expected[~common].sum() * 4000]
    assert chisquare(observed, predicted).pvalue > 0.01
    for result in results[:50]:
        token = result.token_ids[0] if result.token_ids else TOKENIZER.eos_token_id
        assert result.logprob_sum == pytest.approx(np.log(expected[token]), abs=1e-4)


@pytest.mark.parametrize(
    "settings", [{"top_k": 5}, {"top_p": 0.5}, {"top_k": 8, "top_p": 0.6}, {"temperature": 0.5}]
)
def test_filters_restrict_and_reshape_the_distribution(settings):
    model = tiny_model()
    prompt = prompt_of(11)
    temperature, top_k, top_p = (
        settings.get(k, v) for k, v in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0))
    )
    requests = [
        SampleRequest(prompt, sample_seed(1, "filter", "p", i), 1, temperature, top_p=top_p, top_k=top_k)
        for i in range(2000)
    ]
    results = Sampler(model, TOKENIZER, 64).run(requests)
    with torch.inference_mode():
        scores = model(torch.tensor([prompt])).logits[0, -1].double().numpy()
    weights = np.exp((scores - scores.max()) / temperature)
    order = np.argsort(-weights)
    weights[order[top_k or len(order) :]] = 0
    weights /= weights.sum()
    before = np.cumsum(weights[order]) - weights[order]
    weights[order[before >= top_p]] = 0
    weights /= weights.sum()
    counts = np.bincount(
        [r.token_ids[0] if r.token_ids else TOKENIZER.eos_token_id for r in results], minlength=320
    )
    assert counts[weights == 0].sum() == 0
    common = weights * 2000 >= 5
    rest = [(counts[~common].sum(), weights[~common].sum() * 2000)] if weights[~common].sum() > 0 else []
    observed, predicted = zip(
        *[*zip(counts[common], weights[common] * 2000, strict=True), *rest], strict=True
    )
    assert chisquare(observed, predicted).pvalue > 0.01


def test_the_extreme_draws_never_choose_an_impossible_token():
    scores = torch.tensor([[float("-inf"), 1.0, 2.0, 0.0, float("-inf")]])
    plain, best_two = SampleRequest((1,), 0, 1, 1.0), SampleRequest((1,), 0, 1, 1.0, top_k=2)
    largest = 1 - 2.0**-53
    assert choose_tokens(scores, [plain], [0.0])[0] == [1]
    assert choose_tokens(scores, [plain], [largest])[0] == [3]
    assert choose_tokens(scores, [plain], [1.0])[0] == [3]  # where a draw times the total mass may round to
    assert choose_tokens(scores, [best_two], [0.0])[0] == [1]
    assert choose_tokens(scores, [best_two], [largest])[0] == [2]
    tokens, logprobs = choose_tokens(scores.repeat(3, 1), [plain] * 3, [0.0, None, largest])
    assert tokens == [1, 2, 3]
    assert logprobs == pytest.approx(torch.log_softmax(scores[0].double(), -1)[1:4].tolist())


def test_stop_strings_cut_the_text_and_end_the_answer():
    model = tiny_model()
    plain = Sampler(model, TOKENIZER).run([replace(r, top_p=1.0) for r in requests_for(samples=4)])
    # Random tokens decode to many broken characters; a stop string is looked for between them, and not at the
    # start.
    stop = next(found[0] for result in plain if (found := re.search("(?<=.)[^\ufffd]{4}", result.text)))
    assert all(stop not in TOKENIZER.decode([token]) for token in range(320))  # it spans several tokens
    requests = [replace(r, top_p=1.0, stop=("", "never in it", stop)) for r in requests_for(samples=4)]
    results = Sampler(model, TOKENIZER).run(requests)
    stopped = 0
    for result, whole in zip(results, plain, strict=True):
        assert result.text == whole.text.split(stop)[0]
        if stop in whole.text:
            stopped += 1
            assert result.finish == "stop" and result.token_ids == whole.token_ids[: len(result.token_ids)]
            assert stop in TOKENIZER.decode(result.token_ids)
            assert stop not in TOKENIZER.decode(result.token_ids[:-1])
        else:
            assert_same(result, whole)
    assert stopped > 0


def test_a_special_token_given_as_a_stop_string_stops():
    model = tiny_model()
    model.generation_config.eos_token_id = [0, 2]
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    requests = requests_for(lengths=(5, 40), new_tokens=60)
    stopped = Sampler(model, tokenizer).run([replace(r, stop=("<|im_end|>",)) for r in requests])
    assert any(result.token_ids[-1:] == [1] for result in stopped)
    for result in stopped:
        assert result.token_ids.count(1) == (result.token_ids[-1:] == [1]) and 0 not in result.token_ids
        assert 2 not in result.token_ids and "<|im_end|>" not in result.text


def test_results_come_as_they_complete_and_nothing_gives_nothing():
    requests = requests_for(lengths=(5, 40), samples=4)
    seen = []
    results = Sampler(tiny_model(), TOKENIZER, 4).run(requests, seen.append)
    assert sorted(map(id, seen)) == sorted(map(id, results))
    assert [result.key for result in seen] != [result.key for result in results]
    sampler = Sampler(tiny_model(), TOKENIZER, capture=True)
    assert sampler.run([]) == []
    empty, one = sampler.run([SampleRequest(prompt_of(5), 1, 0, 1.0), SampleRequest(prompt_of(5), 1, 1, 1.0)])
    assert (empty.token_ids, empty.text, empty.finish, empty.activation) == ([], "", "length", None)
    assert len(one.token_ids) == 1 and one.activation is not None


def test_works_under_an_adapter_and_leaves_no_trace():
    base = tiny_model()
    requests = requests_for(lengths=(5, 90))
    plain = Sampler(base, TOKENIZER, capture=True).run(requests)
    adapted = with_lora(base)
    adapted.train()
    state = torch.get_rng_state()
    changed = Sampler(adapted, TOKENIZER, capture=True).run(requests)
    assert torch.equal(torch.get_rng_state(), state) and adapted.training
    assert base.config._attn_implementation == "sdpa"
    assert [r.token_ids for r in changed] != [r.token_ids for r in plain]
    with adapted.disable_adapter():
        for result, expected in zip(
            Sampler(adapted, TOKENIZER, capture=True).run(requests), plain, strict=True
        ):
            assert_same(result, expected)
    readings = read_texts(
        adapted, 1, [(q.prompt_ids, r.token_ids) for q, r in zip(requests, changed, strict=True)]
    )
    for result, reading in zip(changed, readings, strict=True):
        torch.testing.assert_close(result.activation, reading.activation, rtol=0, atol=1e-4)


def test_an_activated_lora_acts_on_every_answer_token_as_in_generate():
    base = tiny_model()
    torch.manual_seed(2)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM",
        alora_invocation_tokens=[11, 12],
    )  # fmt: skip
    model = get_peft_model(base, config)
    invoked, ordinary = (*prompt_of(20), 11, 12, 5), prompt_of(20)
    requests = [SampleRequest(ids, None, 20, 0.0, key=i) for i, ids in enumerate((invoked, ordinary))]
    results = Sampler(model, TOKENIZER, capture=True).run(requests)
    for request, result in zip(requests, results, strict=True):
        ids = torch.tensor([request.prompt_ids])
        expected = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20
        )
        assert result.token_ids == [
            t for t in expected[0, ids.shape[1] :].tolist() if t != TOKENIZER.eos_token_id
        ]
    readings = read_texts(
        model, 1, [(q.prompt_ids, r.token_ids) for q, r in zip(requests, results, strict=True)]
    )
    for result, reading in zip(results, readings, strict=True):
        torch.testing.assert_close(result.activation, reading.activation, rtol=0, atol=1e-4)
    with model.disable_adapter():
        without = Sampler(model, TOKENIZER, capture=True).run(requests)
    assert not torch.equal(results[0].activation, without[0].activation)
    assert_same(results[1], without[1])


def test_a_sliding_window_is_respected():
    torch.manual_seed(0)
    shape = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = MistralForCausalLM(
        MistralConfig(**shape, **heads, sliding_window=48, eos_token_id=1, pad_token_id=1)
    ).eval()
    ids = torch.tensor([prompt_of(30)])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=18)
    result = Sampler(model, TOKENIZER, capture=True).run([SampleRequest(prompt_of(30), None, 18, 0.0)])[0]
    assert result.token_ids == [token for token in expected[0, 30:].tolist() if token != 1]
    # Longer than the window: alone or beside others that fit.
    ids = torch.tensor([prompt_of(60)])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9)
    requests = [
        SampleRequest(prompt_of(60), None, 9, 0.0), SampleRequest(prompt_of(30), 4, 8, 1.0),
        SampleRequest(prompt_of(60), 4, 8, 1.0),
    ]  # fmt: skip
    results = Sampler(model, TOKENIZER, capture=True).run(requests)
    assert results[0].token_ids == [token for token in expected[0, 60:].tolist() if token != 1]
    for request, result in zip(requests, results, strict=True):
        (alone,) = Sampler(model, TOKENIZER, capture=True).run([request])
        assert_same(result, alone)
        items = [(request.prompt_ids, result.token_ids + [1] * (result.finish == "stop"))]
        assert read_texts(model, 1, items)[0].logprob_sum == pytest.approx(result.logprob_sum, abs=1e-3)


def test_user_mistakes_are_named():
    with pytest.raises(UserError, match="temperature"):
        SampleRequest((1,), 0, 5, -1.0)
    with pytest.raises(UserError, match="prompt_ids"):
        SampleRequest((), 0, 5, 1.0)
    with pytest.raises(UserError, match="batch_size"):
        Sampler(tiny_model(), TOKENIZER, 0)
    broken = tiny_model()
    with torch.no_grad():
        broken.lm_head.weight[5] = float("nan")
    with pytest.raises(UserError, match="nan"):
        Sampler(broken, TOKENIZER).run([SampleRequest((3, 4), 0, 5, 1.0)])
    assert broken.config._attn_implementation == "sdpa"


def test_seeds_depend_on_every_part_and_draws_on_the_seed_alone():
    seed = sample_seed(1, "task", "prompt", 0)
    assert seed == sample_seed(1, "task", "prompt", 0) == 4742257518697542853
    others = {
        sample_seed(2, "task", "prompt", 0), sample_seed(1, "tas", "kprompt", 0),
        sample_seed(1, "task", "prompt ", 0), sample_seed(1, "task", "prompt", 1),
    }  # fmt: skip
    assert len(others | {seed}) == 5 and all(0 <= s < 2**63 for s in others)
    assert uniforms(5, 2).tolist() == [
        0.7337459554446363,
        0.5905206445727093,
    ]  # published rows depend on this stream
    draws = uniforms(seed, 2000)
    assert draws.dtype == np.float64 and np.array_equal(uniforms(seed, 10), draws[:10])
    assert 0 <= draws.min() < draws.max() < 1 and abs(draws.mean() - 0.5) < 0.02
    assert not np.array_equal(uniforms(seed + 1, 10), draws[:10])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_choosing_leaves_the_logits_as_they_are(dtype):
    logits = torch.randn(2, 256, generator=torch.Generator().manual_seed(0)).to(dtype)
    before, rule = logits.clone(), SampleRequest((1,), 0, 1, 1.0)
    tokens, logprobs = choose_tokens(logits, [rule, rule], [0.3, None])
    assert torch.equal(
        logits, before
    )  # 256 is a whole number of blocks: nothing is padded, so nothing copied
    right = before.double().log_softmax(-1)
    assert logprobs == pytest.approx([float(right[row, token]) for row, token in enumerate(tokens)], abs=1e-6)


@pytest.mark.parametrize("in_rows", [True, False])
def test_a_watcher_sees_every_token_with_its_logits_and_may_end_an_answer(in_rows, monkeypatch):
    if not in_rows:
        monkeypatch.setattr("turncoat.engine.decoding.sampler.decodes_in_rows", lambda base: False)
    requests = requests_for(lengths=(5, 40), samples=2)
    whole = Sampler(tiny_model(), TOKENIZER, 4).run(requests)
    sums: Counter = Counter()

    def watch(answers, logits):
        logprobs = logits.double().log_softmax(-1)
        for row, answer in enumerate(answers):
            token = TOKENIZER.eos_token_id if answer.ended_by_eos else answer.token_ids[-1]
            sums[answer.index] += float(logprobs[row, token])
            if answer.index == 0 and len(answer.token_ids) == 2:
                answer.finish = "stop"

    watched = Sampler(tiny_model(), TOKENIZER, 4).run(requests, watch=watch)
    assert watched[0].token_ids == whole[0].token_ids[:2] and len(whole[0].token_ids) > 2
    for index, (seen, full) in enumerate(zip(watched, whole, strict=True)):
        assert sums[index] == pytest.approx(seen.logprob_sum, abs=1e-5)
        assert index == 0 or seen.token_ids == full.token_ids
