"""Replies in OpenAI's shapes: chat and text completions, whole or in chunks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any

from turncoat.engine.thoughts import decode_answer
from turncoat.serving.arms import ServedArm
from turncoat.serving.logprobs import TokenLogprob
from turncoat.serving.requests import Asked
from turncoat.serving.scheduler import Again, Drawn, Echoed, Event, Finished

_BROKEN = "\ufffd"  # what the first bytes of a character decode to


class Reply:
    """The reply to one request, in the form of its endpoint.

    Args:
        asked: The request.
        chat: The form: chat completions, or text completions.
    """

    def __init__(self, asked: Asked, *, chat: bool) -> None:
        self._asked, self._chat = asked, chat
        self._tokenizer: Any = asked.arm.base.tokenizer
        self._head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()), "model": asked.arm.name, "seed": asked.seed,
            "system_fingerprint": asked.arm.fingerprint,
        }  # fmt: skip

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        """The reply once all has come."""
        asked = self._asked
        drawn: dict[int, list[TokenLogprob]] = {}
        done: dict[int, Finished] = {}
        echoed: dict[int, list[TokenLogprob]] = {}
        for event in events:
            match event:
                case Again():
                    drawn, done, echoed = {}, {}, {}
                case Finished():
                    done[event.choice] = event
                case Echoed():
                    echoed[event.prompt] = event.logprobs
                case Drawn(logprob=TokenLogprob() as logprob) if not (self._chat and event.ends):
                    drawn.setdefault(event.choice, []).append(logprob)
        each = len(asked.samples) // len(asked.prompts)
        choices = []
        for n in range(len(asked.samples)):
            result, prompt = done[n].result, n // each
            text = (asked.echoes[prompt] if asked.echoes else "") + result.text
            logprobs = None
            if asked.logprobs is not None:
                first = asked.prompts[prompt][0] if asked.echoes else None
                logprobs = self._logprobs([*echoed.get(prompt, []), *drawn.get(n, [])], first)
            choice = {"index": n, "logprobs": logprobs, "finish_reason": result.finish}
            seed = asked.samples[n].seed
            content = {"role": "assistant", "content": text, "refusal": None}
            choices.append(choice | ({"message": content} if self._chat else {"text": text}) | {"seed": seed})
        count = sum(len(done[n].result.token_ids) for n in range(len(asked.samples)))
        return {**self._head, "choices": choices, "usage": self._usage(count)}

    def chunks(self, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
        """The reply piece by piece: text goes out when no stop string can begin in it any more."""
        head = self._head | ({"object": "chat.completion.chunk"} if self._chat else {})
        usage: dict[str, Any] = {"usage": None} if self._asked.with_usage else {}
        texts = [_GrowingText(self._tokenizer, sample.stop) for sample in self._asked.samples]
        if self._chat:
            for n in range(len(texts)):
                delta = {"role": "assistant", "content": "", "refusal": None}
                choice = {"index": n, "delta": delta, "logprobs": None, "finish_reason": None}
                yield {**head, "choices": [choice], **usage}
        count = 0
        for event in events:
            text, finish, logprobs = "", None, None
            if isinstance(event, Finished):
                text, finish = texts[event.choice].rest(event.result.text), event.result.finish
                count += len(event.result.token_ids)
            elif isinstance(event, Drawn) and not (event.ends and self._chat):
                text = "" if event.ends else texts[event.choice].add(event.token)
                logprobs = None if event.logprob is None else self._logprobs([event.logprob])
                if not text and logprobs is None:
                    continue
            else:
                continue
            part = (
                {"delta": {"content": text} if text or not finish else {}} if self._chat else {"text": text}
            )
            choice = {"index": event.choice, **part, "logprobs": logprobs, "finish_reason": finish}
            yield {**head, "choices": [choice], **usage}
        if usage:
            yield {**head, "choices": [], "usage": self._usage(count)}

    def _usage(self, completion: int) -> dict[str, int]:
        prompt = sum(map(len, self._asked.prompts))
        return {
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        }  # fmt: skip

    def _logprobs(self, tokens: Iterable[TokenLogprob], first: int | None = None) -> dict[str, Any]:
        """Log-probabilities in the endpoint's form.

        Args:
            first: The first token of an echoed prompt, which has none.
        """
        top = self._asked.logprobs or 0
        if self._chat:
            content = [
                {
                    **self._token(one.token, one.logprob),
                    "top_logprobs": [self._token(*t) for t in one.top[:top]],
                }
                for one in tokens
            ]
            return {"content": content, "refusal": None}
        known: list[Any] = [] if first is None else [None]
        texts, values, tops = ([] if first is None else [self._text(first)]), [*known], [*known]
        for one in tokens:
            alternatives: dict[str, float] = {}
            for token, value in ((one.token, one.logprob), *one.top[:top]):
                text = self._text(token)
                alternatives[text] = max(value, alternatives.get(text, value))
            texts.append(self._text(one.token))
            values.append(one.logprob)
            tops.append(alternatives)
        offsets = [sum(map(len, texts[:n])) for n in range(len(texts))]
        return {"tokens": texts, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._text(token)
        raw = None if _BROKEN in text else list(text.encode())
        return {"token": text, "logprob": logprob, "bytes": raw}

    def _text(self, token: int) -> str:
        # SentencePiece drops the blank at the start of a text that is one token long.
        written = str(self._tokenizer.convert_ids_to_tokens(token))
        text = str(self._tokenizer.decode([token]))
        return f" {text}" if written.startswith("▁") and not text.startswith(" ") else text


class _GrowingText:
    """An answer's text as its tokens come."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._ids: list[int] = []
        self._sent = ""

    def add(self, token: int) -> str:
        """The text that may be sent after this token."""
        self._ids.append(token)
        text = decode_answer(self._tokenizer, self._ids)
        for stop in self._stop:
            text = text.split(stop)[0]
        held = max(
            (size for stop in self._stop for size in range(1, len(stop)) if text.endswith(stop[:size])),
            default=0,
        )
        return "" if text.endswith(_BROKEN) else self.rest(text[: len(text) - held])

    def rest(self, text: str) -> str:
        """The end of `text` that is still to be sent."""
        if not text.startswith(self._sent):
            return ""
        new, self._sent = text[len(self._sent) :], text
        return new


def model_card(arm: ServedArm, created: int) -> dict[str, Any]:
    """An entry of GET /v1/models."""
    return {
        "id": arm.name, "object": "model", "created": created, "owned_by": "turncoat", "root": arm.base.name,
        "max_model_len": arm.base.context_length, "system_fingerprint": arm.fingerprint,
        "inference_defence": None if arm.intervention is None else arm.intervention.described(),
    }  # fmt: skip
