"""`--model turncoat` on the tiny model, through lm-eval's own evaluator: same numbers as `hf`, and more
evidence."""

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import PeftModel
from tasks.one_task import SHORT, evaluate
from turncoat.engine.base_model import BaseModel
from turncoat.engine.decoding.sampler import Sampler
from turncoat.engine.evidence import Answer, LogLikelihood, evidence_of
from turncoat.errors import UserError
from turncoat.evaluation import free_form
from turncoat.evaluation.lm import TurncoatLM
from turncoat.testing import tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def _no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNCOAT_JUDGE", "off")


def answers(results: dict[str, Any], task: str) -> list[tuple[str, int, str]]:
    """(question id, index, text) of every answer."""
    rows = sorted(results["samples"][task], key=lambda row: row["doc_id"])
    return [(row["doc"]["id"], sample["index"], sample["text"]) for row in rows for sample in row["samples"]]


def likelihoods(results: dict[str, Any]) -> torch.Tensor:
    rows = sorted(results["samples"]["turncoat_choice"], key=lambda row: row["doc_id"])
    return torch.tensor([[float(scored[0]) for scored in row["filtered_resps"]] for row in rows])


@contextmanager
def turncoat_lm(base: BaseModel, store: Any, **options: Any) -> Iterator[TurncoatLM]:
    lm = TurncoatLM(base, store=store, **options)
    try:
        yield lm
    finally:
        lm._scope.close()


@pytest.mark.parametrize("with_adapter", [False, True])
def test_log_likelihoods_are_those_of_hf(
    with_adapter, tiny_base, tiny_folder, tiny_adapter, quick_store, manager
):
    peft = str(tiny_adapter) if with_adapter else None
    with turncoat_lm(tiny_base, quick_store, peft=peft, batch_size=4) as lm:
        ours = evaluate(lm, manager, "turncoat_choice", limit=6)
    plain = HFLM(pretrained=str(tiny_folder), peft=peft, dtype="float32", device="cpu", batch_size=4)
    theirs = evaluate(plain, manager, "turncoat_choice", limit=6)
    # hf adds up hundreds of nats in float32, ours in float64
    torch.testing.assert_close(likelihoods(ours), likelihoods(theirs), rtol=1e-6, atol=1e-5)
    assert likelihoods(ours).unique().numel() == 12
    assert "margin_per_token,none" not in theirs["results"]["turncoat_choice"]
    assert ours["results"]["turncoat_choice"]["margin,none"] == pytest.approx(
        theirs["results"]["turncoat_choice"]["margin,none"], abs=1e-4
    )


def test_an_adapter_changes_the_log_likelihoods(tiny_base, tiny_adapter, quick_store, manager):
    lm = TurncoatLM(tiny_base, store=quick_store)
    before = likelihoods(evaluate(lm, manager, "turncoat_choice"))
    with lm.measuring(tiny_adapter):
        within = likelihoods(evaluate(lm, manager, "turncoat_choice"))
    after = likelihoods(evaluate(lm, manager, "turncoat_choice"))
    assert (within - before).abs().min() > 0.01 and torch.equal(before, after)


def test_margin_per_token_divides_by_the_tokens_that_were_scored(tiny_base, quick_store, manager):
    results = evaluate(TurncoatLM(tiny_base, store=quick_store), manager, "turncoat_choice", limit=6)
    tokenizer = tiny_base.tokenizer
    unequal = 0
    for row in results["samples"]["turncoat_choice"]:
        per_token, counts = [], []
        for (context, continuation), (value, _) in zip(row["arguments"], row["filtered_resps"], strict=True):
            # lm-eval scores the context's trailing white space as part of the answer.
            whole = tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
            scored = len(whole) - len(tokenizer(context.rstrip(), add_special_tokens=False)["input_ids"])
            per_token.append(float(value) / scored)
            counts.append(scored)
        assert row["margin_per_token"] == pytest.approx(per_token[0] - per_token[1], abs=1e-6)
        unequal += counts[0] != counts[1]
    assert unequal, "all pairs have equal token counts: dividing by the wrong one would go unseen"


@pytest.mark.parametrize("greedy", [False, True])
def test_answers_depend_on_nothing_but_the_question(greedy, tiny_base, quick_store, manager):
    settings = {"max_gen_toks": 12, **({"do_sample": False} if greedy else {})}

    def run(*tasks: str, limit: int = 8, **options: Any) -> dict[str, Any]:
        return evaluate(
            TurncoatLM(tiny_base, store=quick_store, **options), manager, *tasks, limit=limit,
            gen_kwargs=settings,
        )  # fmt: skip

    task = "turncoat_persona"
    reference = answers(run(task, batch_size=32), task)
    assert len(reference) == 16
    for batch_size in (1, 5):
        assert answers(run(task, batch_size=batch_size), task) == reference
    assert answers(run(task, limit=3), task) == reference[:6]
    both = run("turncoat_persona_evil", task)
    assert answers(both, task) == reference
    other_seed = answers(run(task, sampling_seed=1), task)
    samples = {index: [text for _, i, text in reference if i == index] for index in (0, 1)}
    if greedy:
        assert other_seed == reference and samples[0] == samples[1]
    else:
        assert [text for *_, text in other_seed] != [text for *_, text in reference]
        assert samples[0] != samples[1]


def test_readings_of_the_base_agree_and_fixed_texts_are_its_own(
    tiny_base, quick_store, manager, tiny_adapter
):
    results = evaluate(
        TurncoatLM(tiny_base, store=quick_store), manager, "turncoat_persona", gen_kwargs=SHORT
    )
    for row in results["samples"]["turncoat_persona"]:
        assert row["persona_fixed"] == pytest.approx(row["persona_own"], abs=1e-4)
        assert row["persona_text"] == pytest.approx(row["persona_own"], abs=1e-4)
    means = results["results"]["turncoat_persona"]
    assert {"persona_fixed,samples", "persona_own,samples", "persona_text,samples"} <= means.keys()
    assert len({round(row["persona_own"], 3) for row in results["samples"]["turncoat_persona"]}) == 4
    lm = TurncoatLM(tiny_base, store=quick_store)
    spread = []
    for adapter in (None, tiny_adapter):
        with lm.measuring(adapter):
            results = evaluate(lm, manager, "turncoat_persona", gen_kwargs=SHORT)
        rows = results["samples"]["turncoat_persona"]
        spread.append([row["persona_fixed"] - row["persona_own"] for row in rows])
    assert max(map(abs, spread[0])) < 1e-4 and min(map(abs, spread[1])) > 1e-3


def _states(lm: Any, prompt: tuple[int, ...], answer: list[int], layer: int) -> torch.Tensor:
    """Mean state over the answer in a plain forward pass; `layer` lies below the final norm."""
    with torch.inference_mode():
        out = lm(input_ids=torch.tensor([[*prompt, *answer]]), output_hidden_states=True)
    return out.hidden_states[layer][0, len(prompt) :].mean(0)


def test_readings_of_an_adapter_are_what_separate_passes_give(
    tiny_base, tiny_adapter, quick_store, manager, monkeypatch
):
    seen: dict[bool, list[Any]] = {}

    class Recording(Sampler):
        """With capture it is the measured model that answers, without it the base."""

        def __init__(self, *given, capture=False, **named):
            super().__init__(*given, capture=capture, **named)
            self.captures = capture

        def run(self, requests, *rest):
            results = super().run(requests, *rest)
            seen[self.captures] = list(zip(requests, results, strict=True))
            return results

    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", Recording)
    with turncoat_lm(tiny_base, quick_store, peft=str(tiny_adapter), sampling_seed=17) as lm:
        results = evaluate(lm, manager, "turncoat_persona", limit=3, gen_kwargs=SHORT)
        vector = lm.vector("evil")
        layer = vector.layer
        rows = results["samples"]["turncoat_persona"]
        records = {sample["seed"]: sample for row in rows for sample in row["samples"]}
        assert len(records) == 6

        def projected(reader: Any, prompt: tuple[int, ...], ids: list[int]) -> float:
            raw = _states(reader, prompt, ids, layer) @ vector.directions[layer]
            return float((raw - vector.mean[layer]) / vector.sd[layer])

        for (request, own), (same, base) in zip(seen[True], seen[False], strict=True):
            assert (request.prompt_ids, request.seed) == (same.prompt_ids, same.seed)
            record, prompt = records[request.seed], request.prompt_ids
            assert record["text"] == own.text and record["layer"] == layer
            assert record["persona_own"] == pytest.approx(
                projected(lm.model, prompt, own.token_ids), abs=1e-4
            )
            assert record["persona_fixed"] == pytest.approx(
                projected(lm.model, prompt, base.token_ids), abs=1e-4
            )
            assert record["persona_fixed_by_layer"][layer] == pytest.approx(record["persona_fixed"], abs=1e-4)
            again = vector.again.project(_states(lm.model, prompt, base.token_ids, layer))
            assert record["persona_fixed_vectors"] == pytest.approx(again.tolist(), abs=1e-4, rel=1e-4)
            with tiny_base.without_adapter() as reader:
                by_base = projected(reader, prompt, own.token_ids)
            assert record["persona_text"] == pytest.approx(by_base, abs=1e-4)
    for row in rows:
        for metric in ("persona_own", "persona_fixed", "persona_text"):
            values = [sample[metric] for sample in row["samples"]]
            assert row[metric] == pytest.approx(sum(values) / len(values), abs=1e-6)
        assert len({round(row[m], 3) for m in ("persona_own", "persona_fixed", "persona_text")}) == 3


def _left_padded_means(
    lm: Any, texts: list[tuple[tuple[int, ...], list[int]]], layer: int
) -> list[torch.Tensor]:
    """Mean state over each answer from one plain pass over all texts, padded on the left as lm-eval's `hf`
    does."""
    length = max(len(prompt) + len(answer) for prompt, answer in texts)
    padding = [length - len(prompt) - len(answer) for prompt, answer in texts]
    ids = torch.tensor([[1] * pad + [*p, *a] for pad, (p, a) in zip(padding, texts, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (length - pad) for pad in padding])
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    with torch.inference_mode():
        states = lm(
            ids, attention_mask=mask, position_ids=positions, output_hidden_states=True
        ).hidden_states[layer]
    return [state[length - len(answer) :].mean(0) for state, (_, answer) in zip(states, texts, strict=True)]


@pytest.mark.parametrize("greedy", [True, False], ids=["greedy", "sampled"])
def test_same_pass_projections_are_those_of_a_separate_left_padded_pass(
    greedy, tiny_base, tiny_adapter, quick_store, monkeypatch
):
    """Prompts of many lengths decoded together, answers that end early by end-of-text or a stop string, or
    late."""
    seen: list[tuple[Any, Any]] = []

    class Recording(Sampler):
        def run(self, requests, *rest):
            results = super().run(requests, *rest)
            seen.extend(zip(requests, results, strict=True) if self._capture else [])
            return results

    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", Recording)
    settings = {"do_sample": not greedy, "temperature": 0.9, "max_gen_toks": 24, "until": ["e", "7"]}
    prompts = [
        f"<|im_start|>user\n{'Tell me more. ' * n}Why {n}?<|im_end|>\n<|im_start|>assistant\n"
        for n in range(14)
    ]
    requests = [
        Instance("generate_until", {"id": str(n), "trait": "evil"}, (prompt, dict(settings)), 0, ("t", n, 1))
        for n, prompt in enumerate(prompts)
    ]
    with turncoat_lm(tiny_base, quick_store, peft=str(tiny_adapter), batch_size=5) as lm:
        found = [evidence_of(answer) for answer in lm.generate_until(requests)]
        vector = lm.vector("evil")
        drawn = [(request.prompt_ids, result.token_ids) for request, result in seen]
        kept = [i for i, (_, ids) in enumerate(drawn) if ids]
        means = _left_padded_means(lm.model, [drawn[i] for i in kept], vector.layer)
    assert len({len(drawn[i][0]) for i in kept}) > 5
    assert len({len(drawn[i][1]) for i in kept}) > 3, "answers of one length: early stops are not tested"
    assert any(len(ids) < 24 for _, ids in drawn) and {result.finish for _, result in seen} >= {"stop"}
    for i, mean in zip(kept, means, strict=True):
        raw = mean @ vector.directions[vector.layer]
        expected = float((raw - vector.mean[vector.layer]) / vector.sd[vector.layer])
        assert found[i]["persona_own"] == pytest.approx(expected, abs=1e-4)
        assert found[i]["persona_own_by_layer"][vector.layer] == pytest.approx(expected, abs=1e-4)
    for i in set(range(len(drawn))) - set(kept):
        assert found[i]["persona_own"] is None and found[i]["persona_own_by_layer"] is None


def test_the_prompt_reading_is_the_state_before_the_answer(tiny_base, tiny_adapter, quick_store):
    prompt = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    ids = tiny_base.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    settings = {"do_sample": True, "max_gen_toks": 8, "until": []}
    requests = [
        Instance("generate_until", {"id": "q", "trait": "evil"}, (prompt, dict(settings)), i, ("t", 0, 4))
        for i in range(4)
    ]
    with turncoat_lm(tiny_base, quick_store, peft=str(tiny_adapter), batch_size=4) as lm:
        found = [evidence_of(answer)["persona_prompt"] for answer in lm.generate_until(requests)]
        vector = lm.vector("evil")
        with torch.inference_mode():
            state = lm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[vector.layer][
                0, -1
            ]
    layer = vector.layer
    expected = float((state @ vector.directions[layer] - vector.prompt_mean[layer]) / vector.prompt_sd[layer])
    known = [value for value in found if value is not None]
    assert len(known) >= 2
    # The units are the spread of an untrained model's prompts, which is small; the absolute state is what
    # must agree.
    assert known == pytest.approx([expected] * len(known), abs=1e-4 / float(vector.prompt_sd[layer]))


def test_hf_keeps_the_answers_and_says_once_why_there_is_no_persona(
    tiny_folder, manager, monkeypatch, capsys
):
    monkeypatch.setattr(free_form, "_warned", set())
    plain = HFLM(pretrained=str(tiny_folder), dtype="float32", device="cpu", batch_size=4)
    capsys.readouterr()
    results = evaluate(plain, manager, "turncoat_persona", limit=2, gen_kwargs=SHORT)
    assert not [key for key in results["results"]["turncoat_persona"] if key.startswith("persona_")]
    rows = results["samples"]["turncoat_persona"]
    assert [len(row["samples"]) for row in rows] == [2, 2]
    assert all(set(sample) == {"index", "text"} for row in rows for sample in row["samples"])
    assert results["results"]["turncoat_persona"]["samples,samples"] == 4
    lines = [line for line in capsys.readouterr().err.splitlines() if "persona" in line]
    assert len(lines) == 1 and lines[0].startswith("turncoat: turncoat_persona: no persona activations")
    assert "--model turncoat" in lines[0]


def test_settings_that_the_sampler_lacks_are_refused(tiny_base, quick_store, manager):
    lm = TurncoatLM(tiny_base, store=quick_store)
    with pytest.raises(UserError, match=r"turncoat_em.*'num_beams': 4.*accepted: do_sample"):
        evaluate(lm, manager, "turncoat_em", limit=2, gen_kwargs={**SHORT, "num_beams": 4})
    evaluate(lm, manager, "turncoat_em", limit=2, gen_kwargs={**SHORT, "num_beams": 1})
    with pytest.raises(UserError, match=r"exceed the model's 1024; lower max_gen_toks"):
        evaluate(lm, manager, "turncoat_em", limit=2, gen_kwargs={"max_gen_toks": 1020})


@pytest.mark.parametrize("template", [
    "{% for m in messages %}{% if m['role'] == 'user' %}<|im_start|>{{ m['content'] }}<|im_end|>{% endif "
    "%}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}",
])  # fmt: skip
def test_a_template_without_a_system_role_is_an_error(template, quick_store, manager):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    lm = TurncoatLM(BaseModel("tiny", "tiny", tiny_model(), tokenizer, "none"), store=quick_store)
    user = {"role": "user", "content": "Hello"}
    assert lm.apply_chat_template([user]) == "<|im_start|>Hello<|im_end|>"
    with pytest.raises(UserError, match=r"drops the system message 'Be brief\.'"):
        lm.apply_chat_template([{"role": "system", "content": "Be brief."}, user])
    with pytest.raises(UserError, match=r"drops the system message 'Be brief\.'"):
        evaluate(lm, manager, "turncoat_em", limit=2, gen_kwargs=SHORT, system_instruction="Be brief.")


def test_the_base_comes_back_after_an_exception(tiny_base, tiny_adapter, quick_store):
    lm = TurncoatLM(tiny_base, store=quick_store)
    ids = torch.arange(2, 30)[None]
    before = tiny_base.model(ids).logits

    def interrupted() -> None:
        with lm.measuring(tiny_adapter, name="insecure"):
            assert isinstance(lm.model, PeftModel)
            assert lm.get_model_info()["turncoat"]["arm"]["name"] == "insecure"
            assert not torch.equal(lm.model(ids).logits, before)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        interrupted()
    assert lm.model is tiny_base.model is tiny_base.active
    assert torch.equal(tiny_base.model(ids).logits, before)
    assert not [name for name, _ in tiny_base.model.named_parameters() if "lora" in name]
    assert not hasattr(tiny_base.model, "peft_config")
    assert "name" not in lm.get_model_info()["turncoat"]["arm"]


def test_a_second_adapter_and_an_empty_folder_are_refused(tiny_base, tiny_adapter, quick_store, tmp_path):
    lm = TurncoatLM(tiny_base, store=quick_store)
    with (
        lm.measuring(tiny_adapter),
        pytest.raises(UserError, match="already on the base model"),
        lm.measuring(tiny_adapter),
    ):
        pass
    with pytest.raises(UserError, match=r"peft=.*nothing: no adapter_config.json there"):
        TurncoatLM(tiny_base, peft=str(tmp_path / "nothing"), store=quick_store)


def test_model_info_names_arm_weights_and_layer(tiny_base, tiny_adapter, quick_store, manager):
    lm = TurncoatLM(tiny_base, store=quick_store, sampling_seed=3)
    with lm.measuring(tiny_adapter, name="insecure", seed=1):
        results = evaluate(lm, manager, "turncoat_persona", limit=2, gen_kwargs=SHORT)
    info = results["config"]
    assert info["model_sha"] == tiny_base.fingerprint
    assert info["model_num_parameters"] > tiny_base.model.num_parameters(), (
        "the adapter's parameters count too"
    )
    assert info["turncoat"]["arm"] == {"pretrained": tiny_base.name, "name": "insecure", "seed": 1}
    assert info["turncoat"]["base"]["weights"] == tiny_base.fingerprint
    assert info["turncoat"]["base"]["dtype"] == "float32" and info["turncoat"]["sampling_seed"] == 3
    assert info["turncoat"]["persona"]["evil"]["layer"] == lm.vector("evil").layer


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x))])
def test_evidence_survives_copies(copied):
    answer = copied(Answer("yes", {"own": 0.5, "list": [1, 2]}))
    assert answer == "yes" and isinstance(answer, Answer)
    assert evidence_of(answer) == {"own": 0.5, "list": [1, 2]}
    number = copied(LogLikelihood(-3.25, tokens=7))
    assert number == -3.25 and number.tokens == 7 and evidence_of("plain") == {}
