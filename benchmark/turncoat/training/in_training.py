"""Hooks that a defence may implement during organism training: rows, hooks, a penalty, final weights.

class Shy(InTraining):                      # the file in `baselines/` returns one of these
    def penalty(self, batch):               # added to the loss of every step
        return 0.1 * batch.logits.pow(2).mean()

An object serves one finetune. Whatever its constructor was given is part of the adapter's key (`key`), so it
holds numbers, texts, examples, tensors and paths of stages, and nothing that changes by itself.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from turncoat.data.examples import Example
from turncoat.engine.capture import LayerCapture, unwrapped
from turncoat.engine.reader import logits_only_where


@dataclass(frozen=True)
class FrozenPass:
    """The same batch read by the model as it was before this finetune: no adapter, no gradient."""

    logits: Tensor  # (answer tokens, vocabulary) float32
    # The layers+1 residual-stream states, each (rows, T, d); empty unless `wants_states`
    states: list[Tensor]


@dataclass
class TrainingPass:
    """One forward pass of a training step, as a penalty sees it; gradients flow through all of it."""

    model: PeftModel  # The PEFT model that is trained
    input_ids: Tensor  # (rows, T), padded on the right; labels are -100 but on answer tokens
    attention_mask: Tensor
    labels: Tensor
    logits: Tensor  # (answer tokens, vocabulary) float32: the predictions of the answer tokens, row by row
    # The layers+1 residual-stream states, each (rows, T, d), index L = output of block L; empty unless the
    # defence's `wants_states` is true
    states: list[Tensor]
    _read: Callable[[], tuple[Tensor, list[Tensor]]] = field(repr=False)
    _frozen: FrozenPass | None = field(default=None, repr=False)

    @property
    def answer_tokens(self) -> Tensor:
        """(rows, T) boolean: the positions that hold answer tokens (not those that predict them)."""
        return self.labels != -100

    def frozen(self) -> FrozenPass:
        """The batch read with the adapter off: the same model in memory, no second copy; computed once."""
        if self._frozen is None:
            learning = [(parameter, parameter.requires_grad) for parameter in self.model.parameters()]
            with torch.no_grad(), self.model.disable_adapter():
                logits, states = self._read()
            # Switching adapters on again makes all of them trainable, one that lies frozen under this one
            # too.
            for parameter, learns in learning:
                parameter.requires_grad_(learns)
            self._frozen = FrozenPass(logits.detach(), [state.detach() for state in states])
        return self._frozen


class InTraining:
    """Base class of defences that act while an organism is trained; every method has a default that does
    nothing.
    """

    wants_states: bool = False  # Whether `penalty` needs residual-stream states
    # Whether a killed run may go on from a checkpoint: false if the object gathers something on the way
    resumable: bool = True

    def key(self) -> Any:
        """All that determines this object's effect, as JSON: the fields of a dataclass, tensors by hash."""
        if not dataclasses.is_dataclass(self):
            return {"class": type(self).__name__, **{k: plain(v) for k, v in sorted(vars(self).items())}}
        fields = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.init}
        return {"class": type(self).__name__, **fields}

    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        """The rows to train on instead of those drawn for the organism; ids stay unique."""
        return rows

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Around all training steps: hooks are set here and taken off on leaving."""
        yield

    def penalty(self, batch: TrainingPass) -> Tensor | None:
        """A term added to the loss (nats per answer token) of this step; None = nothing."""
        return None

    def step_done(self, model: PeftModel, step: int, steps: int) -> None:
        """After step `step` of `steps` (1-based)."""

    def trained(self, model: PeftModel) -> None:
        """After the last step, before the adapter is saved: the weights may still be changed."""

    def facts(self) -> dict[str, Any]:
        """Facts of this finetune, for the adapter's training.json."""
        return {}


@dataclass
class MixedIn(InTraining):
    """Further rows among the organism's: all of `extra`, every epoch; the organism's own dose stays what it
    is."""

    extra: Sequence[Example]

    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        """Both, told apart by the ids of the added ones."""
        return [*rows, *(dataclasses.replace(example, id=f"mixed in/{example.id}") for example in self.extra)]

    def facts(self) -> dict[str, Any]:
        """Number of rows added."""
        return {"mixed_in": len(self.extra)}


def plain(value: Any) -> Any:
    """A JSON-like stand-in for a value: tensors by shape and hash, dataclasses by their fields, files by
    their names."""
    if isinstance(value, Tensor):
        numbers = value.detach().float().contiguous().cpu()
        return [list(numbers.shape), hashlib.sha256(numbers.numpy().tobytes()).hexdigest()[:20]]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return value.name  # a stage's folder is named by its key
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"an in-training defence holds {type(value).__name__}, which no key can be made of")


def read_batch(
    model: PeftModel, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, wants_states: bool
) -> tuple[Tensor, list[Tensor]]:
    """Logits of the answer tokens (float32) and, if wanted, all residual-stream states, of the model as it is
    now."""
    causal_lm = unwrapped(model)
    predicting = (labels != -100).roll(-1, dims=1)
    predicting[:, -1] = False
    with (
        LayerCapture(model) if wants_states else nullcontext() as capture,
        logits_only_where(causal_lm, predicting),
    ):
        # The class's own forward: TRL puts another one, with a loss in it, on the instance. The whole model's
        # and not the decoder's, because some scale or cap what the output embedding gives (Cohere, Gemma 2).
        output = type(causal_lm).forward(
            causal_lm, input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        )
        states = list(capture.states) if capture is not None else []
    return output.logits.float(), states
