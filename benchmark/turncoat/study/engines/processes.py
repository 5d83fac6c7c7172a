"""Engine "processes": worker processes on this machine, one to a GPU, or sharing the cores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from typing import IO

import torch

from turncoat.paths import PACKAGE
from turncoat.study.engines.job import Job, event_line, event_of, make_unit
from turncoat.study.engines.pool import Make, Pool, WorkerLost
from turncoat.study.units.maker import Event


class Processes(Pool):
    """So many processes. With GPUs, number n sees the nth of them; without, each has its share of the cores
    (unless `OMP_NUM_THREADS` says how many threads)."""

    def __init__(self, workers: int) -> None:
        self.most = workers
        self.described = f"{workers} worker processes on this machine"
        self._alive: dict[int, subprocess.Popen[str]] = {}

    @contextmanager
    def worker(self, number: int, job: Job) -> Iterator[Make]:
        """A process that is started with its first unit, and again when it was lost."""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:

            def make(unit: str) -> Iterator[Event]:
                process = self._alive.get(number)
                if process is None or process.poll() is not None:
                    process = self._alive[number] = _started(number, self.most, job, log)
                assert process.stdin is not None and process.stdout is not None
                with suppress(BrokenPipeError):  # it is gone: its output ends
                    print(unit, file=process.stdin, flush=True)
                for line in process.stdout:
                    if event := event_of(line):
                        yield event
                        if event.ends:
                            return
                raise WorkerLost(f"worker {number} {_how(process.wait())}{_end_of(log)}")

            try:
                yield make
            finally:
                if process := self._alive.pop(number, None):
                    process.kill()
                    process.communicate()

    def kill(self) -> None:
        """End all processes; stages are whole or not there."""
        for process in list(self._alive.values()):
            process.kill()


def _started(number: int, workers: int, job: Job, log: IO[str]) -> subprocess.Popen[str]:
    places = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": places, **_share(number, workers)}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=log, text=True, encoding="utf-8", start_new_session=True,  # Ctrl-C is for the one command
    )  # fmt: skip
    assert process.stdin is not None
    print(job.line(), file=process.stdin, flush=True)
    return process


def _share(number: int, workers: int) -> dict[str, str]:
    """Environment of a worker: its GPU, or its threads."""
    if count := torch.cuda.device_count():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(n) for n in range(count)]
        return {"CUDA_VISIBLE_DEVICES": names[number % len(names)]}
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(len(os.sched_getaffinity(0)) // workers, 1))}


def _how(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _end_of(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return f"; it last wrote: {lines[-1][:300]}" if lines else ""


def main() -> None:
    """A worker: the job and then units come in, a line each; events go out."""
    # Whatever libraries print goes to the log.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read, args=(lines,), daemon=True).start()
    job = Job.from_line(lines.get())
    while True:
        make_unit(job, lines.get().strip(), lambda event: print(event_line(event), file=out, flush=True))


def _read(lines: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # the one command is gone, or done: nobody waits for the stage at work


if __name__ == "__main__":
    main()
