"""Engine "processes": worker processes on this machine, one to a GPU, or sharing the cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

import torch

from turncoat.study.engines.child import Child, answers
from turncoat.study.engines.job import make_unit
from turncoat.study.engines.pool import Make, Pool, WorkerLost
from turncoat.study.units.maker import Event


class Processes(Pool):
    """So many processes. With GPUs, number n sees the nth of them; without, each has its share of the cores
    (unless `OMP_NUM_THREADS` says how many threads)."""

    def __init__(self, workers: int) -> None:
        self.most = workers
        self.described = f"{workers} worker processes on this machine"
        self._alive: dict[int, Child] = {}

    @contextmanager
    def worker(self, number: int, job: str) -> Iterator[Make]:
        """A process that is started with its first unit."""

        def make(unit: str) -> Iterator[Event]:
            if number not in self._alive:
                self._alive[number] = Child(__name__, _share(number, self.most))
                self._alive[number].tell(job)
            child = self._alive[number]
            child.tell(unit)
            for event in child.events:
                yield event
                if event.ends:
                    return
            raise WorkerLost(f"worker {number} {child.ending()}")

        try:
            yield make
        finally:
            if child := self._alive.pop(number, None):
                child.close()

    def kill(self) -> None:
        """End all processes; stages are whole or not there."""
        for child in list(self._alive.values()):
            child.kill()


def _share(number: int, workers: int) -> dict[str, str]:
    """Environment of a worker: its GPU, or its threads."""
    if count := torch.cuda.device_count():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(n) for n in range(count)]
        return {"CUDA_VISIBLE_DEVICES": names[number % len(names)]}
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(len(os.sched_getaffinity(0)) // workers, 1))}


def main() -> None:
    """A worker: the job and then units come in, a line each; events go out."""
    tell = answers()
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read, args=(lines,), daemon=True).start()
    job = lines.get().strip()
    while True:
        make_unit(job, lines.get().strip(), tell)


def _read(lines: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # the one command is gone, or done: nobody waits for the stage at work
