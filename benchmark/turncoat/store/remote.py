"""Finished stages on any file system that fsspec knows (`s3://`, `gs://`, `file://`), for hosts that share no
folder.

    <url>/<kind>/<key>/finished.json     which of the folders beside it counts; written last
    <url>/<kind>/<key>/<random>/...      a finished stage's files, with its manifest

Stages are built in the local store and copied as a whole, each copy into a folder of its own: what two hosts
write does not mix, and a copy cut short is never read. There are no leases: two hosts that need the same
stage at the same time both build it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from turncoat.errors import UserError
from turncoat.store.digests import file_digest
from turncoat.store.manifest import MANIFEST_FILE, problem

VARIABLE = "TURNCOAT_STORE"
_POINTER = "finished.json"


def remote_store() -> Remote | None:
    """The file system that `TURNCOAT_STORE` names; None where it is not set."""
    url = os.environ.get(VARIABLE, "").strip()
    return Remote(url) if url else None


class Remote:
    """Finished stages below a URL.

    Args:
        url: As fsspec takes it.

    Raises:
        UserError: There is no such file system, or its library is not installed; the same from all methods
            where it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._known: dict[str, dict[str, str] | None] = {}
        self._fs: Any
        with self._explained("used"):
            from fsspec.core import url_to_fs

            self._fs, self._root = url_to_fs(self.url)

    def has(self, name: str) -> bool:
        """True if a stage ("adapter/0123...") is there."""
        return self._pointer(name) is not None

    def get(self, name: str, folder: Path) -> None:
        """Copy the files of a stage that is there into an empty folder, and check them against its manifest.

        Raises:
            UserError: It is damaged.
        """
        pointer = self._pointer(name)
        assert pointer is not None
        place = f"{self._root}/{name}/{pointer['folder']}"
        with self._explained("read"):
            self._fs.get_file(f"{place}/{MANIFEST_FILE}", str(folder / MANIFEST_FILE))
            for file in self._files(folder):
                if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                    raise ValueError(f"{name}: its manifest names a file {file!r} outside of its folder")
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(f"{place}/{file}", str(folder / file))
        if damage := problem(folder):
            raise UserError(
                f"finished stage {self.url}/{name} is damaged: {damage}; delete that folder there, and the "
                "same command makes it again"
            )
        (folder / MANIFEST_FILE).unlink()

    def put(self, name: str, folder: Path, *, replace: bool = False) -> None:
        """Copy a finished stage there, unless it is there already.

        Args:
            replace: Another result under this name is replaced.
        """
        pointer = self._pointer(name)
        if not (folder / MANIFEST_FILE).is_file() or (pointer and not replace):
            return
        manifest = file_digest(folder / MANIFEST_FILE)
        if pointer and pointer["manifest"] == manifest:
            return
        with self._explained(f"written ({name} is finished, and kept here)"):
            made = {"folder": secrets.token_hex(8), "manifest": manifest}
            for file in (*self._files(folder), MANIFEST_FILE):
                target = f"{self._root}/{name}/{made['folder']}/{file}"
                self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                self._fs.put_file(str(folder / file), target)
            self._fs.pipe_file(f"{self._root}/{name}/{_POINTER}", json.dumps(made).encode())
        self._known[name] = made

    def _pointer(self, name: str) -> dict[str, str] | None:
        if self._known.get(name) is None:  # what is missing may come
            with self._explained("read"):
                try:
                    pointer = json.loads(self._fs.cat_file(f"{self._root}/{name}/{_POINTER}"))
                    self._known[name] = {key: str(pointer[key]) for key in ("folder", "manifest")}
                except FileNotFoundError:
                    return None
        return self._known[name]

    @staticmethod
    def _files(folder: Path) -> list[str]:
        return list(json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["files"])

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system's library has its own types
            words = " ".join(str(error).split())[:300] or type(error).__name__
            raise UserError(
                f"{VARIABLE}={self.url} cannot be {what}: {words}; accepted: a folder as fsspec names it "
                "(s3://bucket/folder, file:///folder), its library installed (pip install s3fs) and "
                "its keys in the environment. Then the same command goes on"
            ) from error
