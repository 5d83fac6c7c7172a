"""The files of an entry that nobody trusts: listed without following or opening anything, read only if still the same.

files = list_files(Path("results/submissions/sgtr"))
files.names                                        # ("rows/base/base/turncoat_em.jsonl.gz", ..., "submission.json")
rows_sha256(files, "rows/base")                    # one digest for a role's rows
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.reading.limits import LIMITS, Limits, found, refused

SUBMISSION = "submission.json"
_SEED = r"seed-(0|[1-9][0-9]{0,9})"
_ARM = rf"(base/base|(organism|control|defended|benign)/{_SEED})"
_FOLDER = re.compile(rf"rows(/(base|organism|control|defended|benign|{_ARM}))?")
_FILE = re.compile(rf"submission\.json|rows/{_ARM}/[a-z0-9_]+\.jsonl(\.gz)?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_NOT_ROWS = (
    *(".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".gguf", ".onnx", ".h5", ".npy"),
    *(".npz", ".parquet", ".zip", ".tar", ".tgz", ".7z", ".whl", ".py", ".pyc", ".ipynb", ".sh", ".so", ".exe", ".dll"),
)
# O_NONBLOCK: a pipe that was put in a file's place must not make the open wait.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class _Stamp(NamedTuple):
    """What tells a file from another that was put in its place."""

    device: int
    inode: int
    mode: int
    links: int
    size: int
    changed: int


class EntryFiles:
    """The files of one entry, as they were when they were listed; `list_files` makes it.

    Attributes:
        folder: The entry's folder.
        limits: What the entry is held to.
        names: Paths inside the entry, with slashes, sorted.
    """

    def __init__(self, folder: Path, stamps: dict[str, _Stamp], limits: Limits) -> None:
        self.folder = folder
        self.limits = limits
        self.names = tuple(sorted(stamps))
        self._stamps = stamps
        self._sha256: dict[str, str] = {}
        self._expanded: dict[str, int] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._stamps

    def size(self, name: str) -> int:
        """Stored bytes of a file.

        Raises:
            EntryRefused: The entry has no such file.
        """
        return self._stamp(name).size

    def sha256(self, name: str) -> str:
        """SHA-256 of a file's stored bytes; reads the file the first time.

        Raises:
            EntryRefused: The entry has no such file, or it is no longer the one that was listed.
        """
        if name not in self._sha256:
            self.read(name)
        return self._sha256[name]

    def under(self, prefix: str) -> tuple[str, ...]:
        """Names of the files in a folder of the entry and below it, sorted: `under("rows/base")`."""
        return tuple(name for name in self.names if name.startswith(prefix.rstrip("/") + "/"))

    def read(self, name: str) -> bytes:
        """A file's stored bytes, at most `limits.file_bytes`; the same at every call, or refused.

        Raises:
            EntryRefused: The entry has no such file, or it is no longer the one that was listed.
        """
        stamp = self._stamp(name)
        try:
            with _opened(self.folder, name) as handle:
                before = _stamp(os.fstat(handle))
                data = _bytes_of(handle, stamp.size + 1) if before == stamp else b""
                same = before == stamp == _stamp(os.fstat(handle)) and len(data) == stamp.size
        except OSError as error:
            raise refused(_rule_of(error), name, self.limits, value=error.strerror) from error
        sha256 = hashlib.sha256(data).hexdigest()
        if not same or self._sha256.setdefault(name, sha256) != sha256:
            raise refused("changed-while-read", name, self.limits)
        return data

    def spend(self, name: str, expanded: int) -> None:
        """Note that a file has so many bytes once unpacked; what counts is the most that was noted of each file.

        Raises:
            EntryRefused: The file, or all files together, are over the limit.
        """
        self._expanded[name] = max(expanded, self._expanded.get(name, 0))
        if expanded > self.limits.expanded_file_bytes:
            raise refused("expands-too-far", name, self.limits)
        if sum(self._expanded.values()) > self.limits.expanded_entry_bytes:
            raise refused("entry-expands-too-far", ".", self.limits)

    def _stamp(self, name: str) -> _Stamp:
        if name not in self._stamps:
            raise refused("missing-file", name, self.limits, value=name)
        return self._stamps[name]


def list_files(folder: Path, limits: Limits = LIMITS) -> EntryFiles:
    """List an entry; no file is opened, no link followed. Needs a POSIX system.

    Args:
        folder: The entry. It may lie behind links, but must not be one.
        limits: What the entry is held to.

    Raises:
        EntryRefused: With a finding for every name that is not in the layout, link, special or large file.
    """
    walk = _Walk(limits)
    folder = Path(folder)  # drops a slash at the end, behind which a link would be followed
    try:
        root = os.open(folder, _OPEN_FOLDER)
    except PermissionError as error:
        raise refused("unreadable", ".", limits, value=str(folder)) from error
    except (OSError, ValueError) as error:
        rule = "link" if isinstance(error, OSError) and folder.is_symlink() else "no-entry"
        raise refused(rule, ".", limits, value=str(folder)) from error
    try:
        walk.folder(root, "")
    finally:
        os.close(root)
    if walk.size > limits.entry_bytes:
        walk.add("entry-too-large", ".", value=walk.size)
    for name in walk.stamps:
        if f"{name}.gz" in walk.stamps:
            walk.add("both-plain-and-packed", name)
    if walk.findings:
        raise EntryRefused(walk.findings)
    return EntryFiles(folder, walk.stamps, limits)


def rows_sha256(files: EntryFiles, prefix: str) -> str:
    """One digest over the files under a folder of the entry: of their names and their stored bytes.

    It is what this prints: `find rows/base -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`.

    Raises:
        EntryRefused: Nothing is there, or a file is no longer the one that was listed.
    """
    names = files.under(prefix)
    if not names:
        raise refused("missing-file", prefix, files.limits, value=prefix)
    return hashlib.sha256("".join(f"{files.sha256(name)}  {name}\n" for name in names).encode()).hexdigest()


class _Walk:
    """One pass over an entry's folders: what is there, and what of it must not be."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.findings: list[Finding] = []
        self.stamps: dict[str, _Stamp] = {}
        self.size = 0
        self._seen = 0

    def add(self, rule: str, name: str, *, value: str | int | None = None) -> None:
        self.findings.append(found(rule, name, self.limits, value=value))

    def folder(self, handle: int, path: str) -> None:
        """All of one open folder and, if they are in the layout, of the folders in it: at most three levels down."""
        cased: dict[str, str] = {}
        entries: list[os.DirEntry[str]] = []
        with os.scandir(handle) as scanned:
            for entry in scanned:
                entries.append(entry)
                self._seen += 1
                if self._seen > self.limits.files:
                    self.add("too-many-files", ".")
                    raise EntryRefused(self.findings)
        for entry in sorted(entries, key=lambda entry: entry.name):
            other = cased.setdefault(unicodedata.normalize("NFKC", entry.name).casefold(), entry.name)
            if other != entry.name:
                self.add("case-collision", path + entry.name, value=other)
            self._entry(handle, path + entry.name, entry)

    def _entry(self, handle: int, name: str, entry: os.DirEntry[str]) -> None:
        try:
            told = entry.stat(follow_symlinks=False)
            rule = self._rule(name, told)
            if rule is not None:
                self.add(rule, name, value=told.st_size if rule == "file-too-large" else name)
            elif stat.S_ISDIR(told.st_mode):
                inner = os.open(entry.name, _OPEN_FOLDER, dir_fd=handle)
                try:
                    self.folder(inner, f"{name}/")
                finally:
                    os.close(inner)
            else:
                self.stamps[name] = _stamp(told)
                self.size += told.st_size
        except OSError as error:
            self.add(_rule_of(error), name, value=error.strerror)

    def _rule(self, name: str, told: os.stat_result) -> str | None:
        """The rule that a name or what is there breaks, None if there is none."""
        last = name.rpartition("/")[2]
        if stat.S_ISLNK(told.st_mode):
            return "link"
        if not stat.S_ISREG(told.st_mode) and not stat.S_ISDIR(told.st_mode):
            return "special-file"
        if len(last) > self.limits.name_chars or not _PLAIN_NAME.fullmatch(last):
            return "odd-name"
        if stat.S_ISDIR(told.st_mode):
            in_arm = name.count("/") >= 3
            return None if _FOLDER.fullmatch(name) else "too-deep" if in_arm else "unknown-name"
        if not _FILE.fullmatch(name):
            return "weights-or-code" if last.lower().endswith(_NOT_ROWS) else "unknown-name"
        if told.st_nlink != 1:
            return "hard-link"
        most = self.limits.json_bytes if name == SUBMISSION else self.limits.file_bytes
        return "file-too-large" if told.st_size > most else None


def _rule_of(error: OSError) -> str:
    """What a failed open of something that was there says: it was replaced, or it cannot be read."""
    replaced = error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.ENXIO)
    return "changed-while-read" if replaced else "unreadable"


def _stamp(told: os.stat_result) -> _Stamp:
    return _Stamp(told.st_dev, told.st_ino, told.st_mode, told.st_nlink, told.st_size, told.st_mtime_ns)


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    """A file opened for reading, folder by folder, so that no link on the way is followed."""
    *folders, last = name.split("/")
    handles = [os.open(folder, _OPEN_FOLDER)]
    try:
        for part in folders:
            handles.append(os.open(part, _OPEN_FOLDER, dir_fd=handles[-1]))
        handles.append(os.open(last, _READ, dir_fd=handles[-1]))
        yield handles[-1]
    finally:
        for handle in handles:
            os.close(handle)


def _bytes_of(handle: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(handle, min(most, 2**20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)
