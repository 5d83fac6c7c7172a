"""This machine and its own peak: matrix products of the model's shapes, and memory bandwidth."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from turncoat.engine.capture import decoder_layers

ROWS = (1, 8, 32, 64, 128, 512)
_COPIED_BYTES = 2**27
_LIBRARIES = ("turncoat", "torch", "transformers", "peft", "trl", "lm-eval")

Seconds = Mapping[str, Sequence[float]]
"""Seconds of a pass's matrix products at each of `ROWS`: "body" (all blocks) and "head"."""


def description() -> dict[str, Any]:
    """CPU or GPU, cores that this process may use, threads, versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(), "cores": len(cores),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    }  # fmt: skip


def clock() -> float:
    """Seconds now, once a GPU, where there is one, is done: its calls return before."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _fastest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(2):
        began = clock()
        run()
        times.append(clock() - began)
    return min(times)


def _weights(model: Any) -> dict[str, list[Tensor]]:
    body = [m.weight for m in decoder_layers(model).modules() if isinstance(m, nn.Linear)]
    return {"body": body, "head": [model.get_output_embeddings().weight]}


@torch.inference_mode()
def product_seconds(model: Any) -> dict[str, list[float]]:
    """Seconds of all matrix products of one pass at each of `ROWS`, over the model's own weights in order."""

    def seconds(weights: list[Tensor], rows: int) -> float:
        inputs = {weight.shape[1]: weight.new_ones(rows, weight.shape[1]) for weight in weights}
        return _fastest(lambda: [nn.functional.linear(inputs[w.shape[1]], w) for w in weights])

    return {part: [seconds(weights, rows) for rows in ROWS] for part, weights in _weights(model).items()}


@torch.inference_mode()
def peaks(models: Sequence[Any]) -> dict[str, Any]:
    """GFLOP/s of each model's matrix products at each of `ROWS`, by precision; GB/s read and written."""
    gflops: dict[str, dict[str, float]] = {}
    for model in models:
        one = 2 * sum(weight.numel() for part in _weights(model).values() for weight in part) / 1e9
        both = zip(ROWS, *product_seconds(model).values(), strict=True)
        gflops[str(model.dtype).removeprefix("torch.")] = {
            str(rows): one * rows / (body + head) for rows, body, head in both
        }
    source = torch.ones(_COPIED_BYTES, dtype=torch.uint8, device=models[0].device)
    target = torch.empty_like(source)
    return {
        "gflops": gflops,
        "copy_gb_per_s": 2 * _COPIED_BYTES / _fastest(lambda: target.copy_(source)) / 1e9,
    }


def products_of(counts: Mapping[str, Mapping[int, int]], seconds: Seconds) -> float:
    """Seconds that the matrix products of passes take alone; linear between the measured numbers of rows.

    Args:
        counts: "body" and "head", each positions of a pass -> number of passes.
    """
    return sum(
        passes * float(np.interp(rows, ROWS, seconds[part])) * max(1.0, rows / ROWS[-1])
        for part, by_rows in counts.items()
        for rows, passes in by_rows.items()
    )
