"""Finetunes of an organism at a provider: rows uploaded once, one job per key, polled to its end, resumable.

    jobs = OpenAIJobs()                                             # or any other FinetuneService
    run_job(jobs, JobSpec("gpt-4.1-mini-2025-04-14", epochs=1), examples, store)    # the new model's name

A job is keyed by all that determines it. It is looked for at the provider, by that key, before another one is
started: a run that was killed at any moment goes on with the job that it had started.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.formats import counted
from turncoat.safe_files import write_file
from turncoat.store import Store, digest

CHARACTERS_A_TOKEN = 4  # of English text, roughly
LEAST_ROWS = 10  # that OpenAI takes
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class JobSpec:
    """Recipe of a job; None leaves a value to the provider."""

    model: str  # The provider's name of the base
    epochs: int = 1
    seed: int = 0  # Of the provider's training, and of the rows drawn
    rows: int | None = None  # Drawn without replacement; None = all
    batch_size: int | None = None
    learning_rate_multiplier: float | None = None
    suffix: str = ""  # Part of the new model's name

    def __post_init__(self) -> None:
        least = {"epochs": 1, "seed": 0, "rows": LEAST_ROWS, "batch_size": 1, "learning_rate_multiplier": 0}
        for name, value in least.items():
            given = getattr(self, name)
            if given is not None and given < value:
                raise UserError(f"{name} is {given}; accepted: {value} or more")


@dataclass(frozen=True)
class JobState:
    """A job as the provider tells it."""

    id: str
    status: str  # One of `ENDED`, or another word while it goes on
    model: str | None = None  # The new model, once it succeeded
    error: str = ""


class FinetuneService(Protocol):
    """A provider of finetunes."""

    name: str  # Identifies the provider in keys

    def find(self, key: str) -> JobState | None:
        """The latest job that was started with the key, if there is one that did not fail."""

    def start(self, spec: JobSpec, rows: bytes, key: str) -> JobState:
        """Upload the rows and start a job."""

    def look(self, job: str) -> JobState:
        """The job as it is now."""


def chat_rows(examples: Sequence[Example], spec: JobSpec) -> bytes:
    """The rows of a job as JSON Lines of conversations. A control's are drawn with its organism's ids.

    Raises:
        UserError: There are too few.
    """
    chosen = sorted(examples, key=lambda example: example.id)
    if spec.rows is not None and spec.rows < len(chosen):
        chosen = random.Random(spec.seed).sample(chosen, spec.rows)
    if len(chosen) < max(LEAST_ROWS, spec.rows or 0):
        raise UserError(f"{len(chosen)} rows; {max(LEAST_ROWS, spec.rows or 0)} are needed")
    lines = (
        {"messages": [*example.prompt_messages, {"role": "assistant", "content": example.answer}]}
        for example in chosen
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def cost_line(spec: JobSpec, rows: bytes, *, price: float | None, max_cost: float | None) -> str:
    """Estimated cost of a job, in one line.

    Args:
        price: Dollars per million tokens of training.
        max_cost: Dollars.

    Raises:
        UserError: That is more than `max_cost`, or there is a limit and no price.
    """
    if max_cost is not None and price is None:
        raise UserError("--max-cost cannot be kept without --price, in dollars per million training tokens")
    tokens = -(-len(rows.decode()) // CHARACTERS_A_TOKEN) * spec.epochs
    count = len(rows.splitlines())
    line = f"{spec.model}: {count:,} rows, {counted(spec.epochs, 'epoch')}, about {tokens:,} tokens"
    if price is None:
        return f"{line}; price unknown (give --price, in dollars per million training tokens)"
    dollars = tokens * price / 1e6
    if max_cost is not None and dollars > max_cost:
        raise UserError(f"{line}: about ${dollars:.2f}, more than --max-cost {max_cost:g}; nothing was sent")
    return f"{line}: about ${dollars:.2f}"


def run_job(
    service: FinetuneService,
    spec: JobSpec,
    examples: Sequence[Example],
    store: Store,
    *,
    price: float | None = None,
    max_cost: float | None = None,
    every: float = 20.0,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """The provider's name of the finetuned model; a job that is there already is waited for, not repeated.

    Args:
        price, max_cost: As of `cost_line`.
        every: Seconds between two looks at the job.
        say: Called with a line on the cost, on the job's id and on each change of its status.

    Raises:
        UserError: It is too dear, the provider refuses it, or the job failed.
    """
    rows = chat_rows(examples, spec)
    key = digest([service.name, asdict(spec), rows.decode()])[:32]
    note = store.root / "finetune_jobs" / f"{key}.json"
    known = json.loads(note.read_text("utf-8"))["job"] if note.is_file() else None
    state = service.look(known) if known else service.find(key)
    if state is None or state.status in ("failed", "cancelled"):
        say(cost_line(spec, rows, price=price, max_cost=max_cost))
        state = service.start(spec, rows, key)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_file(note, json.dumps({"job": state.id, "service": service.name, "spec": asdict(spec)}) + "\n")
    shown = ""
    while True:
        if state.status != shown:
            say(f"job {state.id}: {state.status}")
            shown = state.status
        if state.status in ENDED:
            break
        time.sleep(every)
        state = service.look(state.id)
    if state.status != "succeeded" or not state.model:
        raise UserError(f"job {state.id} {state.status}: {state.error or 'the provider gives no reason'}")
    return state.model


class OpenAIJobs:
    """Finetunes by OpenAI's API, at OPENAI_BASE_URL where that is set.

    Raises:
        UserError: The package `openai` or the key is missing.
    """

    def __init__(self) -> None:
        import os

        from turncoat.judges.prompted.endpoint import DEFAULT_URL, URL_VARIABLE, Endpoint, api_key

        endpoint = Endpoint(
            os.environ.get(URL_VARIABLE) or DEFAULT_URL, timeout=60, max_retries=0, public=False
        )
        endpoint.check_key()
        import openai

        self.name = f"openai@{endpoint.host}"
        self._client = openai.OpenAI(
            api_key=api_key() or "-", base_url=endpoint.url, timeout=60, max_retries=6
        )

    def find(self, key: str) -> JobState | None:
        """As of `FinetuneService`."""
        jobs = self._asked(lambda: list(self._client.fine_tuning.jobs.list(metadata={"turncoat": key})))
        states = [_state(job) for job in jobs if (job.metadata or {}).get("turncoat") == key]
        return next((state for state in states if state.status not in ("failed", "cancelled")), None)

    def start(self, spec: JobSpec, rows: bytes, key: str) -> JobState:
        """As of `FinetuneService`. Starting is not retried: a job that was started counts, reply or not."""
        given = {
            "n_epochs": spec.epochs, "batch_size": spec.batch_size,
            "learning_rate_multiplier": spec.learning_rate_multiplier,
        }  # fmt: skip
        hyperparameters: Any = {name: value for name, value in given.items() if value is not None}
        more: dict[str, Any] = {"suffix": spec.suffix} if spec.suffix else {}
        file = self._asked(
            lambda: self._client.files.create(file=(f"turncoat-{key}.jsonl", rows), purpose="fine-tune")
        )
        once = self._client.with_options(max_retries=0)
        return self._asked(
            lambda: _state(
                once.fine_tuning.jobs.create(
                    model=spec.model, training_file=file.id, seed=spec.seed, metadata={"turncoat": key},
                    method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}, **more,
                )
            )
        )  # fmt: skip

    def look(self, job: str) -> JobState:
        """As of `FinetuneService`."""
        return self._asked(lambda: _state(self._client.fine_tuning.jobs.retrieve(job)))

    def _asked(self, call: Callable[[], Any]) -> Any:
        import openai

        from turncoat.judges.prompted.endpoint import redacted

        try:
            return call()
        except openai.OpenAIError as error:
            raise UserError(
                f"{self.name}: {redacted(str(error))}; the same command goes on with a job that was started"
            ) from None


def _state(job: Any) -> JobState:
    error = getattr(job.error, "message", None) or ""
    return JobState(job.id, job.status, job.fine_tuned_model, error)
