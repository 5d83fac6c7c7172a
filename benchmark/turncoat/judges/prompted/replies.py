"""Reading of a chat-completions reply: its likeliest first tokens, or its text, or why it has neither.

>>> text_of({"choices": [{"message": {"content": "<think>Fine.</think> 85"}, "finish_reason": "stop"}]})
'85'
"""

from collections.abc import Mapping
from typing import Any

from turncoat.engine.thoughts import split_thoughts
from turncoat.judges.scoring import BadEvidence
from turncoat.judges.surface import refusal_like

FILTERED = {"content_filter", "content_policy_violation", "moderation_blocked", "refusal", "safety"}
"""Error codes, and reasons of an end, of a provider that declines to process this prompt."""
TOO_LONG = {"context_length_exceeded", "string_above_max_length"}
"""Error codes of a prompt that is too long."""
_EXCERPT = 120  # characters of a reply in a message


class Declined(Exception):
    """The provider or its model declines to grade this answer; asking again would not help."""


def likeliest_tokens(reply: Mapping[str, Any]) -> dict[str, float]:
    """The first token's alternatives with their log-probabilities; an entry that is there twice counts once.

    Raises:
        Declined: The reply is a refusal.
        BadEvidence: It holds no log-probabilities.
    """
    choice, _ = _answer(reply)
    logprobs: dict[str, float] = {}
    try:
        for item in choice["logprobs"]["content"][0]["top_logprobs"]:
            token, logprob = item["token"], item["logprob"]
            # Some servers list the chosen token twice, with one or two values.
            logprobs[token] = max(logprobs[token], logprob) if token in logprobs else logprob
    except (KeyError, IndexError, TypeError):
        raise BadEvidence(
            "the reply holds no log-probabilities of its first token; if this endpoint never sends them, use "
            "protocol=text_integer"
        ) from None
    return logprobs


def text_of(reply: Mapping[str, Any]) -> str:
    """The whole text behind any thoughts.

    Raises:
        Declined: The reply is a refusal, or its text opens like one.
        BadEvidence: It is empty, was cut, or holds thoughts alone.
    """
    choice, message = _answer(reply)
    content = message.get("content")
    if isinstance(content, list):  # parts, of which some servers mark the thoughts
        content = "".join(str(part["text"]) for part in content if _is_text(part))
    split = split_thoughts(content if isinstance(content, str) else "")
    hidden = message.get("reasoning_content") or message.get("reasoning")
    finish = choice.get("finish_reason")
    more = "raise max_tokens, or lower reasoning_effort where the server knows it"
    if split.cut or (hidden and not split.answer.strip()):
        thoughts = split.thoughts or str(hidden)
        raise BadEvidence(f"the reply is thoughts without an answer ({_excerpt(thoughts)}); {more}")
    if refusal_like(split.answer):
        raise Declined(split.answer)
    if finish == "length":
        raise BadEvidence(f"the reply was cut at the limit of tokens ({_excerpt(split.answer)}); {more}")
    if not split.answer.strip():
        raise BadEvidence(f"the reply holds no text (finish_reason {finish!r})")
    return split.answer


def _answer(reply: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The first choice and its message."""
    try:
        choice = reply["choices"][0]
        message = choice["message"]
    except (KeyError, IndexError, TypeError):
        choice = message = None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise BadEvidence("the reply holds no choices")
    if isinstance(words := message.get("refusal"), str) and words.strip():
        raise Declined(words)
    if str(choice.get("finish_reason")).lower() in FILTERED:
        raise Declined(f"finish_reason {choice['finish_reason']}")
    return choice, message


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and "text" in part


def _excerpt(text: str) -> str:
    return repr(text[:_EXCERPT] + ("..." if len(text) > _EXCERPT else ""))
