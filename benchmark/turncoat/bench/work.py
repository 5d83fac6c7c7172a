"""A work of the bench: the ways to do it, and the check that they give the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from turncoat.engine.base_model import BaseModel
from turncoat.errors import UserError

TOLERANCE, GPU_TOLERANCE = 1e-4, 1e-3
"""Accepted differences in float32; a GPU adds in another order for each shape."""

Done = tuple[float, int | None]
"""Of one run: units of work, and the decoded row-steps that its answers needed (None: not known)."""


@dataclass(frozen=True)
class Setting:
    """Model, texts and counters that all works are made from."""

    base: BaseModel  # In the precision it was saved in
    quick: bool  # Less work of each kind
    folder: Path  # New, for adapters
    vllm_python: str | None = None  # A Python that has vLLM; None leaves vLLM out


@dataclass(frozen=True)
class Strategy:
    """One way to do a work."""

    name: str
    run: Callable[[int], Done]  # Called with the number of the turn, which seeds its draws
    ours: bool = False
    part: str = ""  # The part that it does ("8 of 160 answers"), where all of it would take too long
    rows: int = 0  # Rows that it decodes together; 0: it does more than decode
    rival_of: str = ""  # Of ways with the same name here only the fast ones take more than one turn


@dataclass(frozen=True)
class Work:
    """A work: `equal(twin)` compares results on a float32 copy of the model before anything is timed."""

    name: str
    title: str
    unit: str  # Rates are units per second
    strategies: Sequence[Strategy]
    equal: Callable[[BaseModel], list[dict[str, Any]]]
    main: str = ""  # The strategy of ours that ratios are taken with; "" = the fastest of ours
    note: str = ""


def same(what: str, ours: Any, theirs: Any, tolerance: float | None = None) -> dict[str, Any]:
    """The record of a check that numbers, or lists of tokens (with `tolerance` 0), are the same.

    Raises:
        UserError: They are not.
    """
    if tolerance is None:
        tolerance = GPU_TOLERANCE if torch.cuda.is_available() else TOLERANCE
    largest, difference = 0.0, ""
    if tolerance:
        mine, other = (torch.as_tensor(values, dtype=torch.float64) for values in (ours, theirs))
        largest = float((mine - other).abs().max())
        if not largest <= tolerance:
            difference = f"by up to {largest:.3g}, accepted: {tolerance:g}"
    elif ours != theirs:
        first = next(n for n, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        difference = f"number {first} is {ours[first]!r} here and {theirs[first]!r} there"
    if difference:
        raise UserError(
            f"{what} differ: {difference}; nothing is timed, since it would be different work. Leave this "
            "work out, and report the difference with the model's name"
        )
    return {"check": what, "compared": len(ours), "largest_difference": largest, "tolerance": tolerance}


def float32_twin(base: BaseModel) -> BaseModel:
    """A copy of the model with float32 weights, which shares nothing that the engine keeps with a module."""
    model = copy.deepcopy(base.model)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.float()
    return BaseModel(
        f"{base.name}, float32", base.path, model, base.tokenizer, f"{base.fingerprint}, float32"
    )
