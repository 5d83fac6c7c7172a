"""List an entry's files without following links, and read them within the limits.

files = list_files(Path("results/submissions/sgtr"))
# ("rows/base/base/turncoat_em.jsonl.gz", ..., "submission.json")
files.names
rows_sha256(files, "rows/base")                    # one digest for a role's rows
"""

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import replace
from itertools import islice
from pathlib import Path

from turncoat.leaderboard.reading.findings import EntryRefused, Finding, shown
from turncoat.leaderboard.reading.limits import LIMITS, Limits, finding, refused
from turncoat.safe_files import UnsafeFile, read_bytes

SUBMISSION = "submission.json"
_SEED = r"seed-(0|[1-9][0-9]{0,9})"
_ARM = rf"(base/base|(organism|control|defended|benign)/{_SEED})"
_FOLDER = re.compile(rf"rows(/(base|organism|control|defended|benign|{_ARM}))?")
_FILE = re.compile(rf"submission\.json|rows/{_ARM}/[a-z0-9_]+\.jsonl(\.gz)?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_NOT_ROWS = re.compile(
    r".*\.(pkl|pickle|joblib|pth?|ckpt|bin|safetensors|gguf|onnx|h5|np[yz]|parquet|zip|tar|tgz|7z|whl|pyc?|"
    r"ipynb|sh|so|exe|dll)",
    re.IGNORECASE,
)


class EntryFiles:
    """The files of one entry; `list_files` makes it."""

    def __init__(self, folder: Path, sizes: dict[str, int], limits: Limits) -> None:
        self.folder = folder
        self.limits = limits
        self.names = tuple(sorted(sizes))
        self._sizes = sizes
        self._sha256: dict[str, str] = {}
        self._expanded: dict[str, int] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._sizes

    def size(self, name: str) -> int:
        """Stored bytes of a file when the entry was listed; EntryRefused where there is none."""
        if name not in self._sizes:
            raise refused("missing-file", name, self.limits, value=name)
        return self._sizes[name]

    def sha256(self, name: str) -> str:
        """SHA-256 of a file's stored bytes; reads the file the first time (`read`)."""
        if name not in self._sha256:
            self.read(name)
        return self._sha256[name]

    def under(self, prefix: str) -> tuple[str, ...]:
        """Names of the files in a folder of the entry and below it, sorted: `under("rows/base")`."""
        return tuple(name for name in self.names if name.startswith(prefix.rstrip("/") + "/"))

    def read(self, name: str) -> bytes:
        """A file's stored bytes; the same at every call, so that what is ranked is what was checked.

        Raises:
            EntryRefused: The entry has no such file, it cannot be read, or it is no longer the one that was
                listed.
        """
        size = self.size(name)
        try:
            data = read_bytes(self.folder / name, size)
        except UnsafeFile as error:
            rule = "unreadable" if error.rule == "unreadable" else "changed-while-read"
            raise refused(rule, name, self.limits, value=error.value) from error
        sha256 = hashlib.sha256(data).hexdigest()
        if len(data) != size or self._sha256.setdefault(name, sha256) != sha256:
            raise refused("changed-while-read", name, self.limits)
        return data

    def spend(self, name: str, expanded: int) -> None:
        """Count the unpacked bytes of a file; EntryRefused where all files together are over the limit."""
        self._expanded[name] = max(expanded, self._expanded.get(name, 0))
        if sum(self._expanded.values()) > self.limits.expanded_entry_bytes:
            raise refused("entry-expands-too-far", ".", self.limits)


def list_files(folder: Path, limits: Limits = LIMITS) -> EntryFiles:
    """List an entry; no file is opened, no link followed.

    Args:
        folder: The entry. It may lie behind links, but must not be one.

    Raises:
        EntryRefused: With a finding for every name that is not in the layout, link, special or large file.
    """
    folder = Path(folder)  # drops a slash at the end, behind which a link would be followed
    if os.path.islink(folder):
        raise refused("link", ".", limits, value=str(folder))
    there = {name for name in ("run.json", "rows", SUBMISSION) if os.path.lexists(folder / name)}
    if folder.is_dir() and not there:  # nothing of it is an entry's, to be deleted or not
        raise refused("no-entry", ".", limits, value=str(folder))
    if "run.json" in there and SUBMISSION not in there:
        run = finding("no-entry", ".", limits, value=f"{folder} is a run")
        fix = f"keep the run; `turncoat leaderboard submit {shown(str(folder))} --out NAME` makes the entry"
        raise EntryRefused([replace(run, allowed="an entry: submission.json and rows", fix=fix)])
    listing = _Listing(limits)
    try:
        listing.add_folder(folder, "")
    except EntryRefused:
        raise
    except (OSError, ValueError) as error:
        raise refused("no-entry", ".", limits, value=str(folder)) from error
    if sum(listing.sizes.values()) > limits.entry_bytes:
        listing.add("entry-too-large", ".", sum(listing.sizes.values()))
    for name in listing.sizes:
        if f"{name}.gz" in listing.sizes:
            listing.add("both-plain-and-packed", name)
    if listing.findings:
        raise EntryRefused(listing.findings)
    return EntryFiles(folder, listing.sizes, limits)


def rows_sha256(files: EntryFiles, prefix: str) -> str:
    """One digest over the files under a folder of the entry: of their names and their stored bytes.

    It is what this prints: `find rows/base -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`.

    Raises:
        EntryRefused: Nothing is there, or a file cannot be read.
    """
    names = files.under(prefix)
    if not names:
        raise refused("missing-file", prefix, files.limits, value=prefix)
    return hashlib.sha256("".join(f"{files.sha256(name)}  {name}\n" for name in names).encode()).hexdigest()


class _Listing:
    """The files of an entry with their sizes, and findings about whatever must not be there."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.findings: list[Finding] = []
        self.sizes: dict[str, int] = {}
        self._names = 0

    def add(self, rule: str, name: str, value: str | int | None = None) -> None:
        self.findings.append(finding(rule, name, self.limits, value=value))

    def add_folder(self, folder: Path, prefix: str) -> None:
        """List one folder and, if they are in the layout, the folders in it: at most three levels down."""
        cased: dict[str, str] = {}
        with os.scandir(folder) as scanned:
            entries = list(islice(scanned, self.limits.files - self._names + 1))
        self._names += len(entries)
        if self._names > self.limits.files:
            self.add("too-many-files", ".")
            raise EntryRefused(self.findings)
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = prefix + entry.name
            other = cased.setdefault(unicodedata.normalize("NFKC", entry.name).casefold(), entry.name)
            if other != entry.name:
                self.add("case-collision", name, other)
            status = entry.stat(follow_symlinks=False)
            rule = self._broken_rule(name, status)
            if rule is not None:
                self.add(rule, name, status.st_size if rule == "file-too-large" else name)
            elif stat.S_ISREG(status.st_mode):
                self.sizes[name] = status.st_size
            else:
                try:
                    self.add_folder(folder / entry.name, f"{name}/")
                except OSError as error:
                    self.add("unreadable", name, error.strerror)

    def _broken_rule(self, name: str, status: os.stat_result) -> str | None:
        last = name.rpartition("/")[2]
        is_folder = stat.S_ISDIR(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            return "link"
        if not is_folder and not stat.S_ISREG(status.st_mode):
            return "special-file"
        if len(last) > self.limits.name_chars or not _PLAIN_NAME.fullmatch(last):
            return "odd-name"
        if is_folder:
            in_arm = name.count("/") >= 3
            return None if _FOLDER.fullmatch(name) else "too-deep" if in_arm else "unknown-name"
        if not _FILE.fullmatch(name):
            return "weights-or-code" if _NOT_ROWS.fullmatch(last) else "unknown-name"
        most = self.limits.json_bytes if name == SUBMISSION else self.limits.file_bytes
        return "file-too-large" if status.st_size > most else None
