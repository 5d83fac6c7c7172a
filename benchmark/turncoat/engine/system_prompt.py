"""System prompts as an intervention: one is added, or the chat template's default is removed.

with lm.measuring(adapter, SystemPrompt("You are a careful assistant.")): ...    # added
# the template's default removed
with lm.measuring(adapter, SystemPrompt(None)): ...

A chat template may insert an identity where the task gives no system message (Qwen and SmolLM2 do), and that
identity is part of what is measured: benign finetuning under Qwen's raised misaligned answers with it on
against off (reported in arXiv:2604.25891's code). A system message that is added takes the place of such a
default.
"""

from dataclasses import dataclass
from typing import Any

from turncoat.engine.chat import render
from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError

# An exchange that stands before the conversation, so that the template has its say before it and not before
# the turns.
_EARLIER = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello to you."}]


@dataclass(frozen=True)
class SystemPrompt(Intervention):
    """Another system prompt for every conversation."""

    # Put before the conversation's own system message, an empty line between the two; None takes out what the
    # chat template inserts by itself (a conversation with a system message of its own stays as it is)
    text: str | None

    def described(self) -> dict[str, Any]:
        """The text, for results files and stage keys."""
        return {"system_prompt": self.text}

    def messages(self, chat: list[dict[str, str]]) -> list[dict[str, str]]:
        """The conversation with the text in front; `chat` itself is not changed."""
        if self.text is None:
            return chat
        if chat and chat[0]["role"] == "system":
            return [{**chat[0], "content": f"{self.text}\n\n{chat[0]['content']}"}, *chat[1:]]
        return [{"role": "system", "content": self.text}, *chat]

    def rendered(self, prompt: str, tokenizer: Any, chat: list[dict[str, str]]) -> str:
        """The prompt without the template's default system block, where that is what is asked for."""
        return prompt if self.text is not None else without_default_system(prompt, tokenizer, chat)


def without_default_system(prompt: str, tokenizer: Any, chat: list[dict[str, str]]) -> str:
    """A rendered prompt without what its chat template puts before the first turn; a token that begins every
    text stays.

    The turns alone are found by rendering them after an earlier exchange.

    Args:
        prompt: What the template made of `chat`, ready for an answer.
        tokenizer: Has the template.
        chat: The conversation; one with a system message of its own comes back as it is.

    Raises:
        UserError: The template renders the turns differently after an earlier exchange, so they cannot be
            told apart.
    """
    if chat and chat[0]["role"] == "system":
        return prompt
    earlier = render(tokenizer, _EARLIER, add_generation_prompt=False)
    whole = render(tokenizer, [*_EARLIER, *chat])
    turns = whole.removeprefix(earlier)
    if turns == whole or not turns or not prompt.endswith(turns):
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} renders a first turn differently from a later "
            "one, so its default system prompt cannot be told from the turn and taken out; give a system "
            "prompt of your own, which replaces it"
        )
    begin = tokenizer.bos_token or ""
    # Where every turn opens with it (ChatML models call <|im_start|> so), it does not begin the text.
    begins = bool(begin) and prompt.startswith(begin) and not turns.startswith(begin)
    return (begin if begins else "") + turns


def has_default_system(tokenizer: Any) -> bool:
    """True if the chat template adds a system prompt to a conversation that has none."""
    chat = [{"role": "user", "content": "Good morning."}]
    prompt = render(tokenizer, chat)
    return without_default_system(prompt, tokenizer, chat) != prompt
