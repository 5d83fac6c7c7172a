"""Limits of an entry's files, and the rules by which one is refused, with what is allowed and how to fix it.

finding("line-too-long", "rows/base/base/turncoat_em.jsonl.gz", LIMITS, row=3)     # a Finding with all its
words filled in
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from turncoat.leaderboard.reading.findings import EntryRefused, Finding, shown


@dataclass(frozen=True)
class Limits:
    """Sizes that an entry may have: far above a full track, low enough to check any entry on a laptop.

    A full track of 5 seeds and 5 roles has about 100 files, 40 MB packed and 200 MB unpacked, lines of 40 kB,
    depth 5.

    Attributes:
        files: Names in the entry, folders included.
        name_chars: Characters of one file's or folder's name.
        file_bytes: Bytes of one stored file.
        entry_bytes: Bytes of all stored files together.
        json_bytes: Bytes of submission.json.
        expanded_file_bytes: Bytes of one file once unpacked.
        expanded_entry_bytes: Bytes of all files that are read, once unpacked.
        rows: Lines of one file.
        line_bytes: Bytes of one line, once unpacked.
        depth: Objects and lists inside one another.
        string_chars: Characters of one string or key.
        integer_digits: Digits of a whole number; 64 bits need 20.
        number_size: Largest size of a number; its square and sums of such squares are finite.
        findings: Bad places of one file that are reported before reading stops.
    """

    files: int = 2_000
    name_chars: int = 128
    file_bytes: int = 16 * 2**20
    entry_bytes: int = 128 * 2**20
    json_bytes: int = 256 * 2**10
    expanded_file_bytes: int = 64 * 2**20
    expanded_entry_bytes: int = 512 * 2**20
    rows: int = 20_000
    line_bytes: int = 2**20
    depth: int = 32
    string_chars: int = 100_000
    integer_digits: int = 20
    number_size: float = 1e100
    findings: int = 20


LIMITS = Limits()

_SUBMIT = "make the entry again with `turncoat submit`"
_LAYOUT = "submission.json and rows/<role>/<seed-N or base>/<task>.jsonl.gz; roles base, organism, control, defended, benign"

# rule -> (what is allowed, how to fix it); {words} are fields of Limits
RULES: dict[str, tuple[str, str]] = {
    # the folder and its names
    "no-entry": ("a folder", "name the folder that holds submission.json"),
    "missing-file": ("a file of this entry", f"add the file, or {_SUBMIT}"),
    "link": ("plain files and folders, no symbolic links", "put the file itself there"),
    "special-file": ("plain files and folders; no pipe, device or socket", "delete it"),
    "unreadable": (
        "files that can be read",
        "give yourself the right to read it, and look whether the disk is sound",
    ),
    "odd-name": (
        "names of A-Z a-z 0-9 . _ and -, not starting with a hyphen, at most {name_chars} characters",
        "rename or delete it",
    ),
    "case-collision": ("names that differ in more than case", "keep one of them; many disks hold only one"),
    "unknown-name": (_LAYOUT, "delete it; facts about the method belong into submission.json"),
    "weights-or-code": (
        "only rows are taken: " + _LAYOUT,
        "delete it; say its address and sha256 in submission.json",
    ),
    "too-deep": (_LAYOUT, "delete the folder"),
    "both-plain-and-packed": ("a task's rows once, as .jsonl.gz or as .jsonl", "delete one of the two files"),
    "too-many-files": ("at most {files:,} files and folders", _SUBMIT),
    "file-too-large": ("at most {file_bytes:,} bytes a file, {json_bytes:,} for submission.json", _SUBMIT),
    "entry-too-large": ("at most {entry_bytes:,} bytes in all", _SUBMIT),
    "changed-while-read": ("files that stay as they are", "check again when nothing writes to the entry"),
    # a file's bytes
    "not-gzip": ("a .gz file that is gzip", "pack it with `gzip -n`, or drop .gz from its name"),
    "gzip-header": ("a gzip header without name, comment or extra field", "pack it with `gzip -n`"),
    "gzip-broken": (
        "a whole gzip stream whose checksum is right, and nothing behind it",
        "copy the file again, or " + _SUBMIT,
    ),
    "expands-too-far": ("at most {expanded_file_bytes:,} bytes a file once unpacked", _SUBMIT),
    "entry-expands-too-far": ("at most {expanded_entry_bytes:,} bytes in all once unpacked", _SUBMIT),
    "line-too-long": ("at most {line_bytes:,} bytes a line", "one row a line; " + _SUBMIT),
    "too-many-rows": ("at most {rows:,} rows a file", "a row a question; " + _SUBMIT),
    "empty-line": ("a row on every line", "delete the line"),
    "no-rows": ("at least one row", "delete the file, or " + _SUBMIT),
    # a row's text
    "byte-order-mark": ("UTF-8 without a byte order mark", "save the file as UTF-8 without BOM"),
    "not-utf8": ("UTF-8", "save the file as UTF-8"),
    "not-json": ("one JSON object", "fix the JSON, or " + _SUBMIT),
    "not-an-object": ("a JSON object, {{...}}", _SUBMIT),
    "nested-too-deep": ("at most {depth} objects and lists inside one another", _SUBMIT),
    "duplicate-key": ("every key once", "keep one of the two values"),
    "not-finite": ("finite numbers, or null where there is none", "find out why the value is not a number"),
    "number-too-large": (
        "numbers up to {number_size:g}, whole ones in at most {integer_digits} digits",
        "find out why the value is so large",
    ),
    "string-too-long": ("at most {string_chars:,} characters in a string or key", _SUBMIT),
    "nul-character": ("text without U+0000", "replace it, U+FFFD is usual"),
    "lone-surrogate": ("text that is Unicode: surrogates in pairs only", "replace it, U+FFFD is usual"),
}


def finding(
    rule: str, file: str, limits: Limits, *, row: int | None = None, field: str = "", value: Any = None
) -> Finding:
    """A finding by one of `RULES`.

    Args:
        file: Path inside the entry; made printable here.
        limits: What `allowed` quotes.
        field: Dotted field, printable already (`field_name` makes it so).
        value: The bad value as it came, None where there is none to show.
    """
    allowed, fix = RULES[rule]
    place = (
        file if file.isascii() and file.isprintable() and len(file) <= 4 * limits.name_chars else shown(file)
    )
    return Finding(
        rule, place, row, field, "" if value is None else shown(value), allowed.format(**asdict(limits)), fix
    )


def refused(rule: str, file: str, limits: Limits, **where: Any) -> EntryRefused:
    """An error to raise, with the one finding that `finding` makes of the same arguments."""
    return EntryRefused([finding(rule, file, limits, **where)])
