"""Engine "ray" (extra `ray`): actors on a cluster, each with a GPU or cores, and the base model in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Any

from turncoat.errors import UserError
from turncoat.study.engines.job import Job, make_unit
from turncoat.study.engines.pool import Make, Pool, WorkerLost
from turncoat.study.units.maker import Event


class RayActors(Pool):
    """One actor per GPU of the cluster, or per so many cores.

    Args:
        address: Of the cluster ("auto", "ray://host:10001"); "" starts one on this machine.
        workers: Actors; default: as many as fit now. More make an autoscaling cluster grow.
        gpus: GPUs of an actor; default: 1 where the cluster has any.
        cpus: Cores of an actor.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, address: str = "", *, workers: int | None = None, gpus: float | None = None, cpus: int = 1
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError(f"engine 'ray' needs Ray ({error}): pip install 'turncoat[ray]'") from error
        self._ray = ray
        if not ray.is_initialized():
            new = {} if address else {"include_dashboard": False}
            try:
                ray.init(address=address or "local", log_to_driver=False, **new)
            except Exception as error:  # whatever Ray raises: types and texts differ by version
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise UserError(
                    f"engine ray:{address}: {first}; accepted: the address of a running cluster (`ray start "
                    "--head` prints it), or none for this machine alone"
                ) from error
        there: dict[str, Any] = ray.cluster_resources()
        self._gpus = gpus if gpus is not None else float(there.get("GPU", 0) >= 1)
        self._cpus = cpus
        fit = int(there["GPU"] / self._gpus if self._gpus and "GPU" in there else there.get("CPU", 1) / cpus)
        self.most = workers or max(fit, 1)
        share = f"{self._gpus:g} GPU" if self._gpus else f"{cpus} core{'s' * (cpus > 1)}"
        self.described = f"{self.most} Ray actors, {share} each, on {address or 'this machine'}"
        self._actors: dict[int, Any] = {}

    @contextmanager
    def worker(self, number: int, job: Job) -> Iterator[Make]:
        """An actor, which Ray starts again, here or on another node, when it was lost."""
        actor = self._ray.remote(_Actor).options(
            num_gpus=self._gpus, num_cpus=self._cpus, max_restarts=-1, max_task_retries=0
        ).remote(job)  # fmt: skip
        self._actors[number] = actor

        def make(unit: str) -> Iterator[Event]:
            try:
                for event in actor.make.options(num_returns="streaming").remote(unit):
                    yield self._ray.get(event)
            except self._ray.exceptions.RayError as error:
                raise WorkerLost(f"actor {number}: {' '.join(str(error).split())[:300]}") from error

        try:
            yield make
        finally:
            self._ray.kill(actor)

    def kill(self) -> None:
        """End all actors; stages are whole or not there."""
        for actor in self._actors.values():
            self._ray.kill(actor)


class _Actor:
    def __init__(self, job: Job) -> None:
        self._job = job

    def make(self, unit: str) -> Iterator[Event]:
        """The events of a unit while it is made."""
        events: SimpleQueue[Event] = SimpleQueue()
        Thread(target=make_unit, args=(self._job, unit, events.put), daemon=True).start()
        while True:
            event = events.get()
            yield event
            if event.ends:
                return
