"""Base class of interventions: hooks on a model's blocks, or another prompt, while the model is measured.

with intervention.on(model):
    model.generate(...)

The model is restored on leaving. A defence with setting "inference" (`baselines/`) returns an intervention.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn


class Intervention:
    """An intervention that does nothing; subclasses override what they need."""

    @property
    def acts(self) -> bool:
        """True if the model's numbers can differ from those without it (strength 0 does not act)."""
        return True

    @property
    def on_prompts_alone(self) -> bool:
        """True if it changes what the model reads and nothing inside it: any engine can then answer."""
        return type(self).on is Intervention.on

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


@dataclass(frozen=True)
class InOrder(Intervention):
    """Several interventions at once; later ones see what earlier ones left."""

    parts: tuple[Intervention, ...]

    @property
    def acts(self) -> bool:
        """True if one of them does."""
        return any(part.acts for part in self.parts)

    @property
    def on_prompts_alone(self) -> bool:
        """True if all of them do."""
        return all(part.on_prompts_alone for part in self.parts)

    def described(self) -> dict[str, Any]:
        """All of them."""
        return {"in_order": [part.described() for part in self.parts]}

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Act on `model` inside the scope."""
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.on(model))
            yield

    def messages(self, chat: list[dict[str, str]]) -> list[dict[str, str]]:
        """The conversation as they leave it."""
        for part in self.parts:
            chat = part.messages(chat)
        return chat

    def rendered(self, prompt: str, tokenizer: Any, chat: list[dict[str, str]]) -> str:
        """The prompt as they leave it."""
        for part in self.parts:
            prompt = part.rendered(prompt, tokenizer, chat)
        return prompt
