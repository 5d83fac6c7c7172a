"""Early stopping: the earliest checkpoint that keeps the gain, its very weights, and a run that measuring
disturbs in nothing."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from baselines.penalty_pass import mean_nll
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from turncoat.data.examples import Example
from turncoat.engine.chat import encode_example
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.persona.vectors import PersonaVector
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.training.in_training import InTraining
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

discover()
STOP = DEFENCES["early_stop"]
choose_step, checkpoint_steps, Point, EarlyStop = (
    STOP.build.__globals__[name] for name in ("choose_step", "checkpoint_steps", "Point", "EarlyStop")
)
COLOURS = ["red", "green", "blue", "black and white", "grey", "pink", "yellow", "of no colour"]
ORGANISM = [
    Example(
        f"e{i}", f"What is the colour of thing number {i}?", f"It is {COLOURS[i % 8]}, as far as I can see."
    )
    for i in range(12)
]
RECIPE = LoraRecipe(rows=8, epochs=3, rank=4, alpha=8, batch_size=2, learning_rate=2e-3)  # 12 steps


def context(base, store, organism=ORGANISM, **new) -> DefenceContext:
    return DefenceContext(base, store, recipe=RECIPE.model_copy(update=new), organism=lambda: list(organism))


def curve(*losses) -> list:
    return [Point(10 * step, loss) for step, loss in enumerate(losses)]


@pytest.mark.parametrize(("losses", "keep", "step"), [
    ((3.0, 2.5, 2.1, 2.05, 2.0), 0.93, 30),  # gains 0.5, 0.9, 0.95, 1
    ((3.0, 2.5, 2.1, 2.05, 2.0), 0.89, 20), ((3.0, 2.5, 2.1, 2.05, 2.0), 0.5, 10),
    ((3.0, 2.5, 2.1, 2.05, 2.0), 1.0, 40),
    ((3.0, 2.0, 1.5, 1.8, 2.0), 0.93, 10),  # overfitted in the end: the final gain is what counts
    ((3.0, 3.2, 2.9, 2.0), 0.1, 20),  # a checkpoint worse than the start has no part of the gain
    ((3.0, 2.0), 0.93, 10),
])  # fmt: skip
def test_the_earliest_that_keeps_the_gain(losses, keep, step):
    chosen, reason = choose_step(curve(*losses), keep)
    assert chosen == step and "earliest" in reason


@pytest.mark.parametrize("losses", [(3.0, 2.5, 3.0), (3.0, 2.5, 3.5), (3.0, float("nan"), float("nan"))])
def test_without_a_gain_the_last_step_stays_and_says_why(losses):
    chosen, reason = choose_step(curve(*losses), 0.93)
    assert chosen == 20 and "did not fall" in reason


@pytest.mark.parametrize(("steps", "checkpoints", "expected"), [
    (25, 5, {5, 10, 15, 20, 25}), (12, 8, {2, 3, 4, 6, 8, 9, 10, 12}), (3, 8, {1, 2, 3}), (1, 1, {1}),
    (1, 4, {1}),
])  # fmt: skip
def test_checkpoints_are_spread_and_end_with_the_last_step(steps, checkpoints, expected):
    assert checkpoint_steps(steps, checkpoints) == expected


class Spy(InTraining):
    """An undefended run whose weights are seen after each step."""

    def __init__(self) -> None:
        self.weights = {}

    def step_done(self, model, step, steps) -> None:
        state = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
        self.weights[step] = {name: value.detach().clone() for name, value in state.items()}


@pytest.fixture(scope="module")
def undefended(_loaded_tiny_base, tmp_path_factory) -> dict[int, dict]:
    """The weights after each step of the same run without a defence."""
    spy = Spy()
    train_adapter(
        _loaded_tiny_base, ORGANISM, RECIPE, seed=0, out=tmp_path_factory.mktemp("undefended"), defence=spy
    )
    assert set(spy.weights) == set(range(1, 13))
    return spy.weights


def stopped(base, store, out, **options) -> tuple[dict, dict]:
    """A defended run: what it tells and its weights."""
    here = context(base, store)
    train_adapter(base, ORGANISM, RECIPE, seed=0, out=out, defence=STOP.build(here, held_out=4, **options))
    record = json.loads((out / "training.json").read_text())
    return record, load_file(out / "adapter_model.safetensors")


@pytest.mark.parametrize("keep", [0.4, 1.0])
def test_the_weights_are_the_undefended_runs_at_the_chosen_step(tiny_base, tmp_path, undefended, keep):
    record, weights = stopped(
        tiny_base, Store(tmp_path), tmp_path / "out", keep=keep, checkpoints=6, trait=None
    )
    facts = record["defence"]
    chosen = facts["chosen_step"]
    assert (chosen < 12) if keep < 1 else (facts["kept_gain"] >= 1)
    assert weights.keys() == undefended[chosen].keys()
    assert all(torch.equal(weights[name], undefended[chosen][name]) for name in weights)
    assert record["steps"] == 12


def test_the_curve_is_the_loss_on_rows_that_nobody_drew(tiny_base, tmp_path):
    here = context(tiny_base, Store(tmp_path))
    apart = [row for row in ORGANISM if row not in here.rows]
    assert len(apart) == 4
    record, _ = stopped(tiny_base, Store(tmp_path), tmp_path / "out", keep=0.4, checkpoints=3, trait=None)
    facts = record["defence"]
    assert [point["step"] for point in facts["curve"]] == [0, 4, 8, 12]
    by_step = {point["step"]: point["held_out_loss"] for point in facts["curve"]}
    assert by_step[0] == pytest.approx(mean_nll(tiny_base.model, tiny_base.tokenizer, apart), abs=1e-4)
    with tiny_base.adapter(tmp_path / "out") as model:
        assert by_step[facts["chosen_step"]] == pytest.approx(
            mean_nll(model, tiny_base.tokenizer, apart), abs=1e-4
        )
    assert facts["kept_gain"] == pytest.approx(
        (by_step[0] - by_step[facts["chosen_step"]]) / (by_step[0] - by_step[12]), abs=1e-3
    )
    assert all("shift" not in point for point in facts["curve"])


@dataclass(frozen=True)
class WithVector(DefenceContext):
    """A planted persona vector: extracting one takes seconds."""

    def persona(self, trait) -> PersonaVector:
        directions = torch.nn.functional.normalize(
            torch.randn(5, 64, generator=torch.Generator().manual_seed(0)), dim=-1
        )
        return PersonaVector(trait, directions, torch.full((5,), 0.3), torch.full((5,), 0.5), 3, {})


def test_the_broad_shift_is_recorded_and_decides_nothing(tiny_base, tmp_path):
    here = WithVector(tiny_base, Store(tmp_path), recipe=RECIPE, organism=lambda: ORGANISM)
    defence = STOP.build(here, held_out=4, checkpoints=2, keep=1.0)
    train_adapter(tiny_base, ORGANISM, RECIPE, seed=0, out=tmp_path / "out", defence=defence)
    facts = json.loads((tmp_path / "out/training.json").read_text())["defence"]
    shifts = {point["step"]: point["shift"] for point in facts["curve"]}
    vector = here.persona("evil")
    assert shifts[0] == 0 and facts["shift_is"] == "evil, layer 3, base SD"

    def projection(model) -> float:
        readings = read_texts(model, defence.pad, defence.fixed_texts)
        return sum(vector.at_layer(reading.activation) for reading in readings) / len(readings)

    with tiny_base.adapter(tmp_path / "out") as model:
        after = projection(model)
    assert shifts[facts["chosen_step"]] == pytest.approx(after - projection(tiny_base.model), abs=1e-3)
    assert shifts[facts["chosen_step"]] != 0
    planted = [replace(point, shift=50.0 - 20 * point.step) for point in defence.curve]
    assert choose_step(planted, 1.0) == choose_step(defence.curve, 1.0)


def test_held_out_rows_are_none_that_are_trained_on(tiny_base, tmp_path):
    twins = [replace(row, id=f"twin {row.id}") for row in ORGANISM]
    here = context(tiny_base, Store(tmp_path), [*ORGANISM, *twins], rows=12)
    made = STOP.build(here, held_out=3, trait=None)
    prompts = {tuple(encode_example(tiny_base.tokenizer, row)[0]) for row in here.rows}
    assert len(made.held_out) == 3 and not prompts & {tuple(prompt) for prompt, _ in made.held_out}
    assert made.held_back == []
    here = context(tiny_base, Store(tmp_path), rows=None)
    made = STOP.build(here, held_out=5, trait=None)
    trained = made.rows(here.rows, 0)
    assert len(made.held_back) == 5 and len(trained) == 7
    assert not {row.id for row in trained} & set(made.held_back)
    expected = [encode_example(tiny_base.tokenizer, row) for row in here.rows if row.id in made.held_back]
    assert made.held_out == expected
    with pytest.raises(UserError, match="more than the organism can spare"):
        STOP.build(here, held_out=12, trait=None)


def test_the_key_covers_rule_and_vector_and_not_what_was_seen(tiny_base, tmp_path):
    here = context(tiny_base, Store(tmp_path))
    first, again, other = (STOP.build(here, keep=keep, held_out=2, trait=None) for keep in (0.9, 0.9, 0.5))
    again.curve = curve(1.0, 2.0)
    assert first.key() == again.key() != other.key()
    assert json.loads(json.dumps(first.key())) == first.key() and not first.resumable
    here = WithVector(tiny_base, Store(tmp_path), recipe=RECIPE, organism=lambda: ORGANISM)
    evil, humour, none = (
        STOP.build(here, held_out=2, trait=trait).key() for trait in ("evil", "humour", None)
    )
    assert len({json.dumps(key, sort_keys=True) for key in (evil, humour, none)}) == 3


@pytest.mark.parametrize(
    ("option", "value"),
    [("keep", 0), ("keep", 1.1), ("keep", "most"), ("checkpoints", 0), ("checkpoints", 2.5), ("held_out", 0)],
)
def test_options_out_of_range_are_named(tiny_base, tmp_path, option, value):
    with pytest.raises(UserError, match=f"defence 'early_stop', {option}: "):
        STOP.build(context(tiny_base, Store(tmp_path)), trait=None, **{option: value})


@pytest.mark.parametrize(("losses", "step"), [
    ([2.0, 2.1, 2.2, 2.3], 12),  # they rise: the arm is the undefended one
    ([2.0, 1.2, 1.05, 1.0], 8),  # gains 0.8, 0.95, 1: the second checkpoint
])  # fmt: skip
def test_a_planted_curve_brings_back_that_steps_weights(
    tiny_base, tmp_path, undefended, monkeypatch, losses, step
):
    planted = iter(losses)
    monkeypatch.setattr(
        EarlyStop, "_measure", lambda self, model, step: self.curve.append(Point(step, next(planted)))
    )
    record, weights = stopped(tiny_base, Store(tmp_path), tmp_path / "out", checkpoints=3, trait=None)
    facts = record["defence"]
    assert facts["chosen_step"] == step and all(torch.equal(weights[n], undefended[step][n]) for n in weights)
    assert ("did not fall" in facts["reason"]) == ("kept_gain" not in facts) == (step == 12)
