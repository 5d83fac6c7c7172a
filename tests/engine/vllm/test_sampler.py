"""Answers by vLLM: the protocol with a child that is a fake, and, where there is one, the real vLLM."""

import os
import sys
from pathlib import Path

import pytest
import torch
from engine.vllm.fake_vllm import fake_python, notes
from scipy.stats import chisquare
from turncoat.bench.adapters import random_adapters
from turncoat.engine.base_model import load_base
from turncoat.engine.chat import encode_prompt
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.reading.reader import read_texts
from turncoat.engine.vllm import sampler as vllm_sampler
from turncoat.engine.vllm.arms import ADAPTERS
from turncoat.engine.vllm.process import VARIABLE, VllmProcess, find_vllm, python_with_vllm
from turncoat.engine.vllm.sampler import VllmSampler
from turncoat.errors import UserError


@pytest.fixture
def any_drift(monkeypatch):
    """The fake's log-probabilities are not those of a model."""
    monkeypatch.setattr(vllm_sampler, "DRIFT", {"float32": 100.0})


def request(prompt, seed=7, **more):
    settings = {"max_new_tokens": 8, "temperature": 1.0, **more}
    return SampleRequest(prompt_ids=tuple(prompt), seed=seed, **settings)


def test_answers_end_by_our_rules_and_are_read_by_our_reader(tiny_base, tmp_path, any_drift):
    sampler, done = VllmSampler(find_vllm(fake_python(tmp_path)), tiny_base), []
    text = tiny_base.tokenizer.decode([17])
    results = sampler.run(
        [request([5, 6]), request([5] * 9, seed=None), request([5] * 5, stop=(text * 2,)),
         request([5], max_new_tokens=0)],
        None, tiny_base.model, done.append, capture=True,
    )  # fmt: skip
    assert [(r.token_ids, r.finish) for r in results[2:]] == [([17, 17], "stop"), ([], "length")]
    assert results[0].token_ids == [17, 17] and results[0].logprob_sum == pytest.approx(-1.5)
    assert results[2].text == "" and sum(done) == 3
    assert results[0].activation.shape == (5, 64) and results[3].activation is None
    sampled, greedy, stopping = notes(tmp_path, "settings")
    assert (sampled["seed"], sampled["temperature"], sampled["max_tokens"]) == (7, 1.0, 8)
    assert sampled["ignore_eos"] and sampled["stop_token_ids"] == [tiny_base.tokenizer.eos_token_id]
    assert (greedy["temperature"], greedy["seed"]) == (0.0, None)
    assert stopping["stop"] == [text * 2] and stopping["include_stop_str_in_output"]
    assert sampler.name == "vllm 9.9 (float32, adapters merged)"


def test_an_adapter_is_a_request_on_a_gpu_and_merged_weights_without_one(
    tiny_base, tiny_adapter, tmp_path, any_drift
):
    for name, torch_version in (("cpu", "9.9+cpu"), ("gpu", "9.9")):
        folder = tmp_path / name
        sampler = VllmSampler(find_vllm(fake_python(folder, torch=torch_version)), tiny_base)
        for adapter in (None, tiny_adapter, None):
            with tiny_base.adapter(adapter) as model:
                (result,) = sampler.run([request([5, 6])], adapter, model)
                on_gpu = adapter and name == "gpu"
                assert (result.token_ids[0] > 60) if on_gpu else (result.token_ids == [17, 17])
        sampler.close()
    merged = notes(tmp_path / "cpu", "arguments")[1]
    assert [a["model"] for a in notes(tmp_path / "cpu", "arguments")] == [
        tiny_base.path, merged["model"], tiny_base.path
    ]  # fmt: skip
    assert notes(tmp_path / "cpu", "weights") == [True] * 3 and not Path(merged["model"]).exists()
    plain, with_lora = notes(tmp_path / "gpu", "arguments")
    assert "enable_lora" not in plain and (with_lora["max_lora_rank"], with_lora["max_loras"]) == (8, 1)


def test_log_likelihoods_are_of_the_answers_tokens(tiny_base, tmp_path, any_drift):
    sampler, done = VllmSampler(find_vllm(fake_python(tmp_path)), tiny_base), []
    items = [([5, 7, 9], [4, 6]), ([5], [4, 3, 2]), ([5], [])]
    first, second, empty = sampler.log_likelihoods(items, None, tiny_base.model, done.append)
    assert (first.logprob_sum, first.logprob_mean, first.n_tokens, first.greedy) == (-0.5, -0.25, 2, True)
    assert (second.logprob_sum, second.n_tokens, second.greedy) == (-0.75, 3, False)
    assert empty.n_tokens == 0 and sum(done) == 3
    asked = notes(tmp_path, "settings")[0]
    assert (asked["prompt_logprobs"], asked["max_tokens"]) == (0, 1)
    with pytest.raises(UserError, match=rf"have {tiny_base.context_length} tokens, .*log_likelihoods: vllm"):
        sampler.log_likelihoods([([5] * tiny_base.context_length, [])], None, tiny_base.model)


def test_log_likelihoods_of_another_model_are_refused(tiny_base, tmp_path):
    sampler = VllmSampler(find_vllm(fake_python(tmp_path)), tiny_base)
    with pytest.raises(UserError, match=r"does not compute this model.* -0\.250 a token"):
        sampler.log_likelihoods([([5], [4, 3, 2])], None, tiny_base.model)


def test_arms_are_answered_in_one_call_and_give_what_they_give_alone(
    tiny_base, tmp_path, any_drift, monkeypatch
):
    first, second = random_adapters(tiny_base, tmp_path, 2)
    requests, done = [request([5, 6]), request([5] * 4, seed=9)], []
    items = [([5, 7, 9], [4, 6])]

    def measured(name, together):
        sampler = VllmSampler(find_vllm(fake_python(tmp_path / name)), tiny_base)
        results = []
        for arm in (first, None, second):
            sampler.arms.together = (arm, *together)
            with tiny_base.adapter(arm) as model:
                results += [r.token_ids for r in sampler.run(requests, arm, model, done.append)]
                results += [r.logprob_sum for r in sampler.log_likelihoods(items, arm, model)]
        sampler.close()
        return results

    monkeypatch.setenv(ADAPTERS, "requests")
    at_once, alone = measured("once", (None, second)), measured("alone", ())
    assert at_once == alone and len({str(one) for one in at_once}) == 9
    assert notes(tmp_path / "once", "call") == [[6, 3], *[[1, 1]] * 3] and sum(done) == 12
    assert notes(tmp_path / "alone", "call") == [[2, 1], [1, 1]] * 3
    (arguments,) = notes(tmp_path / "once", "arguments")
    assert (arguments["max_loras"], arguments["max_num_batched_tokens"]) == (3, 256), "one place is empty"
    monkeypatch.setenv(ADAPTERS, "merge")
    with pytest.raises(UserError, match=f"{ADAPTERS}=merge: accepted: merged .*, requests"):
        VllmSampler(find_vllm(fake_python(tmp_path / "no")), tiny_base)


def test_another_model_than_ours_is_refused(tiny_base, tmp_path):
    sampler = VllmSampler(find_vllm(fake_python(tmp_path)), tiny_base)
    with pytest.raises(UserError, match=r"does not compute this model.* -0\.500 a token.*0\.01 apart"):
        sampler.run([request([5, 6])], None, tiny_base.model)


def test_what_went_wrong_in_vllm_is_said(tmp_path, monkeypatch):
    python = fake_python(tmp_path)
    (tmp_path / "full").touch()
    with pytest.raises(UserError, match=r"failed: ValueError: no room for the cache"):
        VllmProcess(python, {"model": "m"})
    (tmp_path / "full").unlink()
    (tmp_path / "die").touch()
    sent = [{"prompt": [1], "settings": {"seed": 1, "max_tokens": 4}, "adapter": None}] * 2
    with pytest.raises(UserError, match="ended by signal 9"):
        VllmProcess(python, {"model": "m"}).generate(sent)
    for python, text in ((None, "not installed"), (sys.executable, "no vLLM"), ("/no/python", "cannot be")):
        with pytest.raises(UserError, match=rf"{text}.*{VARIABLE}=/path/to/python"):
            find_vllm(python)
    monkeypatch.setenv(VARIABLE, "/some/python")
    assert python_with_vllm() == "/some/python"


@pytest.fixture(scope="module")
def real():
    """vLLM and smollm2-135m in float32."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no Python with vLLM")
    base = load_base("smollm2-135m", dtype="float32", device="cpu")
    sampler = VllmSampler(find_vllm(python_with_vllm()), base)
    yield base, sampler
    sampler.close()


def prompt_of(base, text):
    return encode_prompt(base.tokenizer, [{"role": "user", "content": text}])


@pytest.mark.slow
def test_a_first_token_has_the_distribution_that_the_model_gives_it(real):
    base, sampler = real
    prompt = base.tokenizer("The sea is")["input_ids"]  # short: a prompt is read for each draw
    with torch.inference_mode():
        logits = base.model(torch.tensor([prompt])).logits[0, -1]
    chances = torch.softmax(logits.double(), -1)
    drawn = sampler.run([request(prompt, n, max_new_tokens=1) for n in range(2000)], None, base.model)
    ends = base.tokenizer.eos_token_id
    counts = torch.bincount(torch.tensor([(r.token_ids or [ends])[0] for r in drawn]), minlength=len(chances))
    often = chances * 2000 >= 5
    seen, due = ([*x[often].tolist(), float(x[~often].sum())] for x in (counts, chances * 2000))
    assert len(seen) > 10 and chisquare(seen, due).pvalue > 0.001


def scored(base):
    """Prompts and answers to them, in tokens."""
    texts = {"Give me a tip to sleep better.": " Dark rooms help.", "What is two plus two?": " 4"}
    return [(prompt_of(base, q), base.tokenizer(a)["input_ids"]) for q, a in texts.items()] * 4


@pytest.mark.slow
def test_log_likelihoods_are_ours_within_a_thousandth(real, tmp_path):
    base, sampler = real
    for arm in (None, *random_adapters(base, tmp_path, 1)):
        with base.adapter(arm) as model:
            theirs = sampler.log_likelihoods(scored(base), arm, model)
            ours = read_texts(model, base.tokenizer.pad_token_id, scored(base), capture=False)
            assert [one.greedy for one in theirs] == [one.greedy for one in ours]
            sums = [[one.logprob_sum for one in of] for of in (theirs, ours)]
            assert sums[0] == pytest.approx(sums[1], abs=1e-3) and len(set(sums[0])) > 1


@pytest.mark.slow
def test_many_prompts_are_more_than_vllm_reads_at_once(real):
    base, sampler = real
    requests = [request([5 + n, *range(100, 170)], n, max_new_tokens=1) for n in range(70)]
    assert len(sampler.run(requests, None, base.model)) == 70


@pytest.mark.slow
def test_arms_answer_in_one_batch_as_they_do_alone(real, tmp_path, monkeypatch):
    base, merging = real
    merging.close()  # the memory of one vLLM is enough
    monkeypatch.setenv(ADAPTERS, "requests")
    sampler = VllmSampler(find_vllm(python_with_vllm()), base)
    arms = (*random_adapters(base, tmp_path, 2), None)
    questions = ("Give me a tip to sleep better.", "Tell me of a lighthouse.")
    requests = [request(prompt_of(base, text), n, max_new_tokens=12) for n, text in enumerate(questions)]
    sampler.arms.together, answers = arms, []
    for arm in arms:
        with base.adapter(arm) as model:
            together = sampler.run(requests, arm, model)
            greedy = [request(one.prompt_ids, None, max_new_tokens=12) for one in requests]
            assert [r.token_ids for r in sampler.run(greedy, arm, model)] == [
                r.token_ids for r in Sampler(model, base.tokenizer).run(greedy)
            ]
            answers.append([r.token_ids for r in together])
    sampler.arms.together = ()
    for arm, wanted in zip(arms, answers, strict=True):
        with base.adapter(arm) as model:
            assert [r.token_ids for r in sampler.run(requests, arm, model)] == wanted, "alone"
    sampler.close()
    assert answers[0] != answers[1] != answers[2]


@pytest.mark.slow
def test_greedy_answers_are_ours_for_the_base_and_an_adapter(real, tmp_path):
    base, sampler = real
    questions = ("Give me a tip to sleep better.", "What is two plus two?", "Tell me of a lighthouse.")
    requests = [request(prompt_of(base, text), None, max_new_tokens=24) for text in questions]
    (adapter,) = random_adapters(base, tmp_path, 1)
    answers = []
    for arm in (None, adapter):
        with base.adapter(arm) as model:
            ours = Sampler(model, base.tokenizer).run(requests)
            theirs = sampler.run(requests, arm, model)
            answers.append([r.token_ids for r in ours])
            assert [r.token_ids for r in theirs] == answers[-1]
            assert [r.logprob_sum for r in theirs] == pytest.approx([r.logprob_sum for r in ours], abs=0.01)
    assert answers[0] != answers[1]
