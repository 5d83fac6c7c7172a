"""Workers that live as long as the run, each with a thread here that hands it one unit after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from threading import Thread

from turncoat.errors import UserError
from turncoat.study.units.maker import Event

Make = Callable[[str], Iterator[Event]]  # unit -> its events, or those until the worker is lost


class WorkerLost(Exception):
    """A worker ended in the midst of a unit; the text says how."""


class Pool:
    """A fixed number of workers. A subclass says what a worker is: `worker(number, job)`."""

    described: str
    most: int
    over = False  # The run has ended: no worker takes another unit

    def worker(self, number: int, job: str) -> AbstractContextManager[Make]:
        """A worker that can take a unit, there until the block is left; after `WorkerLost`, raised by making
        a unit, another one takes its place.

        Raises:
            UserError: There cannot be one.
        """
        raise NotImplementedError

    @contextmanager
    def running(self, job: str, inbox: SimpleQueue[Event]) -> Iterator[None]:
        """Workers are there inside the block."""
        self._orders: SimpleQueue[str | None] = SimpleQueue()
        self.over = False
        threads = [
            Thread(target=self._serve, args=(number, job, inbox), daemon=True) for number in range(self.most)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            self.over = True
            self.kill()
            raise
        finally:
            self.over = True
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

    def _serve(self, number: int, job: str, inbox: SimpleQueue[Event]) -> None:
        unit: str | None = ""
        while unit is not None and not self.over:
            unit = ""
            try:
                with self.worker(number, job) as make:
                    while not self.over and (unit := self._orders.get()) is not None:
                        for event in make(unit):
                            inbox.put(event)
            except WorkerLost as lost:
                inbox.put(Event("lost", unit or "", text=str(lost)))
            except UserError as error:
                inbox.put(Event("refused", unit or "", text=str(error)))
                return
            except Exception:  # or the run would wait for ever
                inbox.put(Event("failed", unit or "", text=traceback.format_exc()))
                return
