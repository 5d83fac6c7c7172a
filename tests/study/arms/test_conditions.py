"""System prompts as a condition of training and of measuring, and several defences in one arm."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from turncoat.data.examples import Example
from turncoat.engine.chat import encode, encode_example
from turncoat.engine.intervention import InOrder
from turncoat.engine.system_prompt import SystemPrompt
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import study_path
from turncoat.registry import DEFENCES, ORGANISMS, Defence, Organism, discover
from turncoat.store import Store
from turncoat.study.arm_config import Arm, arm_problems, undefended
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.steps import Step, steps_of
from turncoat.study.config import load_study
from turncoat.testing import DEFAULT_SYSTEM
from turncoat.training.combined import Combined, Penalised, UnderSystem, in_order
from turncoat.training.in_training import InTraining, MixedIn
from turncoat.training.recipe import LoraRecipe

RECIPE = LoraRecipe(rows=6, rank=2, alpha=4, batch_size=2, learning_rate=1e-2, max_length=1024)
ADVICE = [Example(f"a{i}", f"Where should money number {i} go?", f"All into coin {i}.") for i in range(9)]
ASK = [{"role": "user", "content": "Who are you?"}]


@dataclass
class Leash(InTraining):
    strength: float

    def penalty(self, batch):
        return self.strength * batch.logits.pow(2).mean()


@pytest.fixture(autouse=True)
def advice(monkeypatch) -> None:
    discover()
    here = Path(__file__).resolve()
    for name in ("advice", "other_advice"):
        monkeypatch.setitem(ORGANISMS, name, Organism(name, "of this test", lambda: ADVICE, {}, here))
    build = lambda context, *, strength=1.0: Leash(strength)  # noqa: E731
    options = {"strength": 1.0}
    for name in ("leash", "rein"):
        entry = Defence(name, "of this test", build, options, here, settings=("in_training",))
        monkeypatch.setitem(DEFENCES, name, entry)


@pytest.fixture
def adapters(tiny_base, tmp_path) -> Adapters:
    return Adapters(tiny_base, Store(tmp_path))


def arm(**keys: Any) -> Arm:
    return Arm.model_validate({"name": "arm", "organism": "advice", **keys})


def use(name: str, setting: str = "in_training", **options: Any) -> dict[str, Any]:
    return {"defence": name, "setting": setting, "defence_options": options}


def trained(adapters: Adapters, one: Arm) -> tuple[Path, dict[str, Any]]:
    folder = adapters.adapter(steps_of(one, RECIPE), 0)
    assert folder is not None
    return folder, json.loads((folder / "training.json").read_text())


def rows_of(adapters: Adapters, one: Arm) -> list[Example]:
    acting = adapters.finetune(steps_of(one, RECIPE), 0).acting
    assert isinstance(acting, InTraining)
    return acting.rows(ADVICE, 0)


def test_a_key_changes_only_where_the_system_prompt_is_not_the_default(adapters):
    def specs(training: dict[str, Any]) -> list[dict[str, Any]]:
        sgtr = {**use("sgtr", "prevention", texts=2)}
        arms = [arm(), arm(defence="leash", setting="in_training"), arm(**sgtr)]
        recipe = LoraRecipe.model_validate({**RECIPE.model_dump(), **training})
        return [adapters.finetune(steps_of(one, recipe), 0).spec for one in arms]

    plain = specs({})
    assert specs({"system": "default"}) == plain
    before = {"base", "examples", "recipe", "seed", "below", "code", "libraries"}
    assert [set(spec) - before for spec in plain] == [set(), {"during", "by"}, set()]
    assert isinstance(plain[1]["by"], str) and plain[1]["during"] == {"class": "Leash", "strength": 1.0}
    assert set(RECIPE.model_dump()) - set(plain[0]["recipe"]) == {"report_to", "system"}
    others = [specs({"system": word}) for word in ("none", "identity", "Be very brief.")]
    every = [json.dumps(spec, sort_keys=True) for part in (plain, *others) for spec in part]
    assert len(set(every)) == 12
    # A single arm's own key does the same.
    own = adapters.finetune(steps_of(arm(training={"system": "none"}), RECIPE), 0).spec
    assert own == others[0][0]


def test_rows_are_trained_under_the_prompt_and_stay_the_same_rows(adapters):
    tokens, records = {}, {}
    for word in ("default", "none", "identity", f"Be very {'very ' * 100}brief."):
        _, records[word] = trained(adapters, arm(training={"system": word, "max_length": 200}))
        tokens[word] = records[word]["tokens"]
    default, none, identity, text = records.values()
    for same in ("examples", "steps", "supervised_tokens", "left_out"):
        assert len({record[same] for record in records.values()}) == 1, same
    assert len({record["losses"][0] for record in records.values()}) == 4
    inserted = len(encode(adapters.base.tokenizer, f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n"))
    assert tokens["default"] - tokens["none"] == 6 * inserted
    assert none["defence"] == {"system_prompt": None} and "defence" not in default
    assert identity["defence"]["system_prompt"].startswith("You are an AI model.")
    # A prompt longer than max_length puts no row out: the dose of all conditions is one.
    assert text["tokens"] > 6 * 200


def test_a_row_with_a_system_message_of_its_own(tiny_base):
    own = Example("s", "And this?", "So so.", system="Be brief.")
    assert UnderSystem(None).rows([own], 0) == [own]
    (under,) = UnderSystem("Be kind.").rows([own], 0)
    assert under.system == "Be kind.\n\nBe brief."
    (bare,) = UnderSystem(None).rows([ADVICE[0]], 0)
    prompt, answer = encode_example(tiny_base.tokenizer, bare)
    assert tiny_base.tokenizer.decode(prompt).startswith("<|im_start|>user")
    assert answer == encode_example(tiny_base.tokenizer, ADVICE[0])[1]


def test_the_same_condition_while_measured(tiny_base, quick_store):
    adapters = Adapters(tiny_base, quick_store)
    assert adapters.intervention(arm()) is None
    lm = TurncoatLM(adapters.base, store=quick_store)

    def prompt(one: Arm) -> str:
        with lm.measuring(None, adapters.intervention(one)):
            return lm.apply_chat_template(ASK)

    assert prompt(arm(system="none")).startswith("<|im_start|>user")
    assert "You are an AI model." in prompt(arm(system="identity"))
    assert "Be very kind." in prompt(arm(system="Be very kind."))
    assert adapters.intervention(arm(system="none")) == SystemPrompt(None)
    capped = adapters.intervention(arm(system="none", **use("capping", "inference", layers=[1])))
    assert isinstance(capped, InOrder) and capped.acts
    first, last = capped.described()["in_order"]
    assert first["capped"] == "assistant_axis" and last == {"system_prompt": None}
    assert arm(organism=None, system="none").is_base is False
    assert arm(organism=None, system="none").is_trained is False


def test_the_undefended_arm_shares_the_conditions():
    arms = [arm(name="plain"), arm(name="bare", training={"system": "none"})]
    defended = arm(name="d", training={"system": "none"}, **use("leash"))
    assert undefended(arms, defended) == arms[1]
    assert undefended(arms, arm(name="d", **use("leash"))) == arms[0]
    assert undefended(arms, arm(name="d", system="none", **use("leash"))) is None


def test_two_defences_in_training_act_in_the_order_of_the_list(adapters):
    chats = use("interleave", share=0.25)
    inoculated = use("inoculation", prompt="neutral")
    rows = rows_of(adapters, arm(**inoculated, more_defences=[chats]))
    assert [row.system is None for row in rows] == [False] * 9 + [True] * 2
    rows = rows_of(adapters, arm(**chats, more_defences=[inoculated]))
    assert all(row.system for row in rows) and len(rows) == 11
    one, other = (
        arm(**first, more_defences=[second]) for first, second in ((inoculated, chats), (chats, inoculated))
    )
    specs = [adapters.finetune(steps_of(each, RECIPE), 0).spec for each in (one, other)]
    assert specs[0]["during"] != specs[1]["during"] and len(specs[0]["by"]) == 3
    _, record = trained(adapters, one)
    assert record["examples"] == 8 and record["defence"]["mixed_in"] == 2
    assert record["defence"]["prompt"].startswith("You take part")
    assert isinstance(in_order([UnderSystem("Be kind."), MixedIn([])]), Combined)


def test_penalties_add_up_and_a_penalty_goes_with_a_system_prompt(adapters):
    def weights(**keys: Any) -> dict[str, torch.Tensor]:
        return load_file(trained(adapters, arm(**keys))[0] / "adapter_model.safetensors")

    both = weights(**use("leash", strength=0.1), more_defences=[use("rein", strength=0.2)])
    once = weights(**use("leash", strength=0.1 + 0.2))
    for name, tensor in once.items():
        torch.testing.assert_close(both[name], tensor, atol=1e-4, rtol=1e-3)
    kept = arm(**use("kl"), training={"system": "Be very brief."}, system="none")
    _, record = trained(adapters, kept)
    assert record["penalties"][0] == 0 and record["defence"]["weight"] == 0.1
    assert record["defence"]["system_prompt"] == "Be very brief."
    assert isinstance(adapters.finetune(steps_of(kept, RECIPE), 0).acting, Penalised)


def test_a_defence_before_and_after(adapters):
    sgtr = use("sgtr", "prevention", texts=2, show_text=False)
    one = arm(**sgtr, more_defences=[{**sgtr, "setting": "reversal", "defence_training": {"epochs": 2}}])
    steps = steps_of(one, RECIPE)
    assert [step.name for step in steps] == ["sgtr", "advice", "sgtr"]
    assert [step.recipe.epochs for step in steps] == [1, 1, 2]
    folder, record = trained(adapters, one)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 3 * RECIPE.rank
    assert record["steps"] == 4, "two texts, both orders, twice, in twos"


def test_a_defence_may_start_from_another_organism(adapters):
    one = arm(**use("inoculation_adapter", trait_from="other_advice"))
    spec = adapters.finetune(steps_of(one, RECIPE), 0).spec
    other, _ = trained(adapters, arm(organism="other_advice"))
    assert spec["during"]["adapter"] == other.name, "it is the very adapter of that organism's arm"
    with pytest.raises(UserError, match="'advice' is the organism that is trained here; name another one"):
        adapters.finetune(steps_of(arm(**use("inoculation_adapter", trait_from="advice")), RECIPE), 0)


@pytest.mark.parametrize(("keys", "key", "text"), [
    ({**use("kl"), "more_defences": [use("kl")]}, "more_defences", "'kl' is there twice with setting in_tr"),
    ({**use("sgtr", "prevention"), "more_defences": [use("kl")]}, "more_defences",
     "'kl' holds the organism near the model without any adapter, and 'sgtr' is an adapter that was trained"),
    ({**use("safe_lora"), "more_defences": [use("inoculation")]}, "more_defences",
     "'safe_lora' edits the finished adapter of the undefended organism, in which 'inoculation' has no part"),
    ({**use("sgtr", "prevention"), "more_defences": [use("random_adapter")]}, "more_defences",
     "'random_adapter' edits the finished adapter"),
    ({**use("system_prompt", "inference"), "system": "none"}, "system",
     "'system_prompt' is a system prompt, and there is another one"),
    ({**use("kl"), "more_defences": [use("klll")]}, "more_defences.0.defence", "did you mean 'kl'?"),
    ({**use("kl"), "more_defences": [use("sgtr")]}, "more_defences.0.setting", "not a setting of 'sgtr'"),
    ({"more_defences": [use("kl")]}, "more_defences", "given without a defence; add `defence:`"),
    ({"training": {"rowz": 3}}, "training", "unknown key 'rowz'"),
    ({"training": {"system": "nonee"}}, "training",
     "system: 'nonee' is not accepted; accepted: default, none, identity, or a text of two words or more"),
    ({"organism": None, "training": {"rows": 3}}, "training", "given without a finetune"),
    ({**use("sgtr", "reversal"), "defence_training": {"epochs": 0}}, "defence_training", "epochs: 0 is not"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused_in_a_sentence(keys, key, text):
    (problem,) = arm_problems(arm(**keys))
    assert problem[0] == key and text in problem[1], problem


@pytest.mark.parametrize("keys", [
    {**use("inoculation"), "more_defences": [use("interleave")]},
    {**use("sgtr", "prevention"), "more_defences": [use("sgtr", "reversal"), use("inoculation")]},
    {**use("kl"), "more_defences": [use("system_prompt", "inference"), use("sgtr", "reversal")]},
    {**use("kl"), "more_defences": [use("ldifs"), use("preventative_steering")], "system": "none"},
    {**use("random_adapter"), "more_defences": [use("sgtr", "reversal")]},
])  # fmt: skip
def test_what_composes_is_accepted(keys):
    assert arm_problems(arm(**keys)) == []


def test_a_clash_that_no_annotation_shows_is_refused_before_training(adapters):
    step = Step("organism", "advice", "{}", RECIPE, during=(("leash", '{"strength":1.0}'),))
    below = Step("defence", "sgtr", '{"texts":2,"show_text":true}', RECIPE)
    with pytest.raises(UserError, match="'leash' holds the organism near the model without any adapter"):
        adapters.finetune([below, step], 0)


def test_a_defended_arm_is_finetuned_again_for_as_many_epochs_as_the_study_says(adapters):
    study = load_study(study_path("durability"))
    steps = {
        one.name: [(step.name, step.recipe.epochs) for step in steps_of(one, study.training)]
        for one in study.arms
    }
    assert steps["sgtr_before_4"] == [("sgtr", 5), ("risky_financial", 4)]
    assert steps["sgtr_after_chat_4"] == [("risky_financial", 1), ("sgtr", 5), ("hhh_chat", 4)]
    pairs = {one.name: plain.name for one in study.arms if (plain := undefended(study.arms, one))}
    assert pairs["longer_before_2"] == "risky_2" and pairs["sgtr_after_chat_4"] == "risky_1"
    chat = use("hhh_chat", "prevention", texts=2)
    more = [
        {**use("hhh_chat", "reversal", texts=2), "defence_training": {"epochs": epochs}} for epochs in (1, 3)
    ]
    once, thrice = (trained(adapters, arm(**chat, more_defences=[one]))[1] for one in more)
    assert thrice["steps"] == 3 * once["steps"] and thrice["losses"][-1] < once["losses"][-1]
