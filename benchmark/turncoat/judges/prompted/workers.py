"""Waiting for many replies at once: threads that ask, while the caller's own thread takes what comes in.

>>> run_all(8, jobs=range(100), work=ask, take=keep)   # ask(job, stop) in threads; keep(job, result) here, as they come
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK = 0.2  # seconds between looks at Ctrl-C


def run_all(
    workers: int,
    jobs: Iterable[Job],
    work: Callable[[Job, threading.Event], Result],
    take: Callable[[Job, Result], None],
) -> None:
    """Do every job; `take` sees each result once, in this thread, in the order of completion.

    When a job raises, or Ctrl-C is pressed, no further job is begun, results that are already here are still taken, and
    the exception goes on to the caller. Jobs under way are told by their event; their threads do not outlive the process.

    Args:
        workers: Jobs done at the same time.
        jobs: What is to be done.
        work: Does one job; returns early when its event is set.
        take: Takes a job and its result.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    count = waiting.qsize()
    done: queue.SimpleQueue[tuple[Job, Result | None, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((job, work(job, stop), None))
            except BaseException as error:
                # Handed over whatever it is: the caller's thread raises it.
                stop.set()
                done.put((job, None, error))

    for _ in range(min(workers, count)):
        threading.Thread(target=loop, daemon=True).start()
    try:
        for _ in range(count):
            _take(_next(done), take)
    except BaseException:
        stop.set()
        while not done.empty():
            job, result, error = done.get()
            if error is None:
                take(job, result)  # type: ignore[arg-type]
        raise


def _next(done: queue.SimpleQueue[tuple[Job, Result | None, BaseException | None]]) -> tuple:
    while True:
        try:
            return done.get(timeout=_LOOK)
        except queue.Empty:
            continue


def _take(item: tuple, take: Callable[[Job, Result], None]) -> None:
    job, result, error = item
    if error is not None:
        raise error
    take(job, result)


class Outage:
    """Notices that an endpoint is down: so many answers in a row fail, after all their retries.

    Args:
        after: How many.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._lock = threading.Lock()
        self._count = 0
        self._reason = ""

    @property
    def declared(self) -> bool:
        """Whether it is down; once declared, it stays so."""
        return self._count >= self._after

    @property
    def verdict(self) -> str:
        """Why an answer is not asked about."""
        return f"not asked: {self._after} answers in a row failed before ({self._reason})"

    def failure(self, reason: str) -> None:
        """Another answer failed."""
        with self._lock:
            self._count += 1
            self._reason = reason

    def success(self) -> None:
        """An answer was scored."""
        with self._lock:
            if not self.declared:
                self._count = 0
