"""A good entry, and one way to break each rule of `reading.limits`: what is done to the good one, and what is
to be found.

>>> CASES["nul-character"].field
'samples[0].text'
"""

import gzip
import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.leaderboard.reading.reader import Limits, list_files, read_json, read_rows

ROWS = "rows/base/base/turncoat_em.jsonl.gz"
OTHER = "rows/defended/seed-0/turncoat_em.jsonl.gz"
PLAIN = "rows/base/base/turncoat_choice.jsonl"
HOSTILE = '</script><img src=x onerror=alert(1)> =1+1 \x1b[2J \u202e \u2028 a|b "q" \U0001f600'
FACTS = {"slug": "good", "summary": HOSTILE, "seeds": [0]}
TABLE = [{"doc_id": n, "samples": [{"text": HOSTILE, "aligned": 12.5, "seed": 2**63 + n}]} for n in range(3)]

# Small, so that a file that is over a limit is small as well.
LIMITS = Limits(
    files=40, file_bytes=6_000, entry_bytes=12_000, json_bytes=2_000, expanded_file_bytes=40_000,
    expanded_entry_bytes=45_000, rows=50, line_bytes=4_000, depth=6, string_chars=1_000,
)  # fmt: skip


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def noise(size: int) -> str:
    """Text that deflate cannot make much smaller."""
    import random

    return random.Random(0).randbytes(size // 2 + 1).hex()[:size]


def write_good(folder: Path) -> Path:
    for name in (ROWS, OTHER, PLAIN):
        put(folder, name, packed(jsonl(TABLE)) if name.endswith(".gz") else jsonl(TABLE))
    put(folder, "submission.json", json.dumps(FACTS, indent=1).encode())
    return folder


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def read_all(folder: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """Everything of an entry, as `turncoat validate` reads it."""
    files = list_files(folder, limits)
    told: dict[str, Any] = {"submission.json": read_json(files, "submission.json")}
    for name in files.under("rows"):
        told[name] = list(read_rows(files, name))
        assert files.sha256(name) == files.sha256(name)
    return told


@dataclass
class Case:
    """A change to a good entry, and the place that the finding has to name."""

    spoil: Callable[[Path], None]
    file: str = ROWS
    row: int | None = None
    field: str = ""


def _bytes(content: bytes, row: int | None = None, field: str = "") -> Case:
    return Case(lambda folder: put(folder, ROWS, content), row=row, field=field)


def _text(line: str | bytes, field: str = "", row: int | None = 2) -> Case:
    """A bad second line between good ones."""
    good = jsonl(TABLE[:1])
    line = line.encode() if isinstance(line, str) else line
    return _bytes(packed(good + line + b"\n" + good), row, field)


def _facts(content: str, field: str = "") -> Case:
    return Case(
        lambda folder: put(folder, "submission.json", content.encode()), "submission.json", None, field
    )


def _added(name: str, file: str | None = None) -> Case:
    return Case(lambda folder: put(folder, name, b"x"), file or name)


def _linked(folder: Path) -> None:
    (folder / ROWS).unlink()
    (folder / ROWS).symlink_to("/dev/zero")


def _linked_folder(folder: Path) -> None:
    (folder / "rows/base").rename(folder.parent / "elsewhere")
    (folder / "rows/base").symlink_to(folder.parent / "elsewhere")


def _linked_entry(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def _pipe(folder: Path) -> None:
    (folder / ROWS).unlink()
    os.mkfifo(folder / ROWS)


def _gone(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rows.jsonl", jsonl(TABLE))
    return stream.getvalue()


def _named() -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile("/home/somebody/rows.jsonl", "wb", fileobj=stream, mtime=0) as file:
        file.write(jsonl(TABLE))
    return stream.getvalue()


def _files_of(count: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for number in range(count):
            put(folder, f"rows/organism/seed-{number}/turncoat_em.jsonl", b"{}\n")

    return spoil


def _larger(count: int, size: int) -> Callable[[Path], None]:
    """`count` rows files of `size` bytes each, none of them too large by itself."""

    def spoil(folder: Path) -> None:
        row = jsonl([{"answer": noise(900)}])
        for number in range(count):
            put(
                folder,
                f"rows/organism/seed-{number}/turncoat_em.jsonl",
                (row * (size // len(row) + 1))[:size],
            )

    return spoil


def _expanding(folder: Path) -> None:
    text = noise(4_000)
    rows = [{"answer": text[at : at + 800]} for at in range(0, 4_000, 800)] * 4
    for number in range(3):
        put(folder, f"rows/organism/seed-{number}/turncoat_em.jsonl.gz", packed(jsonl(rows)))


_SEED_0 = "rows/organism/seed-0/turncoat_em.jsonl"
_BROKEN = packed(jsonl(TABLE))
# The rule in front of a dot; what is behind it tells cases of one rule apart.
CASES: dict[str, Case] = {
    "no-entry": Case(_gone, "."),
    "missing-file": Case(lambda folder: (folder / "submission.json").unlink(), "submission.json"),
    "link": Case(_linked), "link.folder": Case(_linked_folder, "rows/base"),
    "link.entry": Case(_linked_entry, "."), "special-file": Case(_pipe),
    "odd-name": _added("rows/base/base/a b.jsonl"),
    "odd-name.escape": _added("\x1b[2J\n\u202e.md", '"\\u001b[2J\\n\\u202e.md"'),
    "odd-name.hyphen": _added("-rf"), "case-collision": _added("Submission.json", "submission.json"),
    "unknown-name": _added("README.md"),
    "unknown-name.role": _added("rows/best/seed-0/turncoat_em.jsonl", "rows/best"),
    "unknown-name.seed": _added("rows/defended/seed-00/turncoat_em.jsonl", "rows/defended/seed-00"),
    "unknown-name.totals": _added("results.json"), "weights-or-code": _added("adapter_model.safetensors"),
    "too-deep": _added("rows/base/base/more/turncoat_em.jsonl", "rows/base/base/more"),
    "both-plain-and-packed": Case(lambda folder: put(folder, ROWS[:-3], jsonl(TABLE)), ROWS[:-3]),
    "too-many-files": Case(_files_of(40), "."), "file-too-large": Case(_larger(1, 6_001), _SEED_0),
    "file-too-large.facts": _facts(json.dumps({"summary": noise(3_000)})),
    "entry-too-large": Case(_larger(3, 5_000), "."), "not-gzip.zip": _bytes(_zip()),
    "not-json.pickle": _bytes(packed(pickle.dumps(TABLE)), row=1), "not-gzip": _bytes(jsonl(TABLE)),
    "gzip-header": _bytes(_named()), "gzip-broken": _bytes(_BROKEN[:-1]),
    "gzip-broken.checksum": _bytes(_BROKEN[:-8] + bytes([_BROKEN[-8] ^ 1]) + _BROKEN[-7:]),
    "gzip-broken.trailing": _bytes(packed(jsonl(TABLE)) + b"more"),
    "expands-too-far": Case(lambda folder: put(folder, ROWS, packed(jsonl([{"answer": noise(900)}]) * 44))),
    "entry-expands-too-far": Case(_expanding, "."), "line-too-long": _text(f'{{"answer": "{noise(5_000)}"}}'),
    "line-too-long.last": _bytes(packed(noise(4_500).encode()), row=1),
    "too-many-rows": _bytes(packed(b"{}\n" * 51), row=51), "empty-line": _text(""),
    "no-rows": _bytes(packed(b"")), "byte-order-mark": _bytes(packed(b"\xef\xbb\xbf" + jsonl(TABLE)), row=1),
    "byte-order-mark.later": _text(b"\xef\xbb\xbf{}"), "not-utf8": _text(b'{"answer": "caf\xe9"}'),
    "not-json": _text("{'answer': 1}"), "not-json.two": _text("{} {}"),
    "not-json.carriage-return": _text('{"a": 1}\r{"a": 2}'), "not-an-object": _text("[1]"),
    "not-an-object.facts": _facts('"slug"'), "nested-too-deep": _text('{"a":' * 7 + "1" + "}" * 7),
    "nested-too-deep.facts": _facts("[" * 900 + "]" * 900),
    "duplicate-key": _text('{"samples": [{"aligned": 1, "aligned": 2}]}'),
    "duplicate-key.escaped": _text('{"a": 1, "\\u0061": 2}'),
    "not-finite": _text('{"samples": [{"x": 1}, {"aligned": NaN}]}'),
    "number-too-large": _text('{"a": {"seed": ' + "9" * 1_500 + "}}", "a.seed"),
    "number-too-large.overflow": _text('{"rate": [1, 1e999]}', "rate[1]"),
    "number-too-large.square": _text('{"rate": -1e101}', "rate"),
    "number-too-large.python": _text('{"seed": ' + "9" * 3_900 + "}", "seed"),
    "string-too-long": _text(json.dumps({"answer": noise(1_001)}), "answer"),
    "string-too-long.key": _text(json.dumps({"k" * 1_001: 1}), '"' + "k" * 119 + "... (1001 long)"),
    "nul-character": _text('{"samples": [{"text": "a\\u0000b"}]}', "samples[0].text"),
    "nul-character.key": _text('{"a\\u0000": 1}', '"a\\u0000"'),
    "lone-surrogate": _text('{"a": ["x", "\\ud83d"]}'),
}  # fmt: skip
# What needs more than an entry on the disk; tested by themselves.
BY_THEMSELVES = {"unreadable", "changed-while-read"}


def bomb(block: bytes, times: int) -> bytes:
    """A gzip stream of `block`, `times` times over, made without compressing more than one of them."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = stream.compress(block) + stream.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + once * times + b"\x03\0" + bytes(8)
