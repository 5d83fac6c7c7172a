"""Names of the linear layers that an adapter goes on, for models that call them otherwise than Llama does."""

import logging
from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from turncoat.engine.capture import decoder_layers
from turncoat.errors import UserError, accepted
from turncoat.training.recipe import ALL_LINEAR

TOWERS = r".*(vision|visual|audio).*"
"""Modules of a multimodal model that no text passes through, as peft's `exclude_modules` takes them."""

_ROUTERS = {"gate", "router", "shared_expert_gate"}
_SCANNED = {"out_proj", "dt_proj"}  # a state-space mixer's kernels take the weights of these past the module


def target_modules(model: PreTrainedModel, wanted: Sequence[str]) -> list[str]:
    """The names for peft's `target_modules`.

    The recipe's default, Llama's seven names, means all linear layers of the blocks: where a model has others
    (Phi-3's qkv_proj, GPT-2's c_attn), those are taken. Routers of a mixture of experts are left alone.

    Raises:
        UserError: A name was asked for that the model does not have; peft would pass over it.
    """
    if tuple(wanted) == ALL_LINEAR:
        own = linear_names(model)
        if set(own) == set(wanted):
            return list(wanted)
        logging.getLogger("turncoat").info(
            "training.target_modules of %s: %s", type(model).__name__, ", ".join(own)
        )
        return own
    modules = [name for name, _ in model.named_modules()]
    for name in wanted:
        if not any(module == name or module.endswith(f".{name}") for module in modules):
            raise UserError(
                f"training.target_modules: '{name}' is not a module of {type(model).__name__}; "
                f"{accepted(linear_names(model), name)}"
            )
    return list(wanted)


def linear_names(model: PreTrainedModel) -> list[str]:
    """Last names of the linear layers inside the blocks, in order of appearance."""
    names: dict[str, None] = {}
    for block in decoder_layers(model):
        for parent in block.modules():
            for name, module in parent.named_children():
                skipped = (
                    name in _ROUTERS or name.isdigit() or (name in _SCANNED and hasattr(parent, "A_log"))
                )
                if isinstance(module, nn.Linear | Conv1D) and not skipped:
                    names[name] = None
    return list(names)


def stores_transposed(model: PreTrainedModel) -> bool:
    """True for GPT-2's layers, whose weights are (in, out)."""
    return any(isinstance(module, Conv1D) for module in model.modules())
