"""Leases: the right to make one stage, held by one process of one host at a time and kept up by a heartbeat.

    lease = take(work, patience=60)      # None where another process holds it, or got it first
    with lease: ...                      # lease.held() right before anything is put into place

`work` is the stage's working folder. It holds `lease-000001`, `lease-000002`, ...: the newest file counts, so
that a lease is taken over by making the next one and nobody ever renames or removes another one's. Making it
is `open(O_CREAT | O_EXCL)`, which an NFS server decides since version 3 (RFC 1813, 3.3.8). link(2) would do
as well and is missing on more file systems; `flock` and `lockf` are often local to each client.

No clock of another host is ever read. A lease has expired when its heartbeat, a number in the file, has not
moved for `patience` seconds of the observer's own monotonic clock, or when its process is known to be gone.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from turncoat.store.process import ended, host, process_space, started

BEATS = 6
"""Heartbeats in the time after which a lease expires."""
_NAME = re.compile(r"lease-(\d{6,})")
_WIDTH = 12  # of the heartbeat, which is overwritten in place: a full disk cannot stop it


class LeaseLost(Exception):
    """The lease expired while its holder was frozen, and another process has taken the stage over."""


@dataclass(frozen=True)
class Holder:
    """Process that holds a lease."""

    token: str  # Host, process number, start of the process and a random part; names its working folder
    machine: str  # The host's own name, for people
    pid: int
    start: str  # As `process.started`
    space: str  # As `process.process_space`

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine}"


def _this_process() -> Holder:
    pid, start = os.getpid(), started(os.getpid())
    token = f"{host()}.{pid}.{start}.{secrets.token_hex(8)}"
    return Holder(token, os.uname().nodename, pid, start, process_space())


def newest(work: Path) -> int:
    """Number of the newest lease; 0 where there is none."""
    try:
        return max((int(m[1]) for name in os.listdir(work) if (m := _NAME.fullmatch(name))), default=0)
    except (FileNotFoundError, NotADirectoryError):
        return 0


def lease_file(work: Path, number: int) -> Path:
    """Path of a lease."""
    return work / f"lease-{number:06}"


def read_lease(path: Path) -> tuple[Holder | None, bytes] | None:
    """Holder (None while it is being written) and heartbeat; None if the lease is gone."""
    try:
        lines = path.read_bytes().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == getattr(os, "ESTALE", 116):  # removed on another host since it was opened
            return None
        raise
    try:
        return Holder(**json.loads(lines[0])), lines[1]
    except (ValueError, TypeError, IndexError):
        return None, b""


def abandoned(path: Path) -> bool:
    """True if the holder is certainly gone: a process of this host and PID namespace."""
    content = read_lease(path)
    holder = content and content[0]
    return holder is not None and ended(holder.space, holder.pid, holder.start)


class Watch:
    """Time that the heartbeats of leases have stood still, as this process saw it.

    Args:
        patience: Seconds without a heartbeat after which a lease has expired.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[Path, tuple[tuple[Holder | None, bytes], float, float]] = {}

    def expired(self, path: Path) -> bool:
        """True if the process is gone or its heartbeat has stood still for too long; call it often."""
        now, content = time.monotonic(), read_lease(path)
        if content is None:
            self._seen.pop(path, None)
            return False
        if abandoned(path):
            return True
        before, looked, still = self._seen.get(path, (content, now, 0.0))
        # One look stands for one heartbeat at most: an observer that was itself frozen, perhaps together with
        # the holder (a paused container), has seen nothing of the time in between.
        still = still + min(now - looked, self.patience / BEATS) if before == content else 0.0
        self._seen[path] = (content, now, still)
        return still >= self.patience


class Lease:
    """The newest lease of a working folder, made by this process; `take` makes it.

    Attributes:
        lost: Set once another process has taken it over.
    """

    def __init__(self, work: Path, number: int, holder: Holder, descriptor: int, patience: float) -> None:
        self.work, self.number, self.holder = work, number, holder
        self.folder = work / holder.token
        self.lost = threading.Event()
        self._descriptor = descriptor
        self._patience = patience
        self._over = threading.Event()
        self._seen_held = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name=f"lease {work.name}", daemon=True)

    def held(self) -> bool:
        """True if the lease is still this process's; asks the file system."""
        if not self.lost.is_set():
            content = read_lease(lease_file(self.work, self.number))
            owner = content and content[0]
            if newest(self.work) != self.number or owner is None or owner.token != self.holder.token:
                self.lost.set()
            else:
                self._seen_held = time.monotonic()
        return not self.lost.is_set()

    def check(self) -> None:
        """Raise LeaseLost if another process has taken the lease over; cheap while the heart beats."""
        if (
            time.monotonic() - self._seen_held > self._patience / 2
        ):  # it stood still, and so did the heartbeat
            self.held()
        if self.lost.is_set():
            raise LeaseLost(f"{self.work.name}: taken over while this process stood still")

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the heartbeat; a lease that is still held is removed, with those before it."""
        self._over.set()
        self._thread.join()
        os.close(self._descriptor)
        if not self.held():
            return
        # The own one goes last: until then it is the newest, and nobody can take its place.
        for number in range(1, self.number + 1):
            with suppress(OSError):
                lease_file(self.work, number).unlink()
        with suppress(OSError):
            self.work.rmdir()

    def _beat(self) -> None:
        at, beat = len(_header(self.holder)), 0
        while not self._over.wait(self._patience / BEATS):
            beat += 1
            # Through the descriptor: whatever has become of the name, no other holder's file is touched.
            with suppress(OSError):
                os.pwrite(self._descriptor, b"%0*d" % (_WIDTH, beat), at)
                os.fsync(self._descriptor)  # a client of NFS would keep it to itself
            with suppress(OSError):
                self.held()


def _header(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode() + b"\n"


def take(work: Path, watch: Watch) -> Lease | None:
    """The lease of a working folder, which is made; None while another process holds it.

    What the holder before this one left is out of its reach then: see `fence`.

    Raises:
        OSError: The folder cannot be written.
    """
    number = newest(work)
    before = read_lease(lease_file(work, number))
    if number and not watch.expired(lease_file(work, number)):
        return None
    work.mkdir(parents=True, exist_ok=True)
    path = lease_file(work, number + 1)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return None
    except FileNotFoundError:  # the holder has finished and removed the folder
        return None
    holder = _this_process()
    try:
        os.pwrite(descriptor, _header(holder) + b"0" * _WIDTH + b"\n", 0)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    lease = Lease(work, number + 1, holder, descriptor, watch.patience)
    # Between the look and the file all may have been finished, and begun anew by somebody else.
    after = read_lease(lease_file(work, number))
    if number and (before is None or after is None or before[0] != after[0]):
        os.close(descriptor)
        path.unlink(missing_ok=True)
        return None
    return lease
