"""Attention of a single row that holds a forest of texts (`prefix_tree.py`), through transformers' interface.

Each run of tokens attends over its own ancestors alone, gathered from the row, so that the cost is that of
the texts and not of the whole row squared.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from turncoat.engine.model_kind import decodes_in_rows
from turncoat.engine.reading.prefix_tree import Run

_PREFIX = "turncoat_tree_"
_ATTENTIONS = ("sdpa", "eager")


class _Call(NamedTuple):
    queries: slice
    columns: slice | Tensor
    mask: Tensor | None  # (1, 1, queries, columns) bool; None = causal over themselves


_calls: ContextVar[Sequence[_Call]] = ContextVar("turncoat_tree_calls")


def longest_in_tree(model: PreTrainedModel) -> int:
    """The most tokens of a text that `model` can read in a forest: 0 where it cannot.

    A layer with a sliding window sees the whole of a text that fits into it.
    """
    if not decodes_in_rows(model) or model.config._attn_implementation not in _ATTENTIONS:
        return 0
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ("sliding_attention",))
    window = getattr(config, "sliding_window", None) if "sliding_attention" in kinds else None
    return int(window) if window else sys.maxsize


@contextmanager
def tree_attention(model: PreTrainedModel, runs: Sequence[Run]) -> Iterator[None]:
    """Within this block a pass of `model` over one row attends along the runs of the row's forest."""
    original = model.config._attn_implementation
    device: Any = model.get_input_embeddings().weight.device
    token = _calls.set([_call(run, device, original == "sdpa") for run in runs])
    model.set_attn_implementation(_PREFIX + original)
    try:
        yield
    finally:
        model.set_attn_implementation(original)
        _calls.reset(token)


def _call(run: Run, device: torch.device, knows_causal: bool) -> _Call:
    first, after = run.columns[0], run.columns[-1] + 1
    together = after - first == len(run.columns)
    alone = len(run.branches) == 1 and len(run.columns) == run.stop - run.start
    return _Call(
        slice(run.start, run.stop),
        slice(first, after) if together else torch.tensor(run.columns, device=device),
        None if alone and knows_causal else run.sees()[None, None].to(device),
    )


def _per_run(name: str) -> Callable[..., tuple[Tensor, None]]:
    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, _: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        # Models keep their own eager attention next to their layers (Gemma's caps the scores, for instance).
        inner = (
            sys.modules[type(module).__module__].__dict__["eager_attention_forward"]
            if name == "eager"
            else ALL_ATTENTION_FUNCTIONS[name]
        )
        parts = []
        for call in _calls.get():
            mask = call.mask
            if name == "eager" and mask is not None:
                mask = query.new_zeros(mask.shape).masked_fill_(~mask, torch.finfo(query.dtype).min)
            tensors = (query[:, :, call.queries], key[:, :, call.columns], value[:, :, call.columns], mask)
            parts.append(inner(module, *tensors, **kwargs)[0])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1), None

    return attend


for _name in _ATTENTIONS:
    ALL_ATTENTION_FUNCTIONS.register(_PREFIX + _name, _per_run(_name))
