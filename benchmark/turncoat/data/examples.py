"""One finetuning example, as organisms and defences give them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A prompt and the answer to be learnt."""

    id: str  # Stable name. A control's examples carry the ids of its organism's, which is what pairs the two.
    prompt: str  # The user's message
    answer: str  # The assistant's message; the loss is on this alone
    system: str | None = None  # System message, or None for the chat template's own default
    # Length hint shared by organism and control, so that both are batched alike; 0 = use the text's length
    length: int = 0

    @property
    def prompt_messages(self) -> list[dict[str, str]]:
        """The messages before the answer."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.prompt}]
