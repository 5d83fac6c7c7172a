"""Workers that live as long as the run, each with a thread here that hands it one unit after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from threading import Thread

from turncoat.study.engines.job import Job
from turncoat.study.units.maker import Event

Make = Callable[[str], Iterator[Event]]  # unit -> its events, or those until the worker is lost


class WorkerLost(Exception):
    """A worker ended in the midst of a unit; the text says how."""


class Pool:
    """A fixed number of workers. A subclass says what a worker is: `worker(number, job)`."""

    described: str
    most: int

    def worker(self, number: int, job: Job) -> AbstractContextManager[Make]:
        """A worker, there until the block is left; making a unit raises `WorkerLost` when it dies."""
        raise NotImplementedError

    @contextmanager
    def running(self, job: Job, inbox: SimpleQueue[Event]) -> Iterator[None]:
        """Workers are there inside the block."""
        self._orders: SimpleQueue[str | None] = SimpleQueue()
        threads = [
            Thread(target=self._serve, args=(number, job, inbox), daemon=True) for number in range(self.most)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            self.kill()
            raise
        finally:
            for _ in threads:
                self._orders.put(None)
            for thread in threads:
                thread.join()

    def kill(self) -> None:
        """End the workers, also those at work."""

    def submit(self, units: Sequence[str]) -> None:
        """Hand units to the next workers that are free."""
        for unit in units:
            self._orders.put(unit)

    def _serve(self, number: int, job: Job, inbox: SimpleQueue[Event]) -> None:
        with self.worker(number, job) as make:
            while (unit := self._orders.get()) is not None:
                try:
                    for event in make(unit):
                        inbox.put(event)
                except WorkerLost as lost:
                    inbox.put(Event("lost", unit, text=str(lost)))
                except Exception:  # or the run would wait for ever
                    inbox.put(Event("failed", unit, text=traceback.format_exc()))
