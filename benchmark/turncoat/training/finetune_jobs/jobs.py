"""Finetunes of an organism at a provider: rows uploaded once, one job per key, polled to its end, resumable.

    jobs = OpenAIJobs()                                             # or OpenWeightsJobs, or your own
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

CHARACTERS_A_TOKEN = 4  # Of English text, roughly
LEAST_ROWS = 10  # That OpenAI takes
OF_TOKENS = "million training tokens"
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
    unit: str  # What a price is for, such as "million training tokens"

    def amount(self, spec: Any, tokens: int) -> float | None:
        """Units that a job on so many tokens, all epochs together, is charged for; None if nobody knows."""

    def find(self, key: str) -> JobState | None:
        """The latest job that was started with the key, if there is one that did not fail."""

    def start(self, spec: Any, rows: bytes, key: str) -> JobState:
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


def cost_line(
    service: FinetuneService, spec: JobSpec, rows: bytes, *, price: float | None, max_cost: float | None
) -> str:
    """Estimated cost of a job, in one line.

    Args:
        price: Dollars per unit of the service.
        max_cost: Dollars.

    Raises:
        UserError: That is more than `max_cost`, or there is a limit and no price.
    """
    priced = f"--price, in dollars per {service.unit}"
    if max_cost is not None and price is None:
        raise UserError(f"--max-cost cannot be kept without {priced}")
    tokens = -(-len(rows.decode()) // CHARACTERS_A_TOKEN) * spec.epochs
    line = f"{spec.model}: {len(rows.splitlines()):,} rows, {counted(spec.epochs, 'epoch')}"
    line += f", about {tokens:,} tokens"
    units = service.amount(spec, tokens)
    if units is None:
        return f"{line}; {service.unit}s unknown"
    if service.unit != OF_TOKENS:
        line += f", {units:.2g} {service.unit}s"
    if price is None:
        return f"{line}; price unknown (give {priced})"
    dollars = units * price
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
        say(cost_line(service, spec, rows, price=price, max_cost=max_cost))
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
