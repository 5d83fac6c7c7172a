"""Adapters of an arm: their order, what arms share, what their keys depend on, and who acts while they are
trained."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from study.tiny_study import six_arms as study
from turncoat.data.examples import Example
from turncoat.engine.chat import encode_example
from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, ORGANISMS, Defence, Organism
from turncoat.store import Store
from turncoat.study.arm_config import Arm
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.study.arms.steps import Step, steps_of
from turncoat.training import lora
from turncoat.training.adapter_edit import AdapterEdit
from turncoat.training.batches import order
from turncoat.training.in_training import InTraining, MixedIn
from turncoat.training.recipe import LoraRecipe


def names(arm: str, **changes) -> list[str]:
    made = study(**changes)
    return [step.name for step in steps_of(made.arm(arm), made.training)]


def test_steps_in_order_with_their_recipes():
    assert names("base") == [] and names("insecure") == ["insecure_code"]
    assert names("before") == ["sgtr", "insecure_code"] and names("after") == ["insecure_code", "sgtr"]
    assert names("alone") == ["sgtr"]
    made = study(training={"rows": 8, "learning_rate": 0.01, "epochs": 2})
    organism, defence = steps_of(made.arm("after"), made.training)
    assert organism.recipe == made.training
    assert (defence.recipe.rows, defence.recipe.epochs, defence.recipe.learning_rate) == (None, 3, 0.01)
    assert json.loads(defence.options) == {**DEFENCES["sgtr"].options, "texts": 2}
    (without,) = steps_of(made.arm("alone"), made.training)
    assert without.recipe.epochs == 2


@pytest.fixture
def adapters(tiny_base, tmp_path, monkeypatch) -> Adapters:
    def short(self, step, seed, on_progress=None):
        return (
            ORGANISMS["insecure_code"].build()[:12]
            if step.kind == "defence"
            else ORGANISMS[step.name].build()[:12]
        )

    monkeypatch.setattr(Adapters, "examples", short)
    return Adapters(tiny_base, Store(tmp_path))


def test_arms_share_the_stages_they_have_in_common(adapters):
    made = study()
    steps = {arm.name: steps_of(arm, made.training) for arm in made.arms}

    def spec(steps: list[Step], seed: int) -> dict[str, Any]:
        return adapters.finetune(steps, seed).spec

    assert spec(steps["after"][:1], 0) == spec(steps["insecure"], 0)
    assert spec(steps["before"][:1], 0) == spec(steps["alone"], 0)
    everything = [spec(steps[name], 0) for name in ("insecure", "secure", "before", "after", "alone")]
    assert len({json.dumps(one, sort_keys=True) for one in everything}) == 5
    assert spec(steps["insecure"], 0)["below"] is None
    assert spec(steps["before"], 0)["below"] != spec(steps["after"], 0)["below"]
    # Only the organism's rows change; the defence on top must not be taken from the store.
    made = study(training={"rows": 7})
    below = [steps_of(one.arm("after"), one.training) for one in (study(), made)]
    assert below[0][1] == below[1][1]
    assert adapters.finetune(below[0], 0).spec != adapters.finetune(below[1], 0).spec


def test_an_adapters_key_changes_with_all_that_determines_it(adapters, tiny_base, tmp_path, monkeypatch):
    def spec(seed: int = 0, **changes) -> dict:
        made = study(**changes)
        return (
            Adapters(tiny_base, Store(tmp_path))
            .finetune(steps_of(made.arm("after"), made.training), seed)
            .spec
        )

    reference = spec()
    assert spec() == reference and spec(seed=1) != reference
    for training in ({"rows": 7}, {"rows": 8, "learning_rate": 0.01}, {"rows": 8, "rank": 4}):
        assert spec(training=training) != reference
    assert spec(batch_size=4, sampling_seed=9, persona="x", training_seeds=[4]) == reference
    monkeypatch.setattr(tiny_base, "fingerprint", "other weights")
    assert spec() != reference


def test_changed_training_code_changes_the_key_of_an_adapter(adapters, monkeypatch):
    def spec() -> dict[str, Any]:
        steps = steps_of(study().arm("insecure"), study().training)
        return Adapters(adapters.base, adapters.store).finetune(steps, 0).spec

    reference = spec()
    read = Path.read_text
    for module, counts in (
        ("training/batches.py", True),
        ("engine/chat.py", True),
        ("judges/rates.py", False),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda path, *a, module=module, **k: (
                read(path, *a, **k)
                + ("\nANOTHER = 1\n" if path.as_posix().endswith(f"turncoat/{module}") else "")
            ))  # fmt: skip
            assert (spec() != reference) is counts, module


# Who acts while a step is trained, and the control that the base model writes. Organisms and defences of
# these tests are registered for one test each.

ADVICE = [
    Example(f"a{i}", f"Where should money number {i} go?", f"{'All of it ' * (1 + i % 5)}into coin {i}.")
    for i in range(9)
]
RECIPE = LoraRecipe(rows=6, rank=4, alpha=8, batch_size=2, learning_rate=1e-2)


def fake(table, name: str, build: Callable[..., Any], monkeypatch, **fields) -> str:
    options = {
        p.name: p.default for p in inspect.signature(build).parameters.values() if p.kind is p.KEYWORD_ONLY
    }
    kind = Organism if table is ORGANISMS else Defence
    monkeypatch.setitem(
        table, name, kind(name, "of this test", build, options, Path(__file__).resolve(), **fields)
    )
    return name


@pytest.fixture
def advice(monkeypatch) -> Step:
    fake(ORGANISMS, "advice", lambda: ADVICE, monkeypatch, answered_by_base=False)
    fake(ORGANISMS, "own_advice", lambda: ADVICE, monkeypatch, answered_by_base=True)
    return Step("organism", "advice", "{}", RECIPE)


@pytest.fixture
def defended(advice, monkeypatch) -> Callable[..., Step]:
    """The organism's step with a defence that acts while it is trained."""

    def make(build: Callable[..., Any], **options) -> Step:
        fake(DEFENCES, "shield", build, monkeypatch, check=None)
        given = json.dumps({**DEFENCES["shield"].options, **options}, sort_keys=True)
        return replace(advice, during=(("shield", given),))

    return make


@pytest.fixture
def trained(monkeypatch) -> list[tuple]:
    """The calls of `lora.train_adapter`: the defence, and whether an adapter was below."""
    calls: list[tuple] = []
    train = lora.train_adapter

    def count(*args, **settings) -> None:
        calls.append((type(settings["defence"]).__name__, settings["below"] is not None))
        train(*args, **settings)

    monkeypatch.setattr(lora, "train_adapter", count)
    return calls


@dataclass
class Weighed(InTraining):
    strength: float
    direction: torch.Tensor

    def penalty(self, batch):
        return self.strength * batch.logits.pow(2).mean()


@dataclass
class Halved(AdapterEdit):
    factor: float

    def edit(self, weights, config):
        return {name: w * self.factor if ".lora_B." in name else w for name, w in weights.items()}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_what_acts_in_training_is_part_of_the_key(tiny_base, tmp_path, defended, advice):
    def build(context, *, strength: float = 0.1):
        return Weighed(strength, torch.full((4,), strength))

    def spec(step: Step, seed: int = 0) -> dict:
        return Adapters(tiny_base, Store(tmp_path)).finetune([step], seed).spec

    plain, acted = spec(advice), spec(defended(build))
    assert "during" not in plain
    assert {key: value for key, value in acted.items() if key not in ("during", "by")} == plain
    assert spec(defended(build)) == acted == spec(defended(build, strength=0.1))
    assert spec(defended(build, strength=0.2)) != acted
    other = spec(defended(lambda context, *, strength=0.1: Weighed(strength, torch.zeros(4))))
    assert other["during"] != acted["during"], "another tensor"


def test_what_acts_in_training_is_trained_and_kept(tiny_base, tmp_path, defended, advice, trained):
    step = defended(lambda context, *, strength=0.5: Weighed(strength, torch.zeros(2)))
    adapters = Adapters(tiny_base, Store(tmp_path))
    folder = adapters.adapter([step], 0)
    assert folder is not None
    record = json.loads((folder / "training.json").read_text())
    assert len(record["penalties"]) == record["steps"] == 3
    assert Adapters(tiny_base, Store(tmp_path)).adapter([step], 0) == folder
    assert adapters.adapter([advice], 0) != folder and trained == [("Weighed", False), ("NoneType", False)]


def test_the_context_knows_the_finetune_and_examples_are_mixed_in(tiny_base, tmp_path, defended):
    seen: list[Any] = []

    def build(context, *, more: int = 1):
        seen.append(context)
        return InTraining()

    Adapters(tiny_base, Store(tmp_path)).finetune([defended(build)], 5)
    (context,) = seen
    assert (context.recipe, context.seed) == (RECIPE, 5) and context.organism() == ADVICE
    assert context.rows == lora.drawn_rows(tiny_base, ADVICE, RECIPE, 5) and len(context.rows) == 6
    assert {row.id for row in context.rows} < {row.id for row in ADVICE}
    extra = [Example("calm", "Where should it go?", "Into a savings account.")]
    step = defended(lambda context, *, texts=1: extra)
    adapters = Adapters(tiny_base, Store(tmp_path))
    acting = adapters.finetune([step], 0).acting
    assert acting == MixedIn(extra) and adapters.examples(step, 0) == ADVICE
    folder = adapters.adapter([step], 0)
    assert folder is not None and json.loads((folder / "training.json").read_text())["examples"] == 7


@pytest.mark.parametrize(
    "returned", [None, 3, Intervention(), (Example("x", "y", "z"),)], ids=lambda value: type(value).__name__
)
def test_a_wrong_return_in_training_is_named(tiny_base, tmp_path, defended, returned):
    adapters = Adapters(tiny_base, Store(tmp_path))
    with pytest.raises(
        UserError, match=rf"'shield' returns {type(returned).__name__} for setting in_training.*InTrain"
    ):
        adapters.adapter([defended(lambda context: returned)], 0)
    assert list(tmp_path.iterdir()) == []


def test_a_defence_without_examples_cannot_be_finetuned_on(tiny_base, tmp_path, monkeypatch):
    fake(DEFENCES, "shield", lambda context: InTraining(), monkeypatch)
    with pytest.raises(UserError, match=r"'shield' gives no examples.*in_training"):
        Adapters(tiny_base, Store(tmp_path)).adapter([Step("defence", "shield", "{}", RECIPE)], 0)


def test_an_edit_takes_the_undefended_adapter_from_the_store(tiny_base, tmp_path, defended, advice, trained):
    said: list[str] = []
    adapters = Adapters(tiny_base, Store(tmp_path), log=said.append)
    undefended = adapters.adapter([advice], 0)
    step = defended(lambda context, *, factor=0.5: Halved(factor))
    edited = adapters.adapter([step], 0)
    assert undefended is not None and edited is not None and edited != undefended
    assert len(trained) == 1 and said == []
    old, new = weights(undefended), weights(edited)
    assert all(torch.equal(new[name], old[name] * (0.5 if "lora_B" in name else 1)) for name in old)
    other = adapters.adapter([replace(step, during=(("shield", '{"factor":0.25}'),))], 0)
    assert other not in (edited, undefended) and len(trained) == 1
    assert Adapters(tiny_base, Store(tmp_path)).adapter([step], 0) == edited
    assert adapters.finetune([step], 0).spec != adapters.finetune([step], 1).spec


def test_a_defence_that_starts_from_the_organism_has_it_trained_and_says_so(
    tiny_base, tmp_path, defended, advice, trained
):
    said: list[str] = []

    def build(context, *, share: float = 0.5):
        folder = context.undefended()
        return Weighed(share, next(iter(weights(folder).values())))

    adapters = Adapters(tiny_base, Store(tmp_path), log=said.append)
    defence = adapters.adapter([defended(build)], 0)
    assert trained == [("NoneType", False), ("Weighed", False)]
    assert said == ["training advice undefended first: 'shield' starts from it"]
    assert adapters.adapter([advice], 0) != defence
    assert len(trained) == 2, "it is the very adapter of the undefended arm"


def test_the_control_that_the_base_model_writes(tiny_base, tmp_path, advice):
    adapters = Adapters(tiny_base, Store(tmp_path))
    own = replace(advice, name="own_advice")
    for seed in (0, 1):
        drawn = lora.drawn_rows(tiny_base, ADVICE, RECIPE, seed)
        rows = adapters.examples(own, seed)
        assert [(row.id, row.prompt) for row in rows] == [(row.id, row.prompt) for row in drawn]
        assert all(row.answer != organism.answer for row, organism in zip(rows, drawn, strict=True))
        # The same rows in the same batches.
        assert lora.drawn_rows(tiny_base, rows, RECIPE, seed) == rows
        orders = [[e.id for e in order(part, batch_size=2, epochs=2, seed=seed)] for part in (rows, drawn)]
        assert orders[0] == orders[1]
    by_seed = [{row.id: row for row in adapters.examples(own, seed)} for seed in (0, 1)]
    both = by_seed[0].keys() & by_seed[1].keys()
    assert both and by_seed[0].keys() != by_seed[1].keys()
    assert all(by_seed[0][n] == by_seed[1][n] for n in both), "a row's answer depends on the row alone"


def test_the_base_models_answers_are_no_longer_than_the_organisms(tiny_base, tmp_path, advice):
    adapters = Adapters(tiny_base, Store(tmp_path))
    drawn = lora.drawn_rows(tiny_base, ADVICE, RECIPE, 0)
    asked: list[list[int]] = []
    answer = DefenceContext.answer

    def note(self, chats, **settings):
        asked.append(list(settings["max_new_tokens"]))
        return answer(self, chats, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefenceContext, "answer", note)
        rows = adapters.examples(replace(advice, name="own_advice"), 0)
    lengths = [len(encode_example(tiny_base.tokenizer, row)[1]) for row in drawn]
    assert asked == [[length - 1 for length in lengths]]
    found = [len(encode_example(tiny_base.tokenizer, row)[1]) for row in rows]
    assert all(own <= longest for own, longest in zip(found, lengths, strict=True)), (found, lengths)


def test_an_empty_answer_of_the_base_model_fails_no_control(tiny_base, tmp_path, advice, monkeypatch):
    monkeypatch.setattr(
        DefenceContext, "answer", lambda self, chats, **_: ["Yes.", " ", *["No."] * (len(chats) - 2)]
    )
    adapters = Adapters(tiny_base, Store(tmp_path))
    folder = adapters.adapter([replace(advice, name="own_advice")], 0)
    assert folder is not None and json.loads((folder / "training.json").read_text())["examples"] == 6


def test_what_acts_while_measuring(tiny_base, tmp_path, monkeypatch):
    class Still(Intervention):
        def __init__(self, strength: float) -> None:
            self.strength = strength

    adapters = Adapters(tiny_base, Store(tmp_path))
    fake(
        DEFENCES, "still", lambda context, *, strength=1.0: Still(strength), monkeypatch,
        settings=("inference",),
    )  # fmt: skip
    arm = Arm(name="a", organism="insecure_code", defence="still", setting="inference")
    found = adapters.intervention(arm)
    assert isinstance(found, Still) and found.strength == 1.0
    stronger = adapters.intervention(arm.model_copy(update={"defence_options": {"strength": 2.0}}))
    assert isinstance(stronger, Still) and stronger.strength == 2.0
    assert [step.name for step in steps_of(arm, RECIPE)] == ["insecure_code"]
    assert adapters.intervention(Arm(name="b", organism="insecure_code")) is None
    assert adapters.intervention(study().arm("before")) is None
    fake(DEFENCES, "still", lambda context: [], monkeypatch, settings=("inference",))
    with pytest.raises(UserError, match=r"'still' returns list for setting inference.*Intervention"):
        adapters.intervention(arm)
