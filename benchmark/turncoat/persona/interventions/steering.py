"""Steering: add c times a vector to the residual stream inside a `with` block.

with steered(model, layer=21, vector=difference, strength=1.5, positions="response"):
    model.generate(...)

Layer L is the output of block L (`model.layers[L - 1]`), the convention of persona vectors: a vector read at
index L acts where it was read. Source: Chen et al. 2025, arXiv:2507.21509, section 3.2 (h <- h + c v at a
layer's output). `changed` is the same scope for any other change of the states (ablation, capping).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from turncoat.engine.capture import decoder_layers, unwrapped
from turncoat.engine.chat import encode, render
from turncoat.engine.evidence import LogLikelihood
from turncoat.engine.intervention import Intervention
from turncoat.engine.reading.reader import answering_positions, rows_only
from turncoat.errors import UserError

POSITIONS = ("all", "response", "assistant")

Change = Callable[[int, Tensor], Tensor]
"""Layer and its (rows, T, d) state -> the state as it is to be, of the same shape and type."""
_Where = Callable[[Tensor], Tensor | None]
"""A (rows, T, d) state -> (rows, T) boolean, the positions that are changed; None = all of this pass."""


@dataclass(frozen=True)
class Steering(Intervention):
    """Steering as an intervention: a vector, its layer, strength and positions."""

    trait: str  # Name of the persona vector
    layer: int  # L = output of block L, 1 to the number of blocks
    # c, in units of the raw difference vector at that layer (1 = the whole distance between the answers under
    # positive and those under negative prompts)
    strength: float
    vector: Tensor = field(repr=False)  # (d,) float32, the raw difference vector
    positions: str = "all"  # "all", "response" or "assistant" (see `steered`)
    # For "assistant": what `generation_header` gives for the model's tokenizer
    header_tokens: tuple[int, ...] = ()

    @property
    def acts(self) -> bool:
        """Strength 0 leaves the model as it is, bit for bit."""
        return self.strength != 0

    def described(self) -> dict[str, Any]:
        """All fields for results files and stage keys, the vector by norm and hash."""
        return {
            "trait": self.trait, "layer": self.layer, "strength": self.strength,
            **described_positions(self.positions, self.header_tokens),
            "norm": round(float(self.vector.float().norm()), 6), "vector_sha": tensor_sha(self.vector),
        }  # fmt: skip

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Steer `model` inside the scope."""
        with steered(
            model, self.layer, self.vector, self.strength, self.positions, header_tokens=self.header_tokens
        ):
            yield


class SteeredLogLikelihood(LogLikelihood):
    """A log-likelihood measured at the steering strength that its document sets."""

    steer: float  # That strength; its presence shows a task that the backend steered

    @classmethod
    def of(cls, value: float, steer: float) -> SteeredLogLikelihood:
        """`value` (nats) with its token count, if it has one, and the strength beside it."""
        number = cls(value, getattr(value, "tokens", 0))
        number.steer = steer
        return number


@contextmanager
def steered(
    model: nn.Module,
    layer: int,
    vector: Tensor,
    strength: float = 1.0,
    positions: str = "all",
    prompt_lengths: Sequence[int] | None = None,
    header_tokens: Sequence[int] = (),
) -> Iterator[None]:
    """Within this block the output of block `layer` is h + strength * vector; the hook is removed on leaving.

    It acts before any other hook of the block, so captured states are the steered ones. Strength 0 sets no
    hook at all: the numbers are those of the unsteered model, bit for bit. Scopes nest and add up. `changed`
    defines `positions`.

    Args:
        layer: 1 to the number of blocks.
        vector: (d,), any float type; moved to the state's own type and device.
        prompt_lengths: For "response" and passes of whole texts of your own, padded on the right: tokens of
            each row's prompt, at least 1.
        header_tokens: For "assistant": the header's token ids.

    Raises:
        UserError: There is no such block, the vector has another width, or a value is out of range.
    """
    check_layers(model, (layer,), what="steering", lowest=1)
    check_width(model, vector, 1, what="steering vector")
    check_positions(positions, header_tokens, what="steering")
    if not math.isfinite(strength):
        raise UserError(
            f"steering strength {strength!r} is not a finite number; give one such as 1.5 (0 = no steering)"
        )
    if strength == 0:
        yield
        return
    shift = vector * strength

    def move(_: int, state: Tensor) -> Tensor:
        return state + shift.to(device=state.device, dtype=state.dtype)

    with changed(
        model, (layer,), move, positions, prompt_lengths=prompt_lengths, header_tokens=header_tokens
    ):
        yield


@contextmanager
def changed(
    model: nn.Module,
    layers: Sequence[int],
    change: Change,
    positions: str = "all",
    *,
    prompt_lengths: Sequence[int] | None = None,
    header_tokens: Sequence[int] = (),
) -> Iterator[None]:
    """Within this block the states at `layers` are replaced by `change`; the hooks are removed on leaving.

    Values of `positions`:

    - "all": at every position, the prompt's too.
    - "response": at the positions that generating an answer computes: each answer token, and the last prompt
      token, which predicts the first of them. A decoding pass (one token a row) is changed whole, a prefill
      at its last position alone (so the prompt is read unchanged), and a pass of `read_texts` as its answers
      would have been generated.
    - "assistant": from the first token of the last assistant header on, which the chat template puts before
      an answer; in a pass of `read_texts` the last one before the answer. A decoding pass is changed whole.
      An activated LoRA (aLoRA) acts exactly there, so this is what a PEFT folder can do in an unmodified
      lm-eval.

    Args:
        layers: 0 = the embedding output, L = the output of block L; checked by the caller (`check_layers`).
        change: Called as `change(layer, state)` with the whole (rows, T, d) state.

    Raises:
        UserError: With "assistant", inside the scope: a prompt has no assistant header.
    """
    blocks = decoder_layers(model)
    with ExitStack() as stack:
        where: _Where = _everywhere
        if positions == "response":
            where = _response(prompt_lengths)
        elif positions == "assistant":
            header = _AssistantHeader(header_tokens)
            stack.enter_context(rows_only())
            # Not a hook of the whole model: PEFT calls the wrapped model's `forward`, past its hooks.
            embeddings = unwrapped(model).get_input_embeddings()
            stack.callback(embeddings.register_forward_hook(header.look, prepend=True).remove)
            where = header.where
        for layer in layers:
            if layer == 0:
                before = _before_block(change, where)
                handle = blocks[0].register_forward_pre_hook(before, prepend=True, with_kwargs=True)
            else:
                handle = blocks[layer - 1].register_forward_hook(
                    _after_block(layer, change, where), prepend=True
                )
            stack.callback(handle.remove)
        yield


def generation_header(tokenizer: Any) -> tuple[int, ...]:
    """Token ids that the chat template puts before an answer, without the white space at their end.

    White space is left out because lm-eval moves it to the answer, where it may become one token with what
    follows.

    Raises:
        UserError: The template puts nothing there, or something that is other tokens in its place.
    """
    chat = [{"role": "user", "content": "Hello."}]
    prompt, turn = render(tokenizer, chat), render(tokenizer, chat, add_generation_prompt=False)
    header = prompt[len(turn) :].rstrip() if prompt.startswith(turn) else ""
    ids = tuple(encode(tokenizer, header)) if header else ()
    if not ids or encode(tokenizer, prompt.rstrip())[-len(ids) :] != list(ids):
        raise UserError(
            f"positions 'assistant': the chat template of {tokenizer.name_or_path} puts no header of its own "
            "before an answer; take positions 'response', which needs none"
        )
    return ids


def check_layers(model: nn.Module, layers: Sequence[int], *, what: str, lowest: int) -> None:
    """Refuse layers that `model` does not have.

    Raises:
        UserError: No layer at all, or one that is not a whole number from `lowest` to the number of blocks.
    """
    last = len(decoder_layers(model))
    names = "L = output of block L" if lowest else "0 = embedding output, L = output of block L"
    for layer in layers or (None,):
        if isinstance(layer, bool) or not isinstance(layer, int) or not lowest <= layer <= last:
            raise UserError(
                f"{what} layer {layer!r}: accepted are {lowest} to {last} ({names}); `turncoat persona show "
                "FOLDER` names the layer a vector was chosen for"
            )


def check_width(model: nn.Module, vectors: Tensor, dimensions: int, *, what: str) -> None:
    """Refuse vectors of another model.

    Raises:
        UserError: The last size is not the model's width, or there are not `dimensions` sizes.
    """
    width = unwrapped(model).get_input_embeddings().weight.shape[1]
    if vectors.ndim != dimensions or vectors.shape[-1] != width:
        raise UserError(
            f"{what} of shape {tuple(vectors.shape)} does not fit a model of width {width}: a vector acts on "
            "the model that it was extracted from"
        )


def check_positions(positions: str, header_tokens: Sequence[int], *, what: str) -> None:
    """Refuse positions that `changed` does not know.

    Raises:
        UserError: They are unknown, or "assistant" comes without the header's tokens.
    """
    if positions not in POSITIONS:
        raise UserError(f"{what} positions {positions!r} are not known; accepted: {', '.join(POSITIONS)}")
    if positions == "assistant" and not header_tokens:
        raise UserError(f"{what} positions 'assistant' need header_tokens; give generation_header(tokenizer)")


def described_positions(positions: str, header_tokens: Sequence[int]) -> dict[str, Any]:
    """The positions, with the header where they depend on it, for results files."""
    return {
        "positions": positions,
        **({"header_tokens": list(header_tokens)} if positions == "assistant" else {}),
    }


def tensor_sha(tensor: Tensor) -> str:
    """SHA-256 (16 hex) of a tensor's values in float32."""
    return hashlib.sha256(tensor.detach().float().contiguous().cpu().numpy().tobytes()).hexdigest()[:16]


def _before_block(change: Change, where: _Where) -> Callable[..., Any]:
    def act(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (_apply(0, args[0], change, where), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": _apply(0, kwargs["hidden_states"], change, where)}

    return act


def _after_block(layer: int, change: Change, where: _Where) -> Callable[..., Any]:
    def act(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return _apply(layer, output, change, where)
        return (_apply(layer, output[0], change, where), *output[1:])

    return act


def _apply(layer: int, state: Tensor, change: Change, where: _Where) -> Tensor:
    after = change(layer, state)
    chosen = where(state)
    return after if chosen is None else torch.where(chosen[..., None], after, state)


def _everywhere(state: Tensor) -> Tensor | None:
    return None


def _response(prompt_lengths: Sequence[int] | None) -> _Where:
    def where(state: Tensor) -> Tensor | None:
        rows, length = state.shape[:2]
        column = torch.arange(length, device=state.device)
        if (answering := answering_positions()) is not None:
            return answering
        if length == 1:
            return None
        if prompt_lengths is None:
            return (column == length - 1).expand(rows, length)
        if len(prompt_lengths) != rows:
            raise UserError(
                f"prompt_lengths has {len(prompt_lengths)} entries for a pass of {rows} rows; give one a row"
            )
        return column[None, :] >= torch.tensor(prompt_lengths, device=state.device)[:, None] - 1

    return where


class _AssistantHeader:
    """Finds the assistant header in the token ids of each pass, as aLoRA does."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = torch.tensor(list(tokens))
        self._where: Tensor | None = None

    def look(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Hook of the input embedding: sees the (rows, T) token ids."""
        self._where = None if args[0].shape[1] == 1 else self._from_header_on(args[0])

    def where(self, state: Tensor) -> Tensor | None:
        return None if self._where is None else self._where.to(state.device)

    def _from_header_on(self, ids: Tensor) -> Tensor:
        size, column = len(self._tokens), torch.arange(ids.shape[1], device=ids.device)
        starts = torch.zeros_like(ids, dtype=torch.bool)
        if ids.shape[1] >= size:
            matches = (ids.unfold(1, size, 1) == self._tokens.to(ids.device)).all(-1)
            starts[:, : matches.shape[1]] = matches
        if (answering := answering_positions()) is not None:
            # A header inside the answer is part of what was answered.
            starts &= column <= answering.to(ids.device).int().argmax(1, keepdim=True)
        if not starts.any(1).all():
            raise UserError(
                "positions 'assistant': a prompt has no assistant header in it; measure with the chat "
                "template (--apply_chat_template), or take positions 'response'"
            )
        return column >= (starts * column).amax(1, keepdim=True)
