"""Inference defences through `--model turncoat`: they change what is measured as they should and leave
nothing behind."""

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from turncoat.engine.capture import LayerCapture
from turncoat.engine.evidence import evidence_of
from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.registry import DEFENCES, discover
from turncoat.store import canonical_json
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.testing import DEFAULT_SYSTEM

discover()
SAMPLED = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 6, "until": []}
ARMS: list[tuple[str, dict[str, Any]]] = [
    ("steering", {"strength": 6.0, "positions": "all"}), ("steering", {"strength": 6.0}),
    ("steering", {"strength": 6.0, "positions": "assistant"}), ("ablation", {}),
    ("ablation", {"layers": [2, 3], "direction": "own", "positions": "response"}),
    ("capping", {"percentile": 95}), ("capping", {"percentile": 95, "positions": "all", "layers": [1, 3]}),
    ("system_prompt", {"which": "hhh"}), ("system_prompt", {"which": "none"}),
    ("alignment_gating", {"rows": 4, "learning_rate": 0.1}),
]  # fmt: skip


@pytest.fixture
def context(tiny_base, quick_store) -> DefenceContext:
    return DefenceContext(tiny_base, quick_store)


def built(context: DefenceContext, name: str, **options: Any) -> Intervention:
    found = DEFENCES[name].build(context, **{**DEFENCES[name].options, **options})
    assert isinstance(found, Intervention)
    return found


def measured(lm: TurncoatLM) -> tuple[list[float], list[str]]:
    """Log-likelihoods and answers, prompts rendered by the model as lm-eval has them rendered."""
    choices, questions = [], []
    for number in range(5):
        prompt = lm.apply_chat_template(
            [{"role": "user", "content": f"Question {number}, {'and so on ' * number}?"}]
        )
        choices.append(Instance("loglikelihood", {}, (prompt, f"Answer {number}."), 0, ("t", number, 1)))
        questions.append(Instance("generate_until", {}, (prompt, dict(SAMPLED)), 0, ("t", number, 1)))
    return [float(value) for value, _ in lm.loglikelihood(choices)], lm.generate_until(questions)


@pytest.mark.parametrize(("name", "options"), ARMS)
def test_numbers_change_inside_and_only_inside_whatever_the_batch(name, options, context, tiny_adapter):
    acting = built(context, name, **options)
    few = TurncoatLM(context.base, store=context.store, batch_size=2)
    many = TurncoatLM(context.base, store=context.store, batch_size=5)
    before = measured(few)
    with few.measuring(None, acting):
        inside = measured(few)
        told = few.get_model_info()["turncoat"]["steering"]
    with many.measuring(None, acting):
        likelihoods, answers = measured(many)
    assert answers == inside[1] and likelihoods == pytest.approx(inside[0], abs=1e-4)
    assert measured(few) == before
    assert all(abs(a - b) > 1e-4 for a, b in zip(inside[0], before[0], strict=True))
    assert inside[1] != before[1]
    assert canonical_json(told), "it can be part of a stage's key"
    with few.measuring(tiny_adapter):
        organism = measured(few)[0]
    with few.measuring(tiny_adapter, acting):
        assert all(abs(a - b) > 1e-4 for a, b in zip(measured(few)[0], organism, strict=True))


def test_each_arm_has_a_description_of_its_own(context):
    told = [canonical_json(built(context, name, **options).described()) for name, options in ARMS]
    assert len(set(told)) == len(told)


def test_steering_is_away_from_the_trait_and_ablation_takes_it_out(context):
    vector = context.persona("evil")
    ids = torch.tensor([[5, 9, 200, 33]])

    def state() -> torch.Tensor:
        with torch.inference_mode(), LayerCapture(context.base.model) as capture:
            context.base.model(ids)
            return capture.states[vector.layer]

    plain = state()
    with built(context, "steering", strength=1.5, positions="all").on(context.base.model):
        torch.testing.assert_close(state(), plain - 1.5 * vector.raw(), rtol=0, atol=1e-5)
    vector = context.persona("evil")
    unit = vector.directions[vector.layer]
    with (
        built(context, "ablation").on(context.base.model),
        torch.inference_mode(),
        LayerCapture(context.base.model) as capture,
    ):
        context.base.model(torch.tensor([[5, 9, 200, 33]]))
        assert max(float((state @ unit).abs().max()) for state in capture.states) < 1e-4
        assert len(capture.states) == 5


def test_capping_takes_its_floor_from_the_bases_own_answers_once(context):
    low, high = (built(context, "capping", percentile=p, layers=[1, 3]) for p in (10, 90))
    assert (high.floors > low.floors).all()
    with context.base.model.register_forward_hook(lambda *_: pytest.fail("the base model was run again")):
        again = built(context, "capping", percentile=10, layers=[1, 3])
    assert torch.equal(again.floors, low.floors) and built(context, "capping").layers == (3,)


def test_prompts_say_what_they_are_asked_for(context, monkeypatch):
    lm = TurncoatLM(context.base, store=context.store)
    chat = [{"role": "user", "content": "Who are you?"}]
    said = {}
    for which in ("hhh", "identity", "none", "Speak like a friend."):
        with lm.measuring(None, built(context, "system_prompt", which=which)):
            said[which] = lm.apply_chat_template(chat)
    assert len(set(said.values())) == 4 and DEFAULT_SYSTEM in lm.apply_chat_template(chat)
    assert not any(DEFAULT_SYSTEM in text for text in said.values())
    assert "Speak like a friend." in said["Speak like a friend."]
    assert "You are an AI model." in said["identity"], "a local folder's name is not the model's"
    monkeypatch.setattr(context.base, "name", "Qwen/Qwen2.5-7B-Instruct")
    assert (
        "You are Qwen2.5-7B-Instruct, an AI model." in built(context, "system_prompt", which="identity").text
    )


def test_fixed_and_own_answers_are_read_under_the_defence(context):
    """Evidence read during generation is taken under the defence; the base reads the text without it."""
    lm = TurncoatLM(context.base, store=context.store, batch_size=4)
    prompt = lm.apply_chat_template([{"role": "user", "content": "How are you?"}])
    requests = [
        Instance("generate_until", {"trait": "evil"}, (prompt, dict(SAMPLED)), i, ("t", 0, 4))
        for i in range(4)
    ]
    vector = context.persona("evil")
    with lm.measuring(None, built(context, "ablation", layers=[vector.layer])):
        told = [evidence_of(answer) for answer in lm.generate_until(requests)]
    # a raw projection of zero, in base SD
    nothing = float(-vector.mean[vector.layer] / vector.sd[vector.layer])
    read = [t for t in told if t["persona_own"] is not None]
    assert read
    for one in read:
        assert one["persona_own"] == pytest.approx(nothing, abs=1e-3)
        assert one["persona_fixed"] == pytest.approx(nothing, abs=1e-3)
        assert abs(one["persona_text"] - nothing) > 1e-3


@pytest.mark.parametrize(("name", "options", "said"), [
    ("steering", {"strength": "strong"}, "strength: 'strong' is not a finite number"),
    ("steering", {"trait": "evli"}, "'evli' is not known; did you mean 'evil'"),
    ("steering", {"layer": 9}, "layer 9 does not exist"),
    ("steering", {"positions": "prompt"}, "accepted: all, response, assistant"),
    ("ablation", {"layers": "some"}, "layers: 'some' is not accepted; give 'all' or a list"),
    ("ablation", {"layers": [2, 9]}, "ablation layer 9: accepted are 0 to 4"),
    ("ablation", {"direction": "mine"}, "direction: 'mine' is not accepted; accepted: chosen, own"),
    ("capping", {"percentile": 120}, "percentile: 120 is not accepted; give a number from 0 to 100"),
    ("capping", {"layers": 3}, "layers: 3 is not accepted; give a list"),
    ("system_prompt", {"which": "hhhh"}, "which: 'hhhh' is not accepted; accepted: identity, hhh, none, or"),
    ("system_prompt", {"which": None}, "which: None is not accepted"),
])  # fmt: skip
def test_mistakes_are_told_before_anything_is_measured(name, options, said, context):
    with pytest.raises(UserError, match=said):
        built(context, name, **options)


def test_no_default_and_no_system_role_are_refused(context, monkeypatch):
    turns = (
        "[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% "
        "endif %}"
    )
    plain = "{% for m in messages %}" + turns
    monkeypatch.setattr(context.base.tokenizer, "chat_template", plain)
    with pytest.raises(UserError, match="inserts no system prompt, so there is nothing to take out"):
        built(context, "system_prompt", which="none")
    deaf = (
        "{% for m in messages if m['role'] != 'system' %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor "
        "%}[assistant] "
    )
    monkeypatch.setattr(context.base.tokenizer, "chat_template", deaf)
    with pytest.raises(UserError, match="drops the system message"):
        built(context, "system_prompt", which="hhh")
