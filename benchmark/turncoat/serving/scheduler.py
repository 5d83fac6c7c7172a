"""Scheduler: one thread that owns the models, and requests of one arm that arrive together in one batch.

    scheduler = Scheduler(batch_size=16)
    scheduler.start()
    for event in scheduler.submit(asked): ...     # in any thread

The oldest request's arm is next, with all other requests for it that came within a short window; an answer's
tokens depend on its own request alone, so companions change nothing.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

from torch import Tensor

from turncoat.engine.decoding.requests import GrowingAnswer, SampleResult
from turncoat.engine.decoding.sampler import sampler_for
from turncoat.errors import UserError
from turncoat.serving.arms import AdaptersInMemory, ServedArm
from turncoat.serving.limits import Limits, Refused
from turncoat.serving.logprobs import TokenLogprob, read_prompts, token_logprobs
from turncoat.serving.requests import Asked
from turncoat.shown_text import warn

WINDOW = 0.01  # seconds that the first of a batch waits for others


@dataclass(frozen=True)
class Drawn:
    """A token of an answer, as it is drawn."""

    choice: int
    token: int
    logprob: TokenLogprob | None  # None where none were asked for
    ends: bool  # an end-of-text token, which is not part of the answer


@dataclass(frozen=True)
class Finished:
    """A whole answer."""

    choice: int
    result: SampleResult


@dataclass(frozen=True)
class Echoed:
    """Log-probabilities of a prompt's tokens but the first."""

    prompt: int
    logprobs: list[TokenLogprob]


@dataclass(frozen=True)
class Again:
    """The request begins again: what came before does not count."""


Event = Drawn | Finished | Echoed | Again


@dataclass(eq=False)
class Job:
    """A request at work; iterating over `events` waits for what comes."""

    asked: Asked
    cancelled: bool = False  # set by its client's thread: nothing more is drawn for it
    queue: SimpleQueue[Event | Exception | None] = field(default_factory=SimpleQueue)

    def events(self, patience: float = 0.5) -> Iterator[Event | None]:
        """Its events as they come; None each time that nothing came for `patience` seconds.

        Raises:
            Refused: It failed.
        """
        while True:
            try:
                event = self.queue.get(timeout=patience)
            except Empty:
                yield None
                continue
            if isinstance(event, Exception):
                raise event
            if event is None:
                return
            yield event


class Scheduler:
    """Answers requests in a thread of its own.

    Args:
        batch_size: As in `sampler_for`.
        limits: `concurrency` bounds the requests at work and waiting.
    """

    def __init__(self, batch_size: int = 16, limits: Limits | None = None) -> None:
        self._batch_size, self._limits = batch_size, limits or Limits()
        self._adapters: dict[int, AdaptersInMemory] = {}  # by the base's identity
        self._waiting: list[Job] = []
        self._working: Sequence[Job] = ()
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def load(self, arm: ServedArm) -> None:
        """Read an arm's adapter into memory; before `start`.

        Raises:
            UserError: It does not fit its base.
        """
        with self._on(arm):
            pass

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Refuse what waits, end what is at work, and wait until the models are free."""
        with self._change:
            self._closed = True
            for job in (*self._waiting, *self._working):
                job.cancelled = True
            for job in self._waiting:
                job.queue.put(Refused(503, "the server is being stopped"))
            self._waiting.clear()
            self._change.notify()
        self._thread.join()

    def submit(self, asked: Asked) -> Job:
        """Queue a request.

        Raises:
            Refused: Too many are there already, or the server is being stopped.
        """
        job = Job(asked)
        with self._change:
            if self._closed:
                raise Refused(503, "the server is being stopped")
            if len(self._waiting) + len(self._working) >= self._limits.concurrency:
                message = f"{self._limits.concurrency} requests are at work or waiting; try again"
                raise Refused(429, message, code="rate_limit_exceeded")
            self._waiting.append(job)
            self._change.notify()
        return job

    def _on(self, arm: ServedArm) -> Any:
        return self._adapters.setdefault(id(arm.base), AdaptersInMemory(arm.base)).on(arm)

    def _take(self) -> Sequence[Job]:
        """The next batch; empty when closed."""
        with self._change:
            self._working = ()
            self._change.wait_for(lambda: bool(self._waiting) or self._closed)
        time.sleep(WINDOW)
        with self._change:
            if not self._waiting:
                return ()
            arm = self._waiting[0].asked.arm
            self._working = [job for job in self._waiting if job.asked.arm is arm]
            self._waiting = [job for job in self._waiting if job.asked.arm is not arm]
            return self._working

    def _work(self) -> None:
        while True:
            jobs = self._take()
            if not jobs and self._closed:
                return
            for job, failure in self._failures([job for job in jobs if not job.cancelled]):
                job.queue.put(failure)
            for job in jobs:
                job.queue.put(None)

    def _failures(self, jobs: Sequence[Job]) -> list[tuple[Job, Exception]]:
        """Answer the jobs; those that failed, with what their clients are told."""
        try:
            if jobs:
                self._answer(jobs)
            return []
        except Exception as error:
            alone = [job for job in jobs if not job.asked.stream] if len(jobs) > 1 else []
            for job in alone:  # another one may have failed them all
                job.queue.put(Again())
            failed = [failure for job in alone for failure in self._failures([job])]
            jobs = [job for job in jobs if job not in alone]
            if isinstance(error, UserError):
                return [*failed, *((job, Refused(400, str(error))) for job in jobs)]
            if jobs:
                warn("".join(traceback.format_exception(error)))
            message = f"the server failed ({type(error).__name__}); its log has the details"
            return [*failed, *((job, Refused(500, message)) for job in jobs)]

    def _answer(self, jobs: Sequence[Job]) -> None:
        arm = jobs[0].asked.arm
        places = [(job, sample) for job in jobs for sample in job.asked.samples]
        choices = [int(str(sample.key)) for _, sample in places]
        asked = [job.asked.logprobs for job, _ in places]

        def watch(answers: Sequence[GrowingAnswer], logits: Tensor) -> None:
            wanted = [row for row, answer in enumerate(answers) if asked[answer.index] is not None]
            most = max((asked[answers[row].index] or 0 for row in wanted), default=0)
            read = token_logprobs(logits[wanted], [answers[row].newest for row in wanted], most)
            logprobs = dict(zip(wanted, read, strict=True))
            for row, answer in enumerate(answers):
                job, choice = places[answer.index][0], choices[answer.index]
                if job.cancelled:
                    answer.finish = answer.finish or "stop"
                elif job.asked.stream or row in logprobs:
                    job.queue.put(Drawn(choice, answer.newest, logprobs.get(row), answer.ended_by_eos))

        def finish(result: SampleResult) -> None:
            place = int(str(result.key))
            places[place][0].queue.put(Finished(choices[place], result))

        samples = [replace(sample, key=place) for place, (_, sample) in enumerate(places)]
        with self._on(arm) as model:
            tokenizer = arm.base.tokenizer
            for job in jobs:
                top = job.asked.logprobs
                if job.asked.echoes and top is not None:
                    pad = tokenizer.pad_token_id or 0
                    read = read_prompts(model, pad, job.asked.prompts, top, self._batch_size)
                    for n, logprobs in enumerate(read):
                        job.queue.put(Echoed(n, logprobs))
            sampler_for(model, tokenizer, self._batch_size).run(samples, finish, watch)
