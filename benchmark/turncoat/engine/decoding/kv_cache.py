"""Key/value cache of the rows being decoded, laid out so that a row's bits do not depend on the other rows.

A row keeps the key and value of its true position p in column p. Companions with longer texts would widen the
matrix products of attention over columns, and a BLAS may then add up the very same numbers in another order,
although the masked ones are exact zeros (MKL in float32 gives other bits for 256 columns than for 192 or
320). So attention runs once per group of neighbouring rows that need the same number of columns, with exactly
that many.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from turncoat.errors import UserError

COLUMN_STEP = 64
"""Columns are handed to attention in multiples of this, so that the masked tail never meets a partial
vector."""

_PREFIX = "turncoat_rows_"
_ATTENTIONS = ("sdpa", "eager")

Span = tuple[int, int, int]
"""(first row, row after the last, columns): neighbouring rows that attend over the same number of columns."""

Prefix = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of one prompt, per layer, each (1, heads, length, head_dim)."""

_spans: ContextVar[Sequence[Span] | None] = ContextVar("turncoat_spans", default=None)


class RowCache(Cache):
    """Keys and values of up to `capacity` rows, each row at its own position.

    Memory grows in column steps with the longest row and is given back by `clear`.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(layers=[])
        self.capacity = capacity
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._row_index = torch.empty(0, dtype=torch.long)
        self._columns = torch.empty(0, dtype=torch.long)
        self._spans: list[Span] = []

    @property
    def width(self) -> int:
        """Columns allocated now."""
        return self._keys[0].shape[2] if self._keys else 0

    def clear(self) -> None:
        """Forget all rows and free their memory."""
        self._keys, self._values = [], []

    def put(self, row: int, prefix: Prefix) -> None:
        """Copy a prefilled prompt into `row`."""
        length = prefix[0][0].shape[2]
        if not self._keys:
            for keys, values in prefix:
                self._keys.append(keys.new_zeros((self.capacity, keys.shape[1], 0, keys.shape[3])))
                self._values.append(values.new_zeros((self.capacity, values.shape[1], 0, values.shape[3])))
        self._widen(length)
        for layer, (keys, values) in enumerate(prefix):
            self._keys[layer][row, :, :length] = keys[0]
            self._values[layer][row, :, :length] = values[0]

    def keep(self, rows: Sequence[int]) -> None:
        """Close the gaps: the row now at `rows[i]` (ascending) moves to i."""
        first = next((i for i, row in enumerate(rows) if row != i), len(rows))
        if first == len(rows):
            return
        moved = torch.tensor(rows[first:], device=self._keys[0].device)
        for store in (*self._keys, *self._values):
            store[first : len(rows)] = store[moved]

    def prepare(self, positions: Sequence[int]) -> Tensor:
        """Get ready for one token per row at `positions`; returns the additive attention mask (rows, 1, 1,
        columns)."""
        self._widen(max(positions) + 1)
        keys = self._keys[0]
        self._row_index = torch.arange(len(positions), device=keys.device)
        self._columns = torch.tensor(positions, device=keys.device)
        self._spans = _spans_of(positions)
        columns = max(span[2] for span in self._spans)
        hidden = torch.arange(columns, device=keys.device)[None, :] > self._columns[:, None]
        mask = torch.zeros(hidden.shape, dtype=keys.dtype, device=keys.device)
        return mask.masked_fill_(hidden, torch.finfo(keys.dtype).min)[:, None, None, :]

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Within this block the model's attention runs per group of rows, as the last `prepare` found
        them."""
        token = _spans.set(self._spans)
        try:
            yield
        finally:
            _spans.reset(token)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by the model: write each row's new key and value (rows, heads, 1, head_dim), return the
        whole rows."""
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        keys[self._row_index, :, self._columns] = key_states[:, :, 0]
        values[self._row_index, :, self._columns] = value_states[:, :, 0]
        rows = len(key_states)
        return keys[:rows], values[:rows]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns in use by the longest row; the sampler passes explicit positions, so models only glance at
        this."""
        return max((span[2] for span in self._spans), default=0)

    def _widen(self, columns: int) -> None:
        missing = _round_up(columns, COLUMN_STEP) - self.width
        if missing > 0:
            self._keys = [torch.nn.functional.pad(store, (0, 0, 0, missing)) for store in self._keys]
            self._values = [torch.nn.functional.pad(store, (0, 0, 0, missing)) for store in self._values]


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _spans_of(positions: Sequence[int]) -> list[Span]:
    spans: list[Span] = []
    for row, position in enumerate(positions):
        columns = _round_up(position + 1, COLUMN_STEP)
        if spans and spans[-1][2] == columns:
            spans[-1] = (spans[-1][0], row + 1, columns)
        else:
            spans.append((row, row + 1, columns))
    return spans


@contextmanager
def row_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within this block `model` attends through Turncoat's per-row attention, built on the one it was loaded
    with.

    Raises:
        UserError: the model was loaded with an attention that takes no explicit mask.
    """
    original = model.config._attn_implementation
    if original not in _ATTENTIONS:
        raise UserError(
            f"model {type(model).__name__}: attn_implementation is {original!r}, the sampler accepts "
            f"{' or '.join(map(repr, _ATTENTIONS))}; load the model with attn_implementation='sdpa'"
        )
    model.set_attn_implementation(_PREFIX + original)
    try:
        yield
    finally:
        model.set_attn_implementation(original)


def _grouped(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of one token a row, its query heads as the queries of the key head that they share.

    The same numbers, to rounding, as with keys and values copied for every query head.
    """
    rows, heads, _, width = query.shape
    output = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], heads // key.shape[1], width), key, value,
        attn_mask=attention_mask, scale=kwargs.get("scaling"),
    )  # fmt: skip
    return output.reshape(rows, 1, heads, value.shape[3]), None


def _per_span(name: str) -> Callable[..., tuple[Tensor, None]]:
    def attend(
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        # Models keep their own eager attention next to their layers (Gemma's caps the scores, for instance).
        inner = (
            sys.modules[type(module).__module__].__dict__["eager_attention_forward"]
            if name == "eager"
            else ALL_ATTENTION_FUNCTIONS[name]
        )
        spans = _spans.get()
        if spans is None or attention_mask is None:
            return inner(module, query, key, value, attention_mask, **kwargs)[0], None
        if name == "sdpa" and query.shape[2] == 1 and query.shape[1] != key.shape[1]:
            inner = _grouped
        parts = []
        for first, stop, columns in spans:
            tensors = [query[first:stop]]
            tensors += [store[first:stop, :, :columns] for store in (key, value)]
            tensors += [attention_mask[first:stop, :, :, :columns]]
            if name == "eager" and stop - first == 1:
                # torch.bmm leaves oneDNN for its own bfloat16 kernel below 16**3 multiplications, which a
                # lone row of a tiny model can reach; doubled, it takes the same kernel as any other row.
                tensors = [tensor.expand(2, -1, -1, -1) for tensor in tensors]
            parts.append(inner(module, *tensors, **kwargs)[0][: stop - first])
        return parts[0] if len(parts) == 1 else torch.cat(parts), None

    return attend


for _name in _ATTENTIONS:
    ALL_ATTENTION_FUNCTIONS.register(_PREFIX + _name, _per_span(_name))
    ALL_MASK_ATTENTION_FUNCTIONS.register(_PREFIX + _name, ALL_MASK_ATTENTION_FUNCTIONS[_name])
