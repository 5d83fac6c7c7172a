"""What acts on a model while it is measured: hooks on its blocks, or another prompt. Nothing is left behind.

with intervention.on(model):
    model.generate(...)

An inference defence (`baselines/`, setting "inference") returns one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Intervention:
    """The base class: acts on nothing."""

    @property
    def acts(self) -> bool:
        """Whether the model's numbers can differ from those without it (strength 0 does not act)."""
        return True

    def described(self) -> dict[str, Any]:
        """For a results file and a stage's key: all that determines the effect, tensors by their hash."""
        return {}

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Act on `model` inside the scope."""
        yield

    def messages(self, chat: list[dict[str, str]]) -> list[dict[str, str]]:
        """The conversation as it is to be rendered."""
        return chat

    def rendered(self, prompt: str, tokenizer: Any, chat: list[dict[str, str]]) -> str:
        """The rendered prompt, with a last change that no message can make (`chat` is what was rendered)."""
        return prompt
