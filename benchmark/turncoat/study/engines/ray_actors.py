"""Engine "ray" (extra `ray`): actors on a cluster, each with a GPU or cores, and the base model in memory.

Ray ends its driver without an exception when the cluster's head is gone. So the driver is a child of the one
command, which says what to do then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from queue import SimpleQueue
from threading import Thread
from typing import Any

from turncoat.errors import UserError
from turncoat.study.engines.child import Child, answers
from turncoat.study.engines.job import make_unit
from turncoat.study.engines.pool import Make, Pool, WorkerLost
from turncoat.study.units.maker import Event

_SLOW = "timed out during startup"  # Ray's words where its 30 seconds do not do, on a busy machine
_PATIENCE = 20.0  # Seconds for the driver to end its actors, and a cluster of its own


class RayActors:
    """One actor per GPU of the cluster, or per so many cores.

    Args:
        address: Of the cluster ("auto", "ray://host:10001"); "" starts one on this machine.
        workers: Actors; default: as many as fit now. More make an autoscaling cluster grow.
        gpus: GPUs of an actor; default: 1 where the cluster has any.
        cpus: Cores of an actor.

    Raises:
        UserError: Ray is not installed, there is no such cluster, or no actor fits on this machine.
    """

    def __init__(
        self, address: str = "", *, workers: int | None = None, gpus: float | None = None, cpus: int = 1
    ) -> None:
        if find_spec("ray") is None:
            raise UserError("engine 'ray' needs Ray, which is not installed: pip install 'turncoat[ray]'")
        for name, value in {"workers": workers, "gpus": gpus, "cpus": cpus}.items():
            least = 0 if name == "gpus" else 1
            if value is not None and (isinstance(value, str) or value < least):
                raise UserError(f"engine ray:{name}={value}: accepted: a number, {least} or more")
        self._address = address
        options = {"address": address, "workers": workers, "gpus": gpus, "cpus": cpus}
        for starts_left in (2, 1, 0):
            # Ray would report its use over the network otherwise.
            self._driver = Child(__name__, {"RAY_USAGE_STATS_ENABLED": "0"})
            self._driver.tell(json.dumps(options))
            started = next(self._driver.events, None)
            if started and started.kind == "begin":
                break
            text = started.text if started else f"its driver {self._driver.ending()}"
            self._driver.close()
            if address or not starts_left or _SLOW not in text:
                raise UserError(f"engine ray{':' * bool(address)}{address}: {text}")
        assert started is not None
        self.described, self.most = started.text, int(started.total)

    @contextmanager
    def running(self, job: str, inbox: SimpleQueue[Event]) -> Iterator[None]:
        """Actors are there inside the block."""
        self._driver.tell(job)
        Thread(target=self._pass_on, args=(inbox,), daemon=True).start()
        try:
            yield
        finally:
            self._driver.close(_PATIENCE)

    def submit(self, units: Sequence[str]) -> None:
        """Hand units to the next actors that are free."""
        for unit in units:
            self._driver.tell(unit)

    def _pass_on(self, inbox: SimpleQueue[Event]) -> None:
        for event in self._driver.events:
            inbox.put(event)
        start = f"see to {self._address} (`ray status`), " if self._address else ""
        text = (
            f"engine ray: the cluster is gone (Ray's driver {self._driver.ending()}); what was finished is "
            f"kept: {start}run the same command to go on"
        )
        inbox.put(Event("refused", "", text=text))


class _Cluster(Pool):
    """The actors, in the driver. Arguments as `RayActors`."""

    def __init__(self, address: str, workers: int | None, gpus: float | None, cpus: int) -> None:
        import ray

        self._ray = ray
        alone = {
            "include_dashboard": False, "object_store_memory": 2**27,  # events are small
            "num_cpus": workers * cpus if workers else None,
        }  # fmt: skip
        try:
            ray.init(address or "local", log_to_driver=False, **({} if address else alone))
        except Exception as error:  # whatever Ray raises: types and texts differ by version
            raise UserError(
                f"{_first_line(error)}; accepted: the address of a running cluster, which `ray start --head` "
                "prints, or none for this machine alone"
            ) from error
        there: dict[str, float] = ray.cluster_resources()
        self._gpus = gpus if gpus is not None else float(there.get("GPU", 0) >= 1)
        self._cpus = cpus
        by_gpu = [there.get("GPU", 0) / self._gpus] if self._gpus else []
        fit = int(min([there.get("CPU", 0) / cpus, *by_gpu]))
        share = f"{self._gpus:g} GPU" if self._gpus else f"{cpus} core{'s' * (cpus > 1)}"
        if not fit and not address:
            raise UserError(
                f"no actor with gpus={self._gpus:g}, cpus={cpus} fits on this machine, which has "
                f"{there.get('GPU', 0):g} GPUs and {there.get('CPU', 0):g} cores; ask for less"
            )
        self.most = workers or max(fit, 1)
        self.described = f"{self.most} Ray actors, {share} each, on {address or 'this machine'}"
        if fit < self.most:
            self.described += f"; {fit} fit now, the others wait for the cluster to grow"
        self._actors: dict[int, Any] = {}

    @contextmanager
    def worker(self, number: int, job: str) -> Iterator[Make]:
        """An actor, once the cluster has room for it; it takes no unit before."""
        options = {"num_gpus": self._gpus, "num_cpus": self._cpus, "max_restarts": 0}
        actor = self._actors[number] = self._ray.remote(_Actor).options(**options).remote(job)
        failures = self._ray.exceptions.RayError

        def make(unit: str) -> Iterator[Event]:
            try:
                for event in actor.make.options(num_returns="streaming").remote(unit):
                    yield self._ray.get(event)
            except failures as error:
                raise WorkerLost(f"actor {number}: {_first_line(error)}") from error

        try:
            ready = actor.__ray_ready__.remote()
            while not self.over and not self._ray.wait([ready], timeout=1.0)[0]:
                pass
            if not self.over:
                try:
                    self._ray.get(ready)
                except failures as error:
                    raise UserError(
                        f"an actor cannot start: {_first_line(error)}; each node needs Turncoat and its "
                        "libraries in the versions of this one"
                    ) from error
            yield make
        finally:
            self._ray.kill(actor)

    def kill(self) -> None:
        """End all actors; stages are whole or not there."""
        for actor in list(self._actors.values()):
            self._ray.kill(actor)


class _Actor:
    def __init__(self, job: str) -> None:
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


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


def main() -> None:
    """The driver: options, the job and then units come in, a line each; events go out."""
    tell = answers()
    try:
        cluster = _Cluster(**json.loads(sys.stdin.readline()))
    except UserError as error:
        tell(Event("refused", "", text=str(error)))
        return
    tell(Event("begin", "", text=cluster.described, total=cluster.most))
    if not (job := sys.stdin.readline()):
        return
    inbox: SimpleQueue[Event] = SimpleQueue()

    def pass_on() -> None:
        while True:
            tell(inbox.get())

    Thread(target=pass_on, daemon=True).start()
    with cluster.running(job.strip(), inbox):
        for unit in sys.stdin:
            cluster.submit([unit.strip()])
        raise SystemExit  # the one command is done, or gone: nobody waits for the units at work
