"""Residual-stream states of a forward pass, captured by hooks inside a `with` block."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from turncoat.errors import UserError

_LISTS = ("layers", "h", "blocks")
_TOWERS = ("vision", "visual", "audio")


def unwrapped(model: nn.Module) -> Any:
    """The Hugging Face model inside a PEFT wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The transformer blocks of a causal language model, in order; inside a PEFT wrapper or not.

    The blocks are the `ModuleList` called `layers` (Llama and most others), `h` (GPT-2, Bloom, Falcon) or
    `blocks` (MPT, RWKV) with as many members as the text configuration says. A vision or audio tower is
    passed over.

    Raises:
        UserError: no such list exists, or several do.
    """
    base = unwrapped(model)
    wanted = base.config.get_text_config().num_hidden_layers
    found = {
        name: module
        for name, module in base.named_modules()
        if name.rpartition(".")[2] in _LISTS and isinstance(module, nn.ModuleList) and len(module) == wanted
    }
    if len(found) > 1:
        found = {name: m for name, m in found.items() if not any(part in name for part in _TOWERS)}
    if len(found) != 1:
        raise UserError(
            f"model {type(base).__name__}: found {len(found)} lists of {wanted} blocks "
            f"({', '.join(_LISTS)}), need exactly 1; activation capture knows decoder-only models: "
            "benchmark/turncoat/engine/README.md lists those that were tried"
        )
    return next(iter(found.values()))


class LayerCapture:
    """Context manager that captures every residual-stream state of each forward pass.

    Index 0 is the input of the first block (the embedding output, after any scaling), index L the raw output
    of block L; the last one is taken before the final norm.

    Args:
        model: a causal language model, PEFT-wrapped or not.
        on_state: called as `on_state(index, state)` with `state` of shape (rows, T, d) while the pass runs;
            nothing is then kept. Without it the states of the latest pass stay readable in `states`.
    """

    def __init__(self, model: nn.Module, on_state: Callable[[int, Tensor], None] | None = None) -> None:
        self._layers = decoder_layers(model)
        self._on_state = on_state
        self._handles: list[RemovableHandle] = []
        self._latest: list[Tensor | None] = [None] * (len(self._layers) + 1)

    @property
    def states(self) -> list[Tensor]:
        """The layers+1 states of the latest pass, each (rows, T, d), the model's own tensors and not
        copies."""
        complete = [state for state in self._latest if state is not None]
        if len(complete) != len(self._latest):
            raise RuntimeError(
                "LayerCapture.states was read before a forward pass ran inside the `with` block"
            )
        return complete

    def __enter__(self) -> LayerCapture:
        try:
            self._handles.append(self._layers[0].register_forward_pre_hook(self._see_input, with_kwargs=True))
            for index, layer in enumerate(self._layers, start=1):
                self._handles.append(layer.register_forward_hook(self._output_hook(index)))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._latest = [None] * len(self._latest)

    def _see(self, index: int, state: Tensor) -> None:
        if self._on_state is None:
            self._latest[index] = state
        else:
            self._on_state(index, state)

    def _see_input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._see(0, args[0] if args else kwargs["hidden_states"])

    def _output_hook(self, index: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._see(index, output if isinstance(output, torch.Tensor) else output[0])

        return hook
