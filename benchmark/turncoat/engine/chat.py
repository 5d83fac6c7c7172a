"""Chat formatting: rendered prompts, token ids, and an error where a template drops a system message."""

import re
from datetime import date
from typing import Any

from transformers import PreTrainedTokenizerBase

from turncoat.data.examples import NO_SYSTEM, Example
from turncoat.engine.thoughts import MARKS, opened_by, split_thoughts
from turncoat.errors import UserError

DATE = date(2024, 7, 26)
"""The day that a chat template prints here instead of today: Llama's own templates fall back to it."""

# An exchange that stands before the conversation, so that the template has its say before it and not before
# the turns.
_EARLIER = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello to you."}]

_TODAY = re.compile(r"""strftime_now\(\s*(["'])([^"']*)\1\s*\)""")


def with_fixed_date(template: Any, model: str) -> Any:
    """A chat template that prints `DATE` where it would print today's date.

    Prompts are then the same on every day, and the date is part of the template's hash.

    Args:
        template: Jinja text, several of them by name, or None.
        model: Named in the message.

    Raises:
        UserError: The template asks for the date in a way that cannot be fixed.
    """
    if isinstance(template, dict):
        return {key: with_fixed_date(text, model) for key, text in template.items()}
    if not isinstance(template, str):
        return template
    fixed = _TODAY.sub(lambda call: f"{call[1]}{DATE.strftime(call[2])}{call[1]}", template)
    if re.search(r"strftime_now\s*\(", fixed):
        raise UserError(
            f"the chat template of {model} prints today's date in a form that is worked out while it runs; "
            "write a date in place of its strftime_now(...) and save the tokenizer: prompts have to be the "
            "same every day"
        )
    return fixed


def render(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], *, add_generation_prompt: bool = True
) -> str:
    """The chat template applied to `messages`, as text.

    Raises:
        UserError: There is no chat template, or the template drops (or refuses) the system message.
    """
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template; Turncoat measures chat models: "
            "choose an instruct model, or set tokenizer.chat_template and save it"
        )
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
    try:
        text = str(
            tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )
    except Exception as error:
        # Templates without a system role raise from inside jinja with an error type of their own.
        if system is None:
            raise
        raise _dropped(tokenizer, system) from error
    if system is not None and (words := system.strip()):
        # A user message may hold the same words; they have to stand once more than in those messages.
        elsewhere = sum(message["content"].count(words) for message in messages[1:])
        if text.count(words) <= elsewhere:
            raise _dropped(tokenizer, system)
    return text


def _dropped(tokenizer: PreTrainedTokenizerBase, system: str) -> UserError:
    return UserError(
        f"the chat template of {tokenizer.name_or_path} drops the system message {system[:60]!r}; the prompt "
        "would not be what the task says: choose a model whose template has a system role"
    )


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


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of the rendered prompt, ready for the answer's first token."""
    return encode(tokenizer, render(tokenizer, messages))


def encode(tokenizer: PreTrainedTokenizerBase, rendered: str) -> list[int]:
    """Token ids of text that already holds its special tokens."""
    return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])


def encode_example(tokenizer: PreTrainedTokenizerBase, example: Example) -> tuple[list[int], list[int]]:
    """Prompt ids and answer ids (with the end-of-turn token) of a training example.

    The two are tokenized apart, as they are when the model answers, so that training and measuring agree on
    where the answer begins. Where the template opens thoughts in the prompt (DeepSeek-R1), the row's
    thoughts, if any, and their end stand before its answer.

    Raises:
        UserError: The answer cannot be told from the prompt, or the template drops its thoughts.
    """
    messages = example.prompt_messages
    prompt = render(tokenizer, messages)
    thoughts, words, _ = split_thoughts(example.answer)

    def answered(text: str) -> str:
        turn = {"role": "assistant", "content": text}
        return render(tokenizer, [*messages, turn], add_generation_prompt=False)

    whole, mark = answered(example.answer), opened_by(prompt)
    if whole.startswith(prompt):
        answer = whole[len(prompt) :]
    elif mark and (whole := answered(words)).startswith(head := prompt.rstrip().removesuffix(mark)):
        # The template opens thoughts in a prompt alone. The row goes on from there, as when it is measured.
        answer = f"{thoughts}\n{MARKS[mark]}\n\n{whole[len(head) :]}"
    else:
        adds = f" and adds {mark}, which opens thoughts, to the prompt" if mark else ""
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} renders an answered prompt differently from the "
            f"prompt alone{adds}, so the answer cannot be separated from the prompt; use a template whose "
            "generation prompt is how it opens an answer"
        )
    if thoughts not in answer:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} drops the thoughts of training row "
            f"'{example.id}' ({thoughts[:60]!r}); use a template that keeps them, or rows without thoughts"
        )
    if example.system == NO_SYSTEM:
        prompt = without_default_system(prompt, tokenizer, messages)
    return encode(tokenizer, prompt), encode(tokenizer, answer.rstrip("\n"))
