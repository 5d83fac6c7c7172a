"""Safe reading and writing of files that somebody else may have made: runs, entries, exports.

data = read_bytes(path, most=2**20)           # a regular file, never a link, a pipe or a device; bounded
content = read_object(path)                   # the JSON object in a file of a run
# the rows of a .jsonl or .jsonl.gz file, one in memory at a time
for number, row in json_rows(path): ...
write_file(path, data)                        # whole or not at all; a link there is replaced, never followed
write_files(folder, {"a/b.json": data})       # the same below a folder, and nowhere else
replace_folder(folder, {"a/b.json": data})    # the whole folder, or what was there before
with new_folder(folder) as fresh: ...         # the same for what others write

Everything that a command writes goes through these four (a test looks for other ways).
"""

from __future__ import annotations

import gzip
import itertools
import os
import re
import secrets
import stat
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import jiter

from turncoat.errors import UserError

# O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OBJECT_BYTES = 256 * 2**20  # of a JSON file of a run
_LINE_BYTES = 64 * 2**20  # of a row of a run: all answers to one question
_ROWS_BYTES = 16 * 2**30  # of a samples file of a run, unpacked
_GZIP = b"\x1f\x8b\x08"
_GZIP_FIELDS = 0x1E  # header flags that announce the name of a file, a comment and the like
_NEAR = 20  # characters on both sides of a mistake that are shown
_PLACE = re.compile(r" at line (\d+) column (\d+)$")
_NOT_FINITE = re.compile("-?(NaN|Infinity)")


class UnsafeFile(UserError):
    """A file, or a line of one, that is not read.

    Attributes:
        rule: Why, as a word such as "link" or "line-too-long".
        row: Line number from 1; None where no line is meant.
        value: What is there instead; None where there is nothing to show.
    """

    def __init__(
        self, rule: str, place: object, row: int | None = None, value: str | int | None = None
    ) -> None:
        self.rule, self.row, self.value = rule, row, value
        where = f"{place}" if row is None else f"{place}, line {row}"
        reason = rule.replace("-", " ") + ("" if value is None else f": {value}")
        super().__init__(
            f"{where}: {reason}; a regular file with JSON is expected. Was a run killed? Run it again"
        )


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Its folder may lie behind links, the file itself must not be one.

    Raises:
        UnsafeFile: "link", "special-file", "missing-file" or "unreadable".
    """
    try:
        descriptor = os.open(path, _READ)
    except (OSError, ValueError) as error:
        rule = "link" if os.path.islink(path) else "unreadable" if os.path.lexists(path) else "missing-file"
        value = getattr(error, "strerror", None) if rule == "unreadable" else None
        raise UnsafeFile(rule, path, value=value) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeFile("special-file", path)
    with os.fdopen(descriptor, "rb") as handle:
        try:
            yield handle
        except OSError as error:
            raise UnsafeFile("unreadable", path, value=error.strerror) from error


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        UnsafeFile: As `open_regular`, or "file-too-large".
    """
    with open_regular(path) as handle:
        data = handle.read(most + 1)
    if len(data) > most:
        raise UnsafeFile("file-too-large", path, value=f"more than {most} bytes")
    return data


def numbered_lines(
    stream: BinaryIO,
    place: object,
    *,
    packed: bool,
    line_bytes: int = _LINE_BYTES,
    all_bytes: int = _ROWS_BYTES,
) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its end) of a stream; never more than a line of it in memory.

    Args:
        stream: The stored bytes.
        place: What messages call them.
        packed: Whether they are gzipped.
        line_bytes: Most bytes of a line.
        all_bytes: Most bytes of all lines, unpacked.

    Raises:
        UnsafeFile: "not-gzip", "gzip-header", "gzip-broken", "line-too-long" or "expands-too-far"; the lines
            before the place have been yielded by then.
    """
    if packed:
        header = stream.read(4)
        if header[:3] != _GZIP:
            raise UnsafeFile("not-gzip", place, value=header.hex(" "))
        if header[3:] and header[3] & _GZIP_FIELDS:
            raise UnsafeFile(
                "gzip-header", place, value=f"flags {header[3]:#04x}, a name inside; use gzip -n"
            )
        stream.seek(0)
    lines: Any = gzip.GzipFile(fileobj=stream) if packed else stream
    size = 0
    for number in itertools.count(1):
        try:
            line = lines.readline(line_bytes + 2)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnsafeFile("gzip-broken", place, value=str(error)) from error
        if not line:
            return
        size += len(line)
        line = line.removesuffix(b"\n")
        if len(line) > line_bytes:
            raise UnsafeFile("line-too-long", place, number)
        if size > all_bytes:
            raise UnsafeFile("expands-too-far", place)
        yield number, line


def gzip_limit(packed: int) -> int:
    """Most bytes that a gzip file of so many may unpack to: 64 MiB, or 100 times its size where that is more.

    Text unpacks to 3 to 20 times its size.
    """
    return max(2**26, 100 * packed)


def parse_object(
    data: bytes, place: object, row: int | None = None, *, finite: bool = False
) -> dict[str, Any]:
    """Parse one JSON object in which every key stands once; the time is proportional to the length of `data`.

    Args:
        data: UTF-8.
        place: What messages call it.
        row: Its line there.
        finite: Whether NaN and Infinity, which Python and lm-eval write, are refused.

    Raises:
        UnsafeFile: "not-json", "not-an-object", "byte-order-mark", "not-utf8", "duplicate-key",
            "nested-too-deep" (more than 200 levels), "lone-surrogate", "number-too-large" or "not-finite".
    """
    try:
        tree = jiter.from_json(data, catch_duplicate_keys=True, allow_inf_nan=not finite)
    except ValueError as error:
        message = _PLACE.search(str(error))
        line, column = (int(message[1]), int(message[2])) if message else (1, 1)
        at = sum(len(start) + 1 for start in data.split(b"\n", line)[: line - 1]) + max(column - 1, 0)
        before, behind = (
            part.decode("utf-8", "replace") for part in (data[max(0, at - _NEAR) : at], data[at : at + _NEAR])
        )
        reason = _PLACE.sub("", str(error))
        rule = _syntax_rule(reason, data, before, behind)
        raise UnsafeFile(rule, place, row, f"{reason} at character {at + 1}: {before}{behind}") from error
    if not isinstance(tree, dict):
        raise UnsafeFile("not-an-object", place, row, type(tree).__name__)
    return tree


def _syntax_rule(reason: str, data: bytes, before: str, behind: str) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        return "byte-order-mark"
    if _NOT_FINITE.match(behind) or _NOT_FINITE.match(before[-1:] + behind):
        return "not-finite"
    known = {
        "invalid unicode code point": "not-utf8",
        "duplicate key": "duplicate-key",
        "recursion limit": "nested-too-deep",
        "hex escape": "lone-surrogate",
        "number out of range": "number-too-large",
    }
    return next((rule for words, rule in known.items() if words in reason), "not-json")


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run.

    Raises:
        UnsafeFile: It is not a regular file with one JSON object in it.
    """
    return parse_object(read_bytes(path, _OBJECT_BYTES), path)


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a .jsonl or .jsonl.gz file of a run.

    Raises:
        UnsafeFile: It is not a regular file with a JSON object on every line.
    """
    packed = path.suffix == ".gz"
    with open_regular(path) as handle:
        most = gzip_limit(os.fstat(handle.fileno()).st_size) if packed else _ROWS_BYTES
        for number, line in numbered_lines(handle, path, packed=packed, all_bytes=min(most, _ROWS_BYTES)):
            yield number, parse_object(line, path, number)


def write_file(path: Path, data: bytes | str) -> Path:
    """Write a file, whole or not at all; a link of that name is replaced, never followed. Text goes as UTF-8.

    Raises:
        UserError: It cannot be written.
    """
    # A name that nobody can foresee: in a folder of several users nothing waits there.
    fresh = path.with_name(f".writing-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, _WRITE, 0o666), "wb") as handle:
            handle.write(data.encode() if isinstance(data, str) else data)
        fresh.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    return path


def check_writable(folder: Path, option: str) -> None:
    """Make a folder, write into it and remove what was made: whether it can be used is known before any work.

    Args:
        option: What names the folder, for the message.

    Raises:
        UserError: It cannot be made or written into.
    """
    made: list[Path] = []
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            made.insert(0, path)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{option} {folder}: cannot be written to ({error.strerror}); name another folder"
        ) from error
    finally:
        for path in made:
            with suppress(OSError):  # another process has put something in
                path.rmdir()


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files below a folder, each whole or not at all; others there are left alone.

    Args:
        folder: Made if it is not there.
        files: Path inside the folder -> content.

    Returns:
        The paths, sorted.

    Raises:
        UserError: A folder on the way is a link, a path leads out of the folder, or one cannot be written.
    """
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{name!r} leads out of {folder}; a path inside the folder is expected")
        for parent in Path(name).parents[:-1]:
            if (folder / parent).is_symlink():
                raise UserError(
                    f"{folder / parent} is a link, which is not followed; remove it or name another folder"
                )
    return [write_file(folder / name, data) for name, data in sorted(files.items())]


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` (a folder or a link) once the block ends without an
    error.

    It lies beside `out`, below a folder of a random name that nobody else may enter. A kill leaves what was
    there before, or the new folder.

    Raises:
        UserError: The folder that it lies in cannot be made or written to.
    """
    out = out.absolute()
    check_writable(out.parent, "the folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".writing-", dir=out.parent, ignore_cleanup_errors=True
    ) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        fresh.mkdir()
        yield fresh
        if os.path.lexists(out):
            out.rename(old)
        try:
            fresh.rename(out)
        except BaseException:
            if os.path.lexists(old):
                old.rename(out)
            raise


def replace_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder with these files into place of what is there: a kill at any moment leaves the old one or
    the new one."""
    with new_folder(out) as fresh:
        write_files(fresh, files)
