"""Append-only records that many processes on many hosts add to, one file per writer.

    with Records(folder) as records:
        records.read(["key"])            # {"key": ["text", ...]}, of all writers
        records.write("key", "text")

No two processes ever write into one file, so that nothing needs a lock that holds between hosts (SQLite on a
network file system does). A process goes on with the file of one of its own host that has ended: there are as
many files as there were processes at once.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from turncoat.store.process import ended, process_space, started

_NAME = re.compile(r"(?P<space>[0-9a-f]+)\.(?P<pid>\d+)\.(?P<start>\d+)\.[0-9a-f]+\.jsonl")

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC

_open: set[Path] = set()  # the files that this process is writing
_opening = threading.Lock()


class Records:
    """Texts under keys, in the files of a folder: lines of a key, a space and a text.

    Args:
        folder: Made with the first record.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / ""
        self._descriptor: int | None = None

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _open.discard(self._file)

    def read(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """The different texts of each key that has some, sorted. A line that a kill cut short may be one.

        Raises:
            OSError: A file cannot be read.
        """
        wanted = {key.encode() for key in keys}
        texts: dict[str, set[str]] = {}
        todo = self._files()
        seen: set[Path] = set()
        while todo:
            path = todo.pop()
            seen.add(path)
            try:
                with path.open("rb") as handle:
                    for line in handle:
                        key, _, text = line.rstrip(b"\n").partition(b" ")
                        if key in wanted:
                            texts.setdefault(key.decode(), set()).add(text.decode("utf-8", "replace"))
            except FileNotFoundError:  # another process goes on with it under its own name
                todo = [other for other in self._files() if other not in seen]
        return {key: sorted(found) for key, found in texts.items()}

    def write(self, key: str, text: str) -> None:
        """Add a record; a key has no space in it and a text no line end.

        Raises:
            OSError: The folder cannot be written.
        """
        with _opening:
            if self._descriptor is None:
                self._descriptor = self._new_descriptor()
        line = f"{key} {text}\n".encode()
        if os.write(self._descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file))

    def _files(self) -> list[Path]:
        return list(self._folder.glob("*.jsonl"))

    def _new_descriptor(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        this = f"{process_space()}.{os.getpid()}.{started(os.getpid())}"
        mine = self._file = self._folder / f"{this}.{secrets.token_hex(8)}.jsonl"
        for path in self._files():
            writer = _NAME.fullmatch(path.name)
            over = writer and ended(writer["space"], int(writer["pid"]), writer["start"])
            if over or (path.name.startswith(f"{this}.") and path not in _open):
                with suppress(OSError):  # another one was first
                    path.rename(mine)
                    break
        _open.add(mine)
        descriptor = os.open(mine, os.O_CREAT | _APPEND, 0o666)
        # Behind a line that a kill cut short a new one begins.
        if (size := os.fstat(descriptor).st_size) and _last_byte(mine, size) != b"\n":
            os.write(descriptor, b"\n")
        return descriptor


def _last_byte(path: Path, size: int) -> bytes:
    with path.open("rb") as handle:
        handle.seek(size - 1)
        return handle.read(1)
