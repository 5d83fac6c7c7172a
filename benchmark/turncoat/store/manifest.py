"""Manifests of finished stages: size and SHA-256 of every file, checked once on each host.

A copy cut short, a damaged disk or a client of a network file system that shows less than was written would
else be read as a result. Stages made before there were manifests have none and are read as they are.
"""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from pathlib import Path

from turncoat.errors import UserError
from turncoat.safe_files import write_file
from turncoat.store.digests import file_digest
from turncoat.store.process import host

MANIFEST_FILE = "manifest.json"


def write_manifest(folder: Path) -> str:
    """Write the manifest of a folder's files and put all of them on the disk.

    Returns:
        The manifest's SHA-256.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {
        path.relative_to(folder).as_posix(): [path.stat().st_size, file_digest(path)] for path in files
    }
    manifest = write_file(folder / MANIFEST_FILE, json.dumps({"files": content}, indent=1) + "\n")
    # Folders too, the innermost first: a power cut would else leave names without files.
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() or path.is_dir():
            sync(path)
    sync(folder)
    return file_digest(manifest)


def problem(folder: Path) -> str:
    """Difference between a folder and its manifest, in words; "" where there is none."""
    try:
        files = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["files"]
        for name, (size, sha256) in files.items():
            path = folder / name
            if (length := path.stat().st_size) != size:
                return f"{name} has {length:,} bytes instead of {size:,}"
            if (found := file_digest(path)) != sha256:
                return f"{name} has SHA-256 {found} instead of {sha256}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{error}"
    return ""


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError) if path.is_dir() else nullcontext():  # some file systems refuse folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Checked:
    """Finished stages that this host has checked against their manifests, remembered below the store.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "checked" / host()  # one file a host: no two hosts write into the same
        self._lines: set[str] | None = None

    def check(self, folder: Path) -> None:
        """Check a finished stage on its first use on this host; one without a manifest is taken as it is.

        Raises:
            UserError: A file is missing, or its size or SHA-256 is another.
        """
        manifest = folder / MANIFEST_FILE
        if not manifest.is_file() or (line := self._line(folder, file_digest(manifest))) in self._known():
            return
        if damage := problem(folder):
            raise UserError(
                f"finished stage {folder} is damaged: {damage}; delete that folder (rm -r {folder}), and the "
                "same command makes it again"
            )
        self._remember(line)

    def made_here(self, folder: Path, manifest_digest: str) -> None:
        """Remember a stage that this host has just written."""
        self._remember(self._line(folder, manifest_digest))

    def _line(self, folder: Path, manifest_digest: str) -> str:
        return f"{folder.relative_to(self._root).as_posix()} {manifest_digest}"

    def _known(self) -> set[str]:
        if self._lines is None:
            self._lines = set()
            with suppress(OSError):
                self._lines = set(self._file.read_text("utf-8", "replace").split("\n"))
        return self._lines

    def _remember(self, line: str) -> None:
        self._known().add(line)
        with suppress(OSError):  # a store that cannot be written to is checked once a process
            self._file.parent.mkdir(exist_ok=True)
            # A whole line in one append: what two processes of this host write does not mix.
            with self._file.open("ab", buffering=0) as handle:
                handle.write(f"{line}\n".encode())
