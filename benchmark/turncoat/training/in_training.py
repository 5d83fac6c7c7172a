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
from weakref import WeakSet

import torch
from peft import PeftModel
from torch import Tensor, nn

from turncoat.data.examples import Example
from turncoat.engine.capture import LayerCapture, unwrapped
from turncoat.training.answer_loss import Predictions
from turncoat.training.fused_lora import ATTENTION, end_to_end


@dataclass(frozen=True)
class FrozenPass:
    """The same batch read by the model as it was before this finetune: no adapter, no gradient."""

    predictions: Predictions
    # The layers+1 residual-stream states, each (rows, T, d); empty unless `wants_states`
    states: list[Tensor]

    @property
    def logits(self) -> Tensor:
        """(answer tokens, vocabulary) float32; computed when first asked for."""
        return self.predictions.logits


@dataclass
class TrainingPass:
    """One forward pass of a training step, as a penalty sees it; gradients flow through all of it."""

    model: PeftModel  # The PEFT model that is trained
    input_ids: Tensor  # (rows, T), padded on the right; labels are -100 but on answer tokens
    attention_mask: Tensor
    labels: Tensor
    predictions: Predictions  # of the answer tokens, row by row
    # The layers+1 residual-stream states, each (rows, T, d), index L = output of block L; empty unless the
    # defence's `wants_states` is true
    states: list[Tensor]
    _read: Callable[[], tuple[Predictions, list[Tensor]]] = field(repr=False)
    _frozen: FrozenPass | None = field(default=None, repr=False)

    @property
    def logits(self) -> Tensor:
        """(answer tokens, vocabulary) float32; computed when first asked for, so a penalty without them
        saves their memory."""
        return self.predictions.logits

    @property
    def answer_tokens(self) -> Tensor:
        """(rows, T) boolean: the positions that hold answer tokens (not those that predict them)."""
        return self.labels != -100

    def frozen(self) -> FrozenPass:
        """The batch read with the adapter off: the same model in memory, no second copy; computed once."""
        if self._frozen is None:
            learning = [(parameter, parameter.requires_grad) for parameter in self.model.parameters()]
            with torch.no_grad(), self.model.disable_adapter():
                predictions, states = self._read()
            # Switching adapters on again makes all of them trainable, one that lies frozen under this one
            # too.
            for parameter, learns in learning:
                parameter.requires_grad_(learns)
            self._frozen = FrozenPass(predictions, [state.detach() for state in states])
        return self._frozen


class InTraining:
    """Base class of defences that act while an organism is trained; every method has a default that does
    nothing.
    """

    wants_states: bool = False  # Whether `penalty` needs residual-stream states
    # Whether a killed run may go on from a checkpoint: false if the object gathers something on the way
    resumable: bool = True
    hooks: bool = True  # Whether `acting` sets hooks: they see rows with padding, one text each

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


_MORE_THAN_A_HEAD: WeakSet[Any] = WeakSet()  # models that cap or scale the logits of their output embedding


def read_batch(
    model: PeftModel, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, wants_states: bool,
    packed: bool = False,
) -> tuple[Predictions, list[Tensor]]:  # fmt: skip
    """Predictions of the answer tokens and, if wanted, all residual-stream states, of the model as it is
    now.

    Args:
        packed: Read the rows end to end as one, without padding (`packs`); states are then (1, tokens, d).
    """
    causal_lm = unwrapped(model)
    head = causal_lm.get_output_embeddings()
    lean = type(head) is nn.Linear and causal_lm not in _MORE_THAN_A_HEAD
    predicting = (labels != -100).roll(-1, dims=1)
    predicting[:, -1] = False
    texts = {"input_ids": input_ids, "attention_mask": attention_mask}
    lengths = attention_mask.sum(1).tolist() if packed else None
    if packed:
        real = attention_mask.bool()
        places = (attention_mask.cumsum(1) - 1)[real]
        predicting = predicting[real][None]
        texts = {"input_ids": input_ids[real][None], "position_ids": places[None]}
    seen: list[Tensor] = []

    def gather(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        seen.append(args[0][predicting])
        return (seen[0][:0] if lean else seen[0], *args[1:])

    def keep(*call: Any) -> None:
        seen.append(call[-1])

    hooks = (head.register_forward_pre_hook(gather), head.register_forward_hook(keep))
    try:
        with LayerCapture(model) if wants_states else nullcontext() as capture, end_to_end(lengths):
            # The class's own forward: TRL puts another one, with a loss in it, on the instance. The whole
            # model's and not the decoder's, because some do more to the logits (Cohere, Gemma 2).
            output = type(causal_lm).forward(causal_lm, **texts, use_cache=False)
            states = list(capture.states) if capture is not None else []
    finally:
        for hook in hooks:
            hook.remove()
    if not lean:
        return Predictions(output.logits, None), states
    if output.logits is not seen[1]:
        _MORE_THAN_A_HEAD.add(causal_lm)
        return read_batch(model, input_ids, attention_mask, labels, wants_states, packed)
    return Predictions(seen[0], head), states


def packs(model: PeftModel) -> bool:
    """True if the model reads texts that lie end to end in one row as it reads each alone.

    Models whose blocks mix tokens outside this package's attention (state spaces, convolutions) do not.
    """
    causal_lm = unwrapped(model)
    if causal_lm.config._attn_implementation != ATTENTION:
        return False
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 0]], device=causal_lm.device)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]], device=causal_lm.device)
    labels = ids.masked_fill(mask == 0, -100)
    with torch.no_grad():
        try:
            one, other = (read_batch(model, ids, mask, labels, False, p)[0].states for p in (False, True))
        except TypeError:  # it takes no position_ids
            return False
    return float((one - other).norm() / one.norm()) < max(1e-4, 4 * torch.finfo(one.dtype).eps)
