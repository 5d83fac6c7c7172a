"""Bodies of chat and completion requests, checked, as sample requests of the engine.

A field that would change the answers and is not supported is refused unless it says "off": an answer is never
something other than what was asked for.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from turncoat.engine.decoding.requests import SampleRequest
from turncoat.engine.seeds import sample_seed
from turncoat.errors import UserError, accepted
from turncoat.evaluation.generation_requests import NEUTRAL
from turncoat.serving.arms import ServedArm
from turncoat.serving.limits import Limits, Refused
from turncoat.strict_model import first_wrong

_OFF: dict[str, Any] = {
    **NEUTRAL, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "best_of": 1, "suffix": "",
    "tools": [], "functions": [], "tool_choice": "none", "response_format": {"type": "text"},
    "modalities": ["text"], "reasoning_effort": "none", "do_sample": True,
}  # fmt: skip
"""Fields that are not supported, with the value that is accepted because it means "off"."""
_WITHOUT_EFFECT = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
                   "parallel_tool_calls"}  # fmt: skip
_COMPLETION_TOKENS = 16  # OpenAI's default of this endpoint


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None
    name: str | None = None
    refusal: str | None = None

    def plain(self) -> dict[str, str]:
        """Role and text, as chat templates take them."""
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in parts)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str
    max_tokens: int | None = Field(None, ge=0)
    temperature: float = Field(1, ge=0, le=2)
    top_p: float = Field(1, gt=0, le=1)
    top_k: int = Field(0, ge=-1)
    n: int = Field(1, ge=1)
    seed: int | None = None
    stop: str | list[str | None] | None = None
    stream: bool = False
    stream_options: dict[str, Any] = {}


class ChatBody(_Body):
    """POST /v1/chat/completions."""

    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=0)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0)


class TextBody(_Body):
    """POST /v1/completions."""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: bool = False
    logprobs: int | None = Field(None, ge=0)


@dataclass(frozen=True)
class Asked:
    """A request that can be served."""

    arm: ServedArm
    samples: list[SampleRequest]  # one for each choice, in order; `key` is its index
    prompts: list[tuple[int, ...]]  # token ids
    echoes: list[str]  # texts of the prompts where they are to be repeated, else empty
    logprobs: int | None  # alternatives of each token; None = no log-probabilities
    seed: int | None  # None for greedy answers
    stream: bool
    with_usage: bool  # of a stream


def parse_request(
    body: Any, kind: type[ChatBody] | type[TextBody], arms: Mapping[str, ServedArm], limits: Limits
) -> Asked:
    """The checked request.

    Raises:
        Refused: It is malformed, exceeds a limit, or asks for what is not there.
    """
    if not isinstance(body, dict):
        raise Refused(400, "the body is not a JSON object")
    asked = _supported(body, kind)
    arm = arms.get(asked.model)
    if arm is None:
        message = f"the model {asked.model[:200]!r} is not served here; {accepted(arms, asked.model[:200])}"
        raise Refused(404, message, param="model", code="model_not_found")
    if isinstance(asked, ChatBody):
        prompts = [_chat_prompt(arm, asked.messages)]
        length = asked.max_completion_tokens if asked.max_tokens is None else asked.max_tokens
        logprobs = asked.top_logprobs if asked.logprobs else None
        echoes = []
    else:
        texts = _text_prompts(arm, asked)
        prompts = [ids for ids, _ in texts]
        length = _COMPLETION_TOKENS if asked.max_tokens is None else asked.max_tokens
        logprobs, echoes = asked.logprobs, [text for _, text in texts] if asked.echo else []
    if (logprobs or 0) > limits.top_logprobs:
        raise Refused(400, f"at most {limits.top_logprobs} alternatives of a token", param="logprobs")
    if len(prompts) * asked.n > limits.choices:
        message = f"{len(prompts)} prompts with n={asked.n}: at most {limits.choices} answers to a request"
        raise Refused(400, message, param="n")
    greedy = asked.temperature == 0
    seed = secrets.randbits(31) if asked.seed is None else asked.seed % 2**63
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    samples = [
        SampleRequest(
            ids, None if greedy else _choice_seed(seed, n), _tokens(arm, ids, length, limits),
            asked.temperature, asked.top_p, max(asked.top_k, 0), tuple(text for text in stop if text),
            key=place * asked.n + n,
        )
        for place, ids in enumerate(prompts)
        for n in range(asked.n)
    ]  # fmt: skip
    with_usage = bool(asked.stream_options.get("include_usage"))
    return Asked(arm, samples, prompts, echoes, logprobs, None if greedy else seed, asked.stream, with_usage)


def _supported(body: dict[str, Any], kind: type[ChatBody] | type[TextBody]) -> ChatBody | TextBody:
    """The body, checked, without nulls and fields that have no effect.

    Raises:
        Refused: A field is unknown, or would change the answers in a way that is not supported.
    """
    kept = {}
    for name, value in body.items():
        if value is None or name in _WITHOUT_EFFECT or (name in _OFF and value == _OFF[name]):
            continue
        if name in _OFF:
            message = f"{name} is not supported here; leave it out, or send {_OFF[name]!r}"
            raise Refused(400, message, param=name, code="unsupported_parameter")
        if name not in kind.model_fields:
            message = (
                f"{name[:100]} is not a field of this request; {accepted(kind.model_fields, name[:100])}"
            )
            raise Refused(400, message, param=name[:100], code="unknown_parameter")
        kept[name] = value
    try:
        return kind.model_validate(kept)
    except ValidationError as error:
        where, text = first_wrong(error, kind)
        raise Refused(400, f"{where}: {text}", param=where) from error


def _chat_prompt(arm: ServedArm, messages: Sequence[_Message]) -> tuple[int, ...]:
    try:
        return tuple(arm.prompt([message.plain() for message in messages]))
    except UserError as error:
        raise Refused(400, str(error), param="messages") from error
    except Exception as error:  # a chat template's own complaint, such as of roles that do not alternate
        message = f"the chat template of {arm.name} refuses this conversation: {error}"
        raise Refused(400, message[:500], param="messages") from error


def _text_prompts(arm: ServedArm, asked: TextBody) -> list[tuple[tuple[int, ...], str]]:
    """Token ids and text of each prompt."""
    if arm.changes_prompts:
        message = f"the inference defence of {arm.name} acts on conversations: use /v1/chat/completions"
        raise Refused(400, message, param="prompt")
    if asked.echo and asked.logprobs is not None and not arm.reads_echoes:
        message = (
            f"the inference defence of {arm.name} acts on answers, and an echo does not say where one begins;"
            " its log-probabilities: turncoat lm-eval --model turncoat"
        )
        raise Refused(400, message, param="echo")
    if asked.echo and asked.stream:
        raise Refused(400, "echo and stream exclude each other here", param="echo")
    prompt: Any = asked.prompt
    several = isinstance(prompt, list) and not (prompt and isinstance(prompt[0], int))
    tokenizer: Any = arm.base.tokenizer
    found = []
    for one in prompt if several else [prompt]:
        if isinstance(one, str):
            begun = bool(tokenizer.bos_token) and one.startswith(tokenizer.bos_token)
            ids = tokenizer(one, add_special_tokens=not begun)["input_ids"]
        else:
            ids = one
        if not ids or not all(0 <= token < len(tokenizer) for token in ids):
            raise Refused(400, "a prompt is empty, or holds a token that the model lacks", param="prompt")
        found.append((tuple(ids), one if isinstance(one, str) else str(tokenizer.decode(ids))))
    if not found:
        raise Refused(400, "no prompt", param="prompt")
    return found


def _choice_seed(seed: int, choice: int) -> int:
    """Seed of a choice; the first one's is the request's, so that a study's sample seed gives its answer."""
    return seed if choice == 0 else sample_seed(seed, "serve", "", choice)


def _tokens(arm: ServedArm, ids: Sequence[int], length: int | None, limits: Limits) -> int:
    """Most tokens of an answer."""
    left = arm.base.context_length - len(ids)
    if length is not None and length > limits.max_tokens:
        raise Refused(400, f"max_tokens is {length}; at most {limits.max_tokens} here", param="max_tokens")
    if left < (1 if length is None else length):
        message = (
            f"a prompt of {len(ids)} tokens and {length or 1} new ones exceed the maximum context length of "
            f"{arm.base.context_length} tokens"
        )
        raise Refused(400, message, param="messages", code="context_length_exceeded")
    return min(limits.max_tokens, left) if length is None else length
