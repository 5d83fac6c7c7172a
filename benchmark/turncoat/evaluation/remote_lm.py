"""lm-eval's model type for an OpenAI-compatible endpoint: sampled answers, each kept as it comes.

    RemoteLM(RemoteEndpoint(price_in=0.4, price_out=1.6, max_cost=5), "gpt-4.1-mini-2025-04-14", store)

The key comes from OPENAI_API_KEY alone, the address from `base_url` or OPENAI_BASE_URL. An answer that the
store has is not asked for again. What an endpoint does not give (log-likelihoods, activations) is refused.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from turncoat.engine.evidence import Answer
from turncoat.engine.seeds import sample_seed
from turncoat.errors import UserError
from turncoat.evaluation.generation_requests import sample_request
from turncoat.evaluation.remote_endpoint import PREFIX, RemoteEndpoint
from turncoat.judges.prompted.endpoint import CallFailed
from turncoat.judges.prompted.replies import Declined
from turncoat.judges.prompted.threads import in_threads
from turncoat.store import Store, digest
from turncoat.store.records import Records

_DOWN = 16  # answers failed in a row after which no more are asked for


class RemoteLM(LM):
    """A model behind an endpoint, for lm-eval.

    Args:
        endpoint: Where it is.
        model: Its name there.
        store: Keeps the answers.
        sampling_seed: As of `TurncoatLM`; each answer's own seed is sent with its request.
        arm: Goes into the results file.
    """

    def __init__(
        self,
        endpoint: RemoteEndpoint,
        model: str,
        store: Store,
        *,
        sampling_seed: int = 0,
        arm: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.name = endpoint.name_of(model)
        self.base = SimpleNamespace(name=self.name)  # as `run_task` names a model in lm-eval's files
        self.arm, self.sampling_seed = arm or {}, sampling_seed
        self.progress: Callable[[int], None] | None = None
        self._endpoint, self._model = endpoint, model.removeprefix(PREFIX)
        self._folder = store.root / "remote_answers" / digest(self.name)[:20]

    @property
    def tokenizer_name(self) -> str:
        """Name for lm-eval's cache of requests."""
        return self.name

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The messages as JSON: the server renders them."""
        if not add_generation_prompt:
            raise UserError("a task with gen_prefix cannot be measured at an endpoint")
        return json.dumps(chat_history, ensure_ascii=False)

    def get_model_info(self) -> dict[str, Any]:
        """Arm and endpoint, for `config` in lm-eval's results file."""
        about = {"arm": self.arm, "endpoint": self.name, "sampling_seed": self.sampling_seed}
        return {"model_sha": self.name, "turncoat": about}

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> Any:
        """Refused: chat endpoints give none."""
        raise UserError(f"{self.name}: an endpoint gives no log-likelihoods; remove tasks that need them")

    loglikelihood_rolling = loglikelihood

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        """Answers with their evidence, in order; those that the store has are not asked for.

        Raises:
            UserError: Some failed after every retry, or the limit is reached; the others are kept.
        """
        payloads = self._payloads(requests)
        keys = [self._key(*payload) for payload in payloads]
        with Records(self._folder) as records:
            kept = {key: json.loads(texts[0]) for key, texts in records.read(keys).items()}
            todo = [n for n, key in enumerate(keys) if key not in kept]
            self._tell(len(requests) - len(todo))
            failures: list[str] = []
            streak: list[str] = []

            def ask(n: int, stop: threading.Event) -> dict[str, Any] | str:
                if len(streak) >= max(_DOWN, 2 * self._endpoint.concurrency):
                    return f"not asked: {len(streak)} in a row failed before ({streak[-1]})"
                if self._endpoint.spending.used_up:
                    return f"not asked: max_cost is reached (${self._endpoint.spending.spent:.2f} spent)"
                try:
                    answer = self._ask(payloads[todo[n]][0], stop)
                except CallFailed as failure:
                    streak.append(str(failure))
                    return str(failure)
                streak.clear()
                return answer

            def take(n: int, answer: dict[str, Any] | str) -> None:
                if isinstance(answer, str):
                    failures.append(answer)
                    return
                kept[keys[todo[n]]] = answer
                records.write(keys[todo[n]], json.dumps(answer))
                self._tell(1)

            if todo:
                self._endpoint.client.check_key()
                in_threads(self._endpoint.concurrency, len(todo), ask, take)
        if failures:
            raise UserError(
                f"{self.name}: {len(failures)} of {len(requests)} answers are missing; the last: "
                f"{failures[-1]}. The others are kept: the same command asks for the missing ones alone"
            )
        return [
            Answer(str(kept[key]["text"]), {**facts, **{k: v for k, v in kept[key].items() if k != "text"}})
            for key, (_, facts) in zip(keys, payloads, strict=True)
        ]

    def missing(self, requests: list[Instance]) -> tuple[int, int, int]:
        """Requests that the store has no answer to: how many, their characters, their most new tokens."""
        payloads = self._payloads(requests)
        keys = [self._key(*payload) for payload in payloads]
        with Records(self._folder) as records:
            known = records.read(keys)
        bodies = [body for key, (body, _) in zip(keys, payloads, strict=True) if key not in known]
        characters = sum(len(message["content"]) for body in bodies for message in body["messages"])
        return len(bodies), characters, sum(body[self._endpoint.token_field] for body in bodies)

    def _tell(self, answers: int) -> None:
        if self.progress is not None and answers:
            self.progress(answers)

    def _payloads(self, requests: Sequence[Instance]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The JSON of each request, and the facts of its answer."""
        counts: Counter[tuple[str, str]] = Counter()
        payloads = []
        for request in requests:
            prompt, settings = request.args
            task = str(request.task_name)
            index = counts[task, prompt]
            counts[task, prompt] += 1
            seed = sample_seed(self.sampling_seed, task, prompt, index)
            sample = sample_request((0,), dict(settings), seed, (task, index), sys.maxsize)
            if sample.top_k:
                raise UserError(f"task '{task}': top_k={sample.top_k} is not in OpenAI's protocol; remove it")
            body = {
                "model": self._model, "messages": json.loads(prompt), "temperature": sample.temperature,
                "top_p": sample.top_p, self._endpoint.token_field: sample.max_new_tokens,
                **({"stop": list(sample.stop)} if sample.stop else {}),
                **({"seed": sample.seed} if self._endpoint.send_seed and sample.seed is not None else {}),
            }  # fmt: skip
            facts = {"index": index, "seed": sample.seed, "prompt_sha": digest(body["messages"])[:16]}
            payloads.append((body, facts))
        return payloads

    def _key(self, body: dict[str, Any], facts: dict[str, Any]) -> str:
        return digest([body, facts["index"], facts["seed"]])

    def _ask(self, body: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
        """The text and evidence of one answer.

        Raises:
            CallFailed: Every attempt failed.
        """
        characters = sum(len(message["content"]) for message in body["messages"])
        try:
            reply = self._endpoint.client.ask(body, stop)
        except Declined as declined:  # before the model was asked: there is no answer
            return {"text": "", "declined": str(declined)}
        usage = reply.get("usage") if isinstance(reply.get("usage"), dict) else {}
        most = int(body[self._endpoint.token_field])
        self._endpoint.spending.count(usage, characters=characters, tokens_out=most)
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            text = message.get("content") or message.get("refusal") or ""
        except (LookupError, TypeError, AttributeError):
            raise CallFailed("the reply holds no choices") from None
        if not isinstance(text, str):
            raise CallFailed("the reply's content is not a text")
        thoughts = message.get("reasoning_content") or message.get("reasoning")
        served = {name: reply[name] for name in ("model", "system_fingerprint") if reply.get(name)}
        return {
            "text": text, "finish": choice.get("finish_reason"), **served,
            **({"n_tokens": n} if isinstance(n := (usage or {}).get("completion_tokens"), int) else {}),
            **({"thoughts": thoughts} if isinstance(thoughts, str) and thoughts else {}),
        }  # fmt: skip
