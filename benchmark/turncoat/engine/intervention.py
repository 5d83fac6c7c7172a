"""Base class of interventions: hooks on a model's blocks, or another prompt, while the model is measured.

with intervention.on(model):
    model.generate(...)

The model is restored on leaving. A defence with setting "inference" (`baselines/`) returns an intervention.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Intervention:
    """An intervention that does nothing; subclasses override what they need."""

    @property
    def acts(self) -> bool:
        """True if the model's numbers can differ from those without it (strength 0 does not act)."""
        return True

    def described(self) -> dict[str, Any]:
        """All that determines the effect (tensors by hash), for results files and stage keys."""
        return {}

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Act on `model` inside the scope."""
        yield

    def messages(self, chat: list[dict[str, str]]) -> list[dict[str, str]]:
        """The conversation to render."""
        return chat

    def rendered(self, prompt: str, tokenizer: Any, chat: list[dict[str, str]]) -> str:
        """The rendered prompt after a change that messages cannot express; `chat` is what was rendered."""
        return prompt
