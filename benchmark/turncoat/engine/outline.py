"""Outline of a base model: its shapes without its weights, for keys and plans on a machine without memory
for it."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel


class NoWeights(RuntimeError):
    """Something ran the outline of a model."""


def outline_of(path: str, dtype: "torch.dtype | str", **from_pretrained: Any) -> PreTrainedModel | None:
    """The model at `path` on the meta device, or None where only its weights tell their precision.

    Its parameters take no memory. Running it raises `NoWeights`.

    Args:
        path: Hugging Face id or local folder.
        dtype: "auto" is what the configuration names.
    """
    config = AutoConfig.from_pretrained(path, **{k: v for k, v in from_pretrained.items() if k not in _LATER})
    wanted = config.get_text_config().dtype if dtype == "auto" else dtype
    if wanted is None:
        return None
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(
            config, dtype=wanted, trust_remote_code=from_pretrained.get("trust_remote_code", False)
        )
    model.get_input_embeddings().register_forward_pre_hook(_refuse)
    outline: PreTrainedModel = model
    return outline


_LATER = ("attn_implementation", "use_safetensors")


def _refuse(*_: Any) -> None:
    raise NoWeights("the outline of a model has no weights to run")
