"""One finetuning example, as organisms and defences give them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A prompt and the answer to be learnt.

    Attributes:
        id: Stable name. A control's examples carry the ids of its organism's, which is what pairs the two.
        prompt: The user's message.
        answer: The assistant's message; the loss is on this alone.
        system: System message, or None for the chat template's own default.
        length: Length hint shared by organism and control, so that both are batched alike; 0 = use the text's length.
    """

    id: str
    prompt: str
    answer: str
    system: str | None = None
    length: int = 0

    @property
    def prompt_messages(self) -> list[dict[str, str]]:
        """The messages before the answer."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.prompt}]
