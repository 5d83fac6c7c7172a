"""Content-addressed stages: keyed by all that determines their result, whole or not there.

    folder = Store(root).stage("adapter", {"rows": 200, "seed": 0}, build=lambda tmp: train(tmp))

The key is the SHA-256 of the stage's kind and specification (canonical JSON). Many processes on many hosts
may share the folder `root`. One of them builds a stage, under a lease (`lease.py`), while the others wait or,
inside `not_waiting()`, are told by `StageBusy` to take other work:

    <root>/<kind>/<key>/                        a finished stage
    <root>/<kind>/.<key>.work/lease-000001      who builds it
    <root>/<kind>/.<key>.work/<process>/stage   what it has built, until it is renamed into place

With `TURNCOAT_STORE` set, finished stages are copied to and from there as well (`remote.py`).

A process that was frozen past its lease cannot put anything into place afterwards: whoever takes the lease
over first renames what the other one has built, so that its own rename finds nothing.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.safe_files import write_file
from turncoat.shown_text import warn
from turncoat.store.digests import digest
from turncoat.store.lease import (
    BEATS,
    Holder,
    Lease,
    LeaseLost,
    Watch,
    abandoned,
    lease_file,
    newest,
    read_lease,
    take,
)
from turncoat.store.manifest import MANIFEST_FILE, Checked, problem, sync, write_manifest
from turncoat.store.remote import Remote, remote_store

SPEC_FILE = "stage.json"
TIMING_FILE = "timing.json"
STAGE_FILES = (SPEC_FILE, TIMING_FILE, MANIFEST_FILE)
"""Names of the files that the store adds to a stage's own."""
LEASE_SECONDS = 60.0
"""Seconds without a heartbeat after which a stage at work is taken over: ten heartbeats of a busy host."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNWRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
_QUIET = 2.0  # seconds of waiting that are not worth a line


class StageBusy(Exception):
    """Another process is making the stage.

    Attributes:
        kind: The stage's kind.
        holder: That process; None while its lease is being written.
    """

    def __init__(self, kind: str, holder: Holder | None) -> None:
        super().__init__(f"{holder or 'another process'} is at work on a stage of kind '{kind}'")
        self.kind, self.holder = kind, holder


class Store:
    """Finished stages under one folder, `<root>/<kind>/<key>/`.

    Args:
        root: Where stages live; the user cache by default.
        lease: Seconds without a sign of life after which another process's stage is taken over.
        log: Called with a line when this process waits for another one; a warning by default.
        remote: Where finished stages are kept too; default: `TURNCOAT_STORE`, for the user cache alone.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        lease: float = LEASE_SECONDS,
        log: Callable[[str], None] = warn,
        remote: Remote | None = None,
    ) -> None:
        self.root = root if root is not None else cache_dir() / "stages"
        ours = self.root.absolute() == (cache_dir() / "stages").absolute()
        self.remote = remote or (remote_store() if ours else None)
        self.lease, self.log = lease, log
        self._checked, self._watch = Checked(self.root), Watch(lease)
        self._mine = threading.local()  # the leases that each thread holds, the innermost last
        self._waits = True

    def folder(self, kind: str, spec: dict[str, Any]) -> Path:
        """Folder of the stage's result, there or not."""
        return self.root / kind / digest({"kind": kind, "spec": spec})[:20]

    def has(self, kind: str, spec: dict[str, Any]) -> bool:
        """True if the stage is done; it is here then.

        Raises:
            UserError: It is damaged, or the remote store cannot be reached.
        """
        self._fetch(kind, spec)
        return self._finished(self.folder(kind, spec))

    @contextmanager
    def not_waiting(self) -> Iterator[None]:
        """Inside the block `stage` raises `StageBusy` where it would wait.

        A stage that a build needs is waited for even so: giving up would lose what was built.
        """
        before, self._waits = self._waits, False
        try:
            yield
        finally:
            self._waits = before

    def check_leases(self) -> None:
        """Stop a build that another process has taken over; long builds call it now and then.

        Raises:
            LeaseLost: A lease of this thread is lost. `stage` catches it and waits for the new holder.
        """
        for lease in self._leases():
            lease.check()

    def attempt(self, kind: str, spec: dict[str, Any]) -> Path:
        """Folder for checkpoints of the stage that this thread builds, with those of the last attempt.

        They are renamed into this attempt's folder: a process that was frozen goes on writing elsewhere.
        """
        final, parent = self.folder(kind, spec), self.root / "unfinished"
        work = _work(final)
        lease = next(lease for lease in self._leases() if lease.work == work)
        mine = parent / f"{final.name}.{lease.holder.token}"
        earlier = [path for path in parent.glob(f"{final.name}*") if path != mine]
        for path in sorted(earlier, key=lambda path: path.stat().st_mtime, reverse=True):
            with suppress(OSError):
                if mine.exists():
                    shutil.rmtree(path)
                else:
                    path.rename(mine)
        return mine

    def stage(
        self,
        kind: str,
        spec: dict[str, Any],
        build: Callable[[Path], None],
        *,
        again: Callable[[Path], bool] | None = None,
    ) -> Path:
        """Folder with the stage's result; `build(folder)` makes it when it is missing.

        Args:
            build: Called again where the first result came to nothing because this process stood still.
            again: Says of the finished folder whether it is to be made again; it stays until the new result
                is complete.

        Raises:
            UserError: The store cannot be written, its disk is full, or the finished stage is damaged.
            StageBusy: Inside `not_waiting()`.
            Whatever `build` raises; nothing is kept then.
        """
        self._fetch(kind, spec)
        final = self._stage(kind, spec, build, again)
        if self.remote:  # one that could not be copied when it was made
            self.remote.put(_name(final), final)
        return final

    def _fetch(self, kind: str, spec: dict[str, Any]) -> None:
        final, remote = self.folder(kind, spec), self.remote
        if remote and not final.is_dir() and remote.has(_name(final)):
            self._stage(kind, spec, lambda folder: remote.get(_name(final), folder))

    def _stage(
        self,
        kind: str,
        spec: dict[str, Any],
        build: Callable[[Path], None],
        again: Callable[[Path], bool] | None = None,
    ) -> Path:
        final = self.folder(kind, spec)
        pause, waited = 0.02, 0.0
        while not self._finished(final, again):
            try:
                if not waited:
                    final.parent.mkdir(parents=True, exist_ok=True)
                    self._sweep(final)
                lease = take(_work(final), self._watch)
            except OSError as error:
                self._explain(error, kind)
                raise
            if lease is None:
                self._wait(kind, final, pause, waited)
                waited, pause = waited + pause, min(pause * 1.5, self.lease / BEATS / 4)
                continue
            with lease:
                _clear_all(lease, final)
                # A client of NFS may remember for a while that a folder was not there; after this it asks.
                os.scandir(final.parent).close()
                if self._finished(final, again):
                    break
                self._leases().append(lease)
                try:
                    self._build(lease, kind, spec, build, again=again is not None)
                    return final
                except Exception as error:
                    if lease.held():
                        self._explain(error, kind)
                        raise
                    # Whatever went wrong: the folder was taken away from under it.
                    self.log(f"{kind} {final.name}: taken over by another process while this one stood still")
                finally:
                    self._leases().pop()
                    _clear(lease.folder, final, lease)
        return final

    def _build(
        self, lease: Lease, kind: str, spec: dict[str, Any], build: Callable[[Path], None], *, again: bool
    ) -> None:
        final, working, before = self.folder(kind, spec), lease.folder / "stage", lease.folder / "before"
        begun = time.perf_counter()
        # Nobody else may enter the folder around it, and its name ends in random characters.
        lease.folder.mkdir(mode=0o700)
        working.mkdir()
        build(working)
        seconds = {"seconds": round(time.perf_counter() - begun, 2)}
        if not (
            working / TIMING_FILE
        ).exists():  # a fetched stage has the time that it took where it was made
            write_file(working / TIMING_FILE, json.dumps(seconds) + "\n")
        write_file(working / SPEC_FILE, json.dumps(spec, indent=1, sort_keys=True) + "\n")
        manifest = write_manifest(working)
        if not lease.held():
            raise LeaseLost(lease.work.name)
        # A rename never replaces a folder with files: what is to be made again has to go first.
        if again and final.is_dir():
            os.rename(final, before)
        try:
            os.rename(working, final)
        except BaseException as error:
            if isinstance(error, OSError) and final.is_dir():
                return  # another process was first: its result is ours, by construction
            if before.is_dir():
                os.rename(before, final)
            raise
        sync(final.parent)
        self._checked.made_here(final, manifest)
        for left in (self.root / "unfinished").glob(f"{final.name}*"):
            shutil.rmtree(left, ignore_errors=True)
        if self.remote:
            self.remote.put(_name(final), final, replace=True)

    def _finished(self, final: Path, again: Callable[[Path], bool] | None = None) -> bool:
        if not final.is_dir():
            return False
        self._checked.check(final)
        return again is None or not again(final)

    def _sweep(self, final: Path) -> None:
        """Remove what processes of this host that were killed have left of other stages of the same kind."""
        for work in final.parent.glob(".*.work"):
            if work == _work(final) or not abandoned(lease_file(work, newest(work))):
                continue
            if (lease := take(work, self._watch)) is not None:
                with lease:
                    _clear_all(lease, final.parent / work.name[1:].removesuffix(".work"))

    def _leases(self) -> list[Lease]:
        if not hasattr(self._mine, "leases"):
            self._mine.leases = []
        leases: list[Lease] = self._mine.leases
        return leases

    def _wait(self, kind: str, final: Path, pause: float, waited: float) -> None:
        if not self._waits and not self._leases():
            raise StageBusy(kind, self._holder(final))
        if waited < _QUIET <= waited + pause:
            self.log(
                f"waiting for {self._holder(final) or 'another process'}, which makes {kind} {final.name}"
            )
        time.sleep(pause)

    def _holder(self, final: Path) -> Holder | None:
        work = _work(final)
        content = read_lease(lease_file(work, newest(work)))
        return None if content is None else content[0]

    def _explain(self, error: Exception, kind: str) -> None:
        """Raise an error that says what to do, if the store is full or cannot be written; else nothing."""
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
            causes.append(cause)
        failed = [cause for cause in causes if isinstance(cause, OSError)]
        full = [cause for cause in failed if cause.errno in _FULL]
        # Libraries that write weights themselves pass on the system's words alone.
        if full or any("No space left on device" in str(cause) for cause in causes):
            place = next((cause.filename for cause in full if cause.filename), self.root)
            raise UserError(
                f"the disk of {place} is full: '{kind}' could not be written. Free some space (`du -sh "
                f"{self.root}/*` shows what the store takes) or set TURNCOAT_CACHE to another disk, then the "
                "same command goes on: what was finished is there"
            ) from error
        below = f"{self.root}{os.sep}"
        if any(
            cause.errno in _UNWRITABLE and f"{cause.filename}{os.sep}".startswith(below) for cause in failed
        ):
            raise UserError(
                f"{self.root} cannot be written, and '{kind}' is not finished there. Set TURNCOAT_CACHE to a "
                f"copy that can be written (cp -r), or run the same command where {self.root} can be "
                "written: what is finished can be read from both"
            ) from error


def _name(final: Path) -> str:
    return f"{final.parent.name}/{final.name}"


def _work(final: Path) -> Path:
    return final.parent / f".{final.name}.work"


def _clear_all(lease: Lease, final: Path) -> None:
    for folder in lease.work.glob("*/"):
        _clear(folder, final, lease)


def _clear(folder: Path, final: Path, lease: Lease) -> None:
    """Put what a holder has built out of its reach, and remove it, or finish it where it is complete.

    A process that was frozen right before its rename finds no `stage` when it goes on. To rename its folder
    would not be enough: a client of NFS may go on using a folder under its old name.
    """
    gone, before = folder / f"gone-{lease.holder.token}", folder / "before"
    with suppress(OSError):
        (folder / "stage").rename(gone)
    if folder == lease.folder:  # nobody else's, and where nothing can be renamed it has to go as well
        shutil.rmtree(folder / "stage", ignore_errors=True)
    with suppress(OSError):  # its holder was stopped between two renames: the finished stage comes back
        before.rename(final)
    # The manifest is written last: all was built, and only to be put into place.
    if not final.is_dir() and (gone / MANIFEST_FILE).is_file() and not problem(gone):
        with suppress(OSError):
            gone.rename(final)
    for left in (*folder.glob("gone-*"), *([before] if final.is_dir() else [])):
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()
