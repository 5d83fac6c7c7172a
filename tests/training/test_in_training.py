"""A defence in training: its key, rows, hooks, penalty and last step; and the state it must not move."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from turncoat.data.examples import Example
from turncoat.engine.capture import LayerCapture
from turncoat.engine.chat import encode_example
from turncoat.errors import TrainingDiverged, UserError
from turncoat.training import lora
from turncoat.training.in_training import FrozenPass, InTraining, MixedIn, TrainingPass
from turncoat.training.recipe import LoraRecipe

EXAMPLES = [Example(f"e{i}", f"Thing {i}?", f"It is {'so ' * (i % 4)}{i}.") for i in range(8)]
RECIPE = LoraRecipe(rows=6, rank=4, alpha=8, batch_size=2, learning_rate=1e-2)  # 3 steps


def train(base, out: Path, defence: InTraining | None = None, **settings) -> dict[str, Any]:
    lora.train_adapter(base, EXAMPLES, RECIPE, seed=0, out=out, defence=defence, **settings)
    return json.loads((out / "training.json").read_text())


def weights_of(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def answer_loss(batch: TrainingPass) -> Tensor:
    """As the trainer computes it, so that subtracting it leaves no gradient at all."""
    targets = batch.input_ids[batch.answer_tokens]
    return batch.predictions.loss(targets) / len(targets)


@dataclass
class Held(InTraining):
    """Holds one of everything that a key can be made of."""

    direction: Tensor
    examples: tuple[Example, ...] = tuple(EXAMPLES[:2])
    folder: Path | None = None
    strengths: dict[str, list[float]] = field(default_factory=lambda: {"a": [0.5]})
    seen: list[Any] = field(init=False, default_factory=list)


def test_a_key_is_the_class_and_its_content():
    def held() -> Held:
        return Held(torch.arange(6.0).view(2, 3), folder=Path("/somewhere/adapter/abc"))

    first, second = held(), held()
    second.seen.append(object())  # working state
    second.folder = Path("/elsewhere/adapter/abc")  # another store
    second.direction = torch.arange(6.0).view(3, 2).t().contiguous().t().reshape(2, 3)
    second.direction = torch.arange(6.0).view(2, 3).t().contiguous().t()  # other strides, same numbers
    assert first.key() == second.key() and json.loads(json.dumps(first.key())) == first.key()
    assert first.key()["class"] == "Held"

    class Shy(InTraining):
        def __init__(self, strength: float) -> None:
            self.strength = strength

    class Bold(Shy):
        pass

    assert Shy(0.1).key() == {"class": "Shy", "strength": 0.1}
    assert len({json.dumps(one.key()) for one in (Shy(0.1), Shy(0.2), Bold(0.1))}) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"direction": torch.tensor([[0.0, 1, 2], [3, 4, 5.000001]])},
        {"direction": torch.arange(6.0).view(3, 2)},
        {"examples": (EXAMPLES[0],)},
        {
            "examples": (
                EXAMPLES[0],
                Example("e1", EXAMPLES[1].prompt, EXAMPLES[1].answer, system="Be brief."),
            )
        },
        {"folder": Path("adapter/other")},
        {"strengths": {"a": [0.25]}},
    ],
    ids=["a number", "a shape", "fewer examples", "a system message", "another stage", "a strength"],
)
def test_other_content_gives_another_key(changed):
    plain: dict[str, Any] = {"direction": torch.arange(6.0).view(2, 3), "folder": Path("adapter/abc")}
    assert Held(**{**plain, **changed}).key() != Held(**plain).key()


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, lambda: 1, Held], ids=["object", "set", "function", "class"]
)
def test_what_no_key_can_be_made_of_is_refused(value):
    with pytest.raises(TypeError, match="no key"):
        Held(value).key()


def test_mixed_in_rows_are_added_and_change_no_dose(tiny_base, tmp_path):
    extra = [EXAMPLES[0], Example("other", "Hello?", "Yes.", length=3)]
    mixed = MixedIn(extra)
    rows = mixed.rows(EXAMPLES[:5], 0)
    assert rows[:5] == EXAMPLES[:5]
    assert [(row.prompt, row.answer, row.length) for row in rows[5:]] == [
        (e.prompt, e.answer, e.length) for e in extra
    ]
    assert len({row.id for row in rows}) == 7 and mixed.facts() == {"mixed_in": 2}
    extra = [Example("e0", "Hello there?", "Yes, I am here.")]
    plain, mixed = train(tiny_base, tmp_path / "plain"), train(tiny_base, tmp_path / "mixed", MixedIn(extra))
    assert (plain["examples"], mixed["examples"]) == (6, 7)
    added = len(encode_example(tiny_base.tokenizer, extra[0])[1])
    assert mixed["supervised_tokens"] == plain["supervised_tokens"] + added
    assert mixed["defence"] == {"mixed_in": 1}
    with pytest.raises(UserError, match="id"):
        train(tiny_base, tmp_path / "adapter", Doubled())


@dataclass
class Doubled(InTraining):
    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        return [*rows, rows[0]]


def test_a_system_message_of_the_defence_pushes_no_row_out(tiny_base, tmp_path):
    @dataclass
    class Prompted(InTraining):
        def rows(self, rows: list[Example], seed: int) -> list[Example]:
            return [
                Example(r.id, r.prompt, r.answer, system="Be so kind as to be brief. " * 12) for r in rows
            ]

    lengths = [sum(map(len, encode_example(tiny_base.tokenizer, r))) for r in Prompted().rows(EXAMPLES, 0)]
    recipe = RECIPE.model_copy(update={"max_length": min(lengths) - 1})
    lora.train_adapter(tiny_base, EXAMPLES, recipe, seed=0, out=tmp_path / "adapter", defence=Prompted())
    record = json.loads((tmp_path / "adapter" / "training.json").read_text())
    assert (record["examples"], record["left_out"], record["steps"]) == (6, 0, 3)
    assert record["tokens"] > 6 * recipe.max_length


def test_doing_nothing_gives_the_same_bytes_and_no_penalty_counts_as_zero(tiny_base, tmp_path):
    none, idle = train(tiny_base, tmp_path / "none"), train(tiny_base, tmp_path / "idle", InTraining())
    assert weights_of(tmp_path / "none") == weights_of(tmp_path / "idle")
    assert {**none, "seconds": 0} == {**idle, "seconds": 0} and "penalties" not in none
    assert "defence" not in none

    @dataclass
    class Sometimes(InTraining):
        step: int = field(init=False, default=0)

        def penalty(self, batch: TrainingPass) -> Tensor | None:
            self.step += 1
            return batch.logits.pow(2).mean() if self.step == 2 else None

    penalties = train(tiny_base, tmp_path / "adapter", Sometimes())["penalties"]
    assert [p > 0 for p in penalties] == [False, True, False]


@dataclass
class Opposed(InTraining):
    """Takes the answer loss away again, and adds the size of one layer's state."""

    layer: int | None = None
    wants_states = True

    def penalty(self, batch: TrainingPass) -> Tensor:
        own = 0.0 if self.layer is None else 0.1 * batch.states[self.layer].pow(2).mean()
        return own - answer_loss(batch)


def test_the_penalty_acts_on_the_weights_and_not_on_the_logged_loss(tiny_base, tmp_path):
    plain, seen = train(tiny_base, tmp_path / "plain"), []
    record = train(tiny_base, tmp_path / "opposed", Opposed(), progress=lambda *step: seen.append(step[2]))
    learnt = load_file(tmp_path / "opposed" / "adapter_model.safetensors")
    assert all(w.abs().max() == 0 for name, w in learnt.items() if "lora_B" in name), (
        "loss minus loss moves nothing"
    )
    assert record["losses"][0] == plain["losses"][0] > 0 and record["losses"] != plain["losses"]
    assert record["penalties"] == pytest.approx([-loss for loss in record["losses"]], abs=1e-5)
    assert [round(loss, 6) for loss in seen] == record["losses"]


@pytest.mark.parametrize("layer", [0, 1, 2, 4])
def test_state_l_is_the_output_of_block_l_and_has_a_gradient(tiny_base, tmp_path, layer):
    """A penalty on it alone trains the blocks up to L, and none above."""
    train(tiny_base, tmp_path / "adapter", Opposed(layer))
    learnt = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    moved = {
        int(name.partition("layers.")[2].partition(".")[0])
        for name, w in learnt.items()
        if "lora_B" in name and w.abs().max() > 0
    }
    assert moved == set(range(layer))


@dataclass
class Watched(InTraining):
    """Notes what is called and when; its hook counts the passes."""

    broken: bool = False
    events: list[Any] = field(init=False, default_factory=list)
    passes: int = field(init=False, default=0)

    @contextmanager
    def acting(self, model: Any) -> Iterator[None]:
        self.events.append("enter")
        handle = model.get_base_model().model.layers[0].register_forward_hook(self._count)
        try:
            yield
        finally:
            handle.remove()
            self.events.append("leave")

    def _count(self, *_: Any) -> None:
        self.passes += 1

    def penalty(self, batch: TrainingPass) -> Tensor:
        self.events.append("penalty")
        return batch.logits.mean() * (math.nan if self.broken and self.events.count("penalty") == 2 else 0.0)

    def step_done(self, model: Any, step: int, steps: int) -> None:
        self.events.append((step, steps))

    def trained(self, model: Any) -> None:
        self.events.append("trained")

    def facts(self) -> dict[str, Any]:
        return {"passes": self.passes}


def test_a_defence_is_called_in_order_and_leaves_no_hook(tiny_base, tmp_path):
    watched = Watched()
    record = train(tiny_base, tmp_path / "adapter", watched)
    steps = [event for step in (1, 2, 3) for event in ("penalty", (step, 3))]
    assert watched.events == ["enter", *steps, "trained", "leave"] and record["defence"] == {"passes": 3}
    plain = train(tiny_base, tmp_path / "plain")["losses"]
    assert record["losses"] == pytest.approx(plain, abs=1e-5), (
        "its penalty is zero: the same but for rounding"
    )
    watched = Watched(broken=True)
    with pytest.raises(TrainingDiverged, match="nan at step 2"):
        train(tiny_base, tmp_path / "adapter", watched)
    assert watched.events == ["enter", "penalty", (1, 3), "penalty", (2, 3), "leave"]
    tiny_base.model(torch.tensor([[5]]))
    assert watched.passes == 2 and tiny_base.active is tiny_base.model


@pytest.mark.parametrize("stacked", [False, True])
def test_the_last_word_on_the_weights_is_what_is_saved(tiny_base, tmp_path, stacked):
    class Overwritten(InTraining):
        def trained(self, model: Any) -> None:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if "lora_B.default" in name:
                        parameter.fill_(0.25)

    below = None
    if stacked:
        below = tmp_path / "below"
        train(tiny_base, below)
    train(tiny_base, tmp_path / "adapter", Overwritten(), below=below)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    own = [w[:, -RECIPE.rank :] for name, w in saved.items() if "lora_B" in name]
    scale = RECIPE.alpha / RECIPE.rank if stacked else 1.0  # concatenation folds it into B
    assert own and all(torch.equal(w, torch.full_like(w, 0.25 * scale)) for w in own)


@dataclass
class Compared(InTraining):
    """Reads every batch with the adapter off, twice, and keeps the last one."""

    wants: bool = True
    passes: int = field(init=False, default=0)
    batch: TrainingPass | None = field(init=False, default=None)
    frozen: FrozenPass | None = field(init=False, default=None)

    @property
    def wants_states(self) -> bool:  # type: ignore[override]
        return self.wants

    @contextmanager
    def acting(self, model: Any) -> Iterator[None]:
        handle = model.get_base_model().model.layers[0].register_forward_hook(self._count)
        yield
        handle.remove()

    def _count(self, *_: Any) -> None:
        self.passes += 1

    def penalty(self, batch: TrainingPass) -> None:
        learning = {name for name, p in batch.model.named_parameters() if p.requires_grad}
        assert learning
        self.batch, self.frozen = batch, batch.frozen()
        assert batch.frozen() is self.frozen and batch.model.training
        assert {name for name, p in batch.model.named_parameters() if p.requires_grad} == learning
        passes = self.passes
        with torch.no_grad():
            again, _ = batch._read()
        self.passes = passes
        assert torch.equal(again.logits, batch.logits), "the adapter is on again"


@pytest.mark.parametrize("wants", [True, False])
def test_the_frozen_pass_is_the_base_model(tiny_base, tmp_path, wants):
    compared = Compared(wants)
    train(tiny_base, tmp_path / "adapter", compared)
    batch, frozen = compared.batch, compared.frozen
    assert batch is not None and frozen is not None
    assert compared.passes == 2 * 3, "one pass with the adapter and one without it for each step"
    assert not frozen.logits.requires_grad and batch.logits.requires_grad
    assert not torch.allclose(frozen.logits, batch.logits, atol=1e-3), (
        "after two steps the adapter does something"
    )
    assert tiny_base.active is tiny_base.model
    with torch.no_grad(), LayerCapture(tiny_base.model) as capture:
        logits = tiny_base.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        states = list(capture.states)
    predicting = batch.answer_tokens[:, 1:]
    assert torch.allclose(frozen.logits, logits[:, :-1][predicting].float(), atol=1e-4)
    assert batch.logits.dtype == frozen.logits.dtype == torch.float32
    assert len(batch.states) == len(frozen.states) == (5 if wants else 0)
    real = batch.attention_mask.bool()
    for index, state in enumerate(frozen.states):
        assert state.shape == (*batch.input_ids.shape, 64)
        assert torch.allclose(state[real], states[index][real], atol=1e-4) and not state.requires_grad
        assert batch.states[index].requires_grad is (index > 0)


@pytest.mark.parametrize("stacked", [False, True])
def test_the_frozen_pass_moves_no_weight(tiny_base, tmp_path, stacked):
    below = None
    if stacked:
        below = tmp_path / "below"
        train(tiny_base, below)
    train(tiny_base, tmp_path / "plain", below=below)
    train(tiny_base, tmp_path / "compared", Compared(), below=below)
    assert weights_of(tmp_path / "compared") == weights_of(tmp_path / "plain")


def test_answer_tokens_are_the_answers(tiny_base, tmp_path):
    compared = Compared(wants=False)
    record = train(tiny_base, tmp_path / "adapter", compared)
    batch = compared.batch
    assert batch is not None
    ids = [row[mask].tolist() for row, mask in zip(batch.input_ids, batch.answer_tokens, strict=True)]
    answers = [encode_example(tiny_base.tokenizer, example)[1] for example in EXAMPLES]
    assert len(ids) == 2 and all(one in answers for one in ids)
    assert len(batch.logits) == int(batch.answer_tokens.sum())
    assert float(answer_loss(batch).detach()) == pytest.approx(record["losses"][-1], abs=1e-5)
