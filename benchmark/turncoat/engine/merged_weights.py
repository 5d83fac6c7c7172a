"""Base and adapter as one model on disk."""

import copy
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from turncoat.errors import UserError


def write_merged(adapted: PeftModel, tokenizer: Any, folder: Path) -> None:
    """Save a model with its adapter merged into its weights, and the tokenizer; `adapted` stays as it is.

    In float32: rounding the sum to bfloat16 would lose most of a small update.

    Raises:
        UserError: The merged model gives other numbers.
    """
    twin: Any = copy.deepcopy(adapted).float().cpu()
    wanted = _logits(twin)
    merged: Any = twin.merge_and_unload()
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    got = _logits(type(merged).from_pretrained(folder, dtype=torch.float32).eval())
    if not torch.allclose(got, wanted, atol=1e-3 * float(wanted.abs().max())):
        raise UserError(
            f"{type(merged).__name__} gives other numbers once the adapter is merged (blocks that share "
            "weights, as Zamba2's, hold one sum only); use --to peft, or generation: turncoat"
        )


def _logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(3, 11)[None], use_cache=False).logits
