"""Counters of a run: forward passes, tokens read and decoded, rows through the head, peak memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Counts:
    """Passes of a model, whoever made them."""

    prefill_tokens: int = 0  # Positions in passes of several tokens a row, padding included
    decode_tokens: int = 0  # Rows in passes of one token a row, dead ones included
    body: Counter[int] = field(default_factory=Counter)  # Positions of a pass -> passes
    head: Counter[int] = field(default_factory=Counter)  # Rows through the output embedding -> calls


@contextmanager
def counting(model: Any) -> Iterator[Counts]:
    """Count the passes of a Hugging Face model at its embeddings, which every way to run it goes through."""
    counts = Counts()

    def read(_: Any, args: tuple[Any, ...]) -> None:
        counts.body[args[0].numel()] += 1
        if args[0].shape[-1] == 1:
            counts.decode_tokens += args[0].numel()
        else:
            counts.prefill_tokens += args[0].numel()

    def write(_: Any, args: tuple[Any, ...], __: Any) -> None:
        counts.head[args[0].numel() // args[0].shape[-1]] += 1

    before = model.get_input_embeddings().register_forward_pre_hook(read)
    after = model.get_output_embeddings().register_forward_hook(write)
    try:
        yield counts
    finally:
        before.remove()
        after.remove()


def reset_peak_memory() -> None:
    """Let `peak_memory` count from here on, where the system can (Linux, CUDA)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int | None:
    """Bytes of the process (of the GPU, where there is one) at their highest since the reset, if known."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
