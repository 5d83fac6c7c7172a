"""The lines of a rows file from its stored bytes: unpacked piece by piece, refused as soon as a limit is passed.

for number, line in numbered_lines(files, "rows/base/base/turncoat_em.jsonl.gz"):
    ...                                            # bytes without the line end; the last line end may be missing
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from turncoat.leaderboard.reading.files import EntryFiles
from turncoat.leaderboard.reading.limits import refused

_PIECE = 64 * 2**10  # bytes, both packed and unpacked, that are looked at in one go
_HEADER = b"\x1f\x8b\x08"  # gzip, deflate
_TEXT_FLAG = 1  # the one flag of a gzip header that announces no further field
_TAR_MARK = 257  # where a tar header says "ustar"
_BOM = b"\xef\xbb\xbf"
_MAGIC = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b": "a gzip stream",
    b"BZh": "a bzip2 stream",
    b"\xfd7zXZ": "an xz stream",
    b"\x28\xb5\x2f\xfd": "a zstd stream",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"#!": "a script",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "GGUF weights",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
}


def numbered_lines(files: EntryFiles, name: str) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line) of a .jsonl or .jsonl.gz file.

    Raises:
        EntryRefused: The bytes break a rule; lines before the place have been yielded by then.
    """
    limits = files.limits
    data = files.read(name)
    if not name.endswith(".gz"):
        files.spend(name, len(data))
    number, pending = 0, b""
    for index, piece in enumerate(_unpacked(files, name, data) if name.endswith(".gz") else _pieces(data)):
        if index == 0:
            _look_at_start(files, name, piece)
        head, *rest = piece.split(b"\n")
        pending += head
        for following in rest:
            number += 1
            _check_line(files, name, number, pending)
            yield number, pending
            pending = following
        if len(pending) > limits.line_bytes:
            raise refused("line-too-long", name, limits, row=number + 1)
    if pending:
        number += 1
        _check_line(files, name, number, pending)
        yield number, pending
    if number == 0:
        raise refused("no-rows", name, limits)


def _check_line(files: EntryFiles, name: str, number: int, line: bytes) -> None:
    if number > files.limits.rows:
        raise refused("too-many-rows", name, files.limits, row=number)
    if len(line) > files.limits.line_bytes:
        raise refused("line-too-long", name, files.limits, row=number, value=len(line))


def _look_at_start(files: EntryFiles, name: str, start: bytes) -> None:
    kind = _disguise(start)
    if kind is not None:
        raise refused("disguised-file", name, files.limits, value=kind)
    if start.startswith(_BOM):
        raise refused("byte-order-mark", name, files.limits, row=1)


def _disguise(start: bytes) -> str | None:
    """What a file is that holds no rows, by its first bytes; None where they give nothing away."""
    if start[_TAR_MARK : _TAR_MARK + 5] == b"ustar":
        return "a tar archive"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def _pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]


def _unpacked(files: EntryFiles, name: str, data: bytes) -> Iterator[bytes]:
    """One gzip stream in pieces of at most `_PIECE` bytes; never more of it in memory."""
    limits = files.limits
    if not data.startswith(_HEADER):
        kind = _disguise(data[: _TAR_MARK + 5])
        disguised = kind is not None and not data.startswith(_HEADER[:2])
        raise refused("disguised-file" if disguised else "not-gzip", name, limits, value=kind or data[:8].hex(" "))
    # A header's optional fields hold whatever one likes, a file's name on the submitter's machine to begin with.
    if len(data) > 3 and data[3] & ~_TEXT_FLAG:
        raise refused("gzip-header", name, limits, value=f"flags {data[3]:#04x}")
    stream = zlib.decompressobj(wbits=31)
    expanded = fed = 0
    try:
        for packed in _pieces(data):
            fed += len(packed)
            while True:
                piece = stream.decompress(packed, _PIECE)
                expanded += len(piece)
                files.spend(name, expanded)
                packed = stream.unconsumed_tail
                if expanded > limits.ratio_from_bytes and expanded > limits.ratio * (fed - len(packed)):
                    raise refused("ratio-too-high", name, limits, value=f"{expanded} bytes from {fed - len(packed)}")
                if piece:
                    yield piece
                if stream.eof or not packed:
                    break
            if stream.eof:
                break
    except zlib.error as error:
        raise refused("gzip-broken", name, limits, value=str(error)) from error
    if not stream.eof:
        raise refused("gzip-broken", name, limits, value="cut off")
    behind = len(stream.unused_data) + len(data) - fed
    if behind:
        raise refused("gzip-trailing", name, limits, value=f"{behind} bytes behind the stream")
