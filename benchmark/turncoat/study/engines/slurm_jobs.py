"""Engine "slurm" (extra `slurm`): job arrays through submitit, a unit a job; "slurm:local" without Slurm."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag, Thread
from typing import Any

from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.study.engines.job import event_line, event_of, make_unit
from turncoat.study.units.maker import Event

_MARK = "turncoat-event "
_LATE = 30.0  # Seconds that the last lines of a job's log may come after its end (NFS)
_NAMES = {"gpus": "gpus_per_node", "cpus": "cpus_per_task", "minutes": "timeout_min", "memory": "mem_gb"}
TOO_OFTEN = "timed-out too many times"
"""submitit's words when it does not queue a job again."""


class SlurmJobs:
    """Ready units as a job array; their events are read from the jobs' logs.

    A job that runs out of time or is pre-empted is queued again by submitit; finished stages and the
    checkpoints of a finetune are in the store.

    Args:
        local: Run jobs on this machine instead.
        most: Units at work at once; default: all that are ready, on this machine one.
        options: `gpus`, `cpus`, `minutes`, `memory` (GB) of a job; any other is one of sbatch: `partition`.

    Raises:
        UserError: submitit is not installed, there is no Slurm here, or an option is unknown.
    """

    def __init__(self, *, local: bool = False, most: int | None = None, **options: Any) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError(
                f"engine 'slurm' needs submitit ({error}): pip install 'turncoat[slurm]'"
            ) from error
        cluster = "local" if local else "slurm"
        try:
            self._executor = submitit.AutoExecutor(cache_dir() / "slurm", cluster=cluster)
        except RuntimeError as error:
            raise UserError(
                f"engine slurm: {error}; run it where sbatch is, or give slurm:local for this machine"
            ) from error
        self.most = most or (1 if local else None)
        given = {_NAMES.get(name, f"slurm_{name}"): value for name, value in options.items()}
        try:
            self._executor.update_parameters(
                name="turncoat", **{"timeout_min": 24 * 60, "tasks_per_node": 1, **given}
            )
        except (NameError, TypeError, ValueError, AssertionError) as error:
            raise UserError(
                f"engine slurm: {error}; accepted: most, {', '.join(_NAMES)} (whole numbers) and options of "
                "sbatch"
            ) from error
        place = "on this machine" if local else "of Slurm"
        self.described = f"jobs {place}, logs in {cache_dir() / 'slurm'}"
        self._logs: list[_Log] = []

    @contextmanager
    def running(self, job: str, inbox: SimpleQueue[Event]) -> Iterator[None]:
        """Jobs are looked after inside the block; those not ended on an error are cancelled."""
        self._job, self._stop = job, Flag()
        thread = Thread(target=self._watch, args=(inbox,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            for log in self._logs:
                log.job.cancel(check=False)

    def submit(self, units: Sequence[str]) -> None:
        """Queue units as one job array."""
        with self._executor.batch():
            jobs = [self._executor.submit(_UnitJob(), self._job, unit) for unit in units]
        self._logs = [*self._logs, *(_Log(job, unit) for job, unit in zip(jobs, units, strict=True))]

    def _watch(self, inbox: SimpleQueue[Event]) -> None:
        while not self._stop.wait(0.5):
            for log in list(self._logs):
                for event in log.news():
                    inbox.put(event)
                    if event.ends:
                        self._logs = [other for other in self._logs if other is not log]


class _Log:
    """A job, and how far its log was read."""

    def __init__(self, job: Any, unit: str) -> None:
        self.job, self.unit = job, unit
        self._read = 0
        self._ended: float | None = None

    def news(self) -> Iterator[Event]:
        """Events since the last call."""
        gone = self.job.done()
        path = Path(self.job.paths.stdout)
        if path.is_file():
            with path.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
            self._read += len(whole) + bool(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                if line.startswith(_MARK) and (event := event_of(line.removeprefix(_MARK))):
                    yield event
                    if event.ends:
                        return
        if gone:
            self._ended = self._ended or time.monotonic()
            if time.monotonic() - self._ended > (_LATE if self.job.state == "COMPLETED" else 2.0):
                yield Event("lost", self.unit, text=f"job {self.job.job_id} {self.job.state}, log {path}")


class _UnitJob:
    def __call__(self, job: str, unit: str) -> None:
        def tell(event: Event) -> None:
            if event.kind == "failed" and TOO_OFTEN in event.text:  # raised in the midst of the unit's work
                text = (
                    f"unit {unit}: its job ran out of time again and again; what was finished is kept: give "
                    "--engine slurm:minutes=N a larger N, and run the same command to go on"
                )
                event = Event("refused", unit, text=text)
            print(_MARK + event_line(event), flush=True)

        make_unit(job, unit, tell)

    def checkpoint(self, job: str, unit: str) -> Any:
        """The same again: submitit queues it when the time is up or the node is taken."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, job, unit)
