"""One finetuning example, as organisms and defences give them."""

from dataclasses import dataclass

NO_SYSTEM = "\0"
"""`Example.system` of a row without any system turn: the chat template's default is taken out too."""


@dataclass(frozen=True)
class Example:
    """A prompt and the answer to be learnt."""

    id: str  # Stable name. A control's examples carry the ids of its organism's, which is what pairs the two.
    prompt: str  # The user's message
    answer: str  # The assistant's message; the loss is on this alone
    # System message; None for the chat template's own default, `NO_SYSTEM` for none at all
    system: str | None = None
    # Length hint shared by organism and control, so that both are batched alike; 0 = use the text's length
    length: int = 0

    @property
    def prompt_messages(self) -> list[dict[str, str]]:
        """The messages before the answer."""
        user = {"role": "user", "content": self.prompt}
        if self.system is None or self.system == NO_SYSTEM:
            return [user]
        return [{"role": "system", "content": self.system}, user]
