"""The only door by which an entry's bytes come in: `turncoat validate` and the board read entries through it alone.

files = list_files(Path("results/submissions/sgtr"))
facts = read_json(files, "submission.json")
for line, row in read_rows(files, "rows/defended/seed-0/turncoat_em.jsonl.gz"):
    ...

Everything is refused with `EntryRefused`, whose findings say file, row, field, value, what is allowed and how to mend it.
Whatever the bytes are, time and memory stay bounded by `Limits`, no link is followed, nothing is unpickled or run. What
comes out is dicts of finite numbers and Unicode text. The text is not harmless: show it through `for_spreadsheet`,
`for_markdown`, `for_terminal`, or jinja2's autoescape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from turncoat.leaderboard.reading.files import EntryFiles, list_files, rows_sha256
from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.reading.json_object import parse_object
from turncoat.leaderboard.reading.limits import LIMITS, RULES, Limits, found, refused
from turncoat.leaderboard.reading.lines import numbered_lines
from turncoat.leaderboard.reading.text import for_markdown, for_spreadsheet, for_terminal

__all__ = [
    "LIMITS",
    "RULES",
    "EntryFiles",
    "Limits",
    "for_markdown",
    "for_spreadsheet",
    "for_terminal",
    "list_files",
    "read_json",
    "read_rows",
    "rows_sha256",
]


def read_json(files: EntryFiles, name: str) -> dict[str, Any]:
    """The object in a JSON file of the entry.

    Raises:
        EntryRefused: There is no such file, or it holds anything but one object within the limits.
    """
    if files.size(name) > files.limits.json_bytes:
        raise refused("file-too-large", name, files.limits, value=files.size(name))
    facts, findings = parse_object(files.read(name), name, files.limits)
    if findings:
        raise EntryRefused(findings)
    return facts


def read_rows(files: EntryFiles, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a .jsonl or .jsonl.gz file of the entry, one row in memory at a time.

    Only a file that was read to its end is good: after the first bad row no row is yielded any more, the rest is read
    to report what else is wrong there, and then it is refused.

    Raises:
        EntryRefused: There is no such file, or a row breaks a rule.
    """
    findings: list[Finding] = []
    try:
        for number, line in numbered_lines(files, name):
            if line.strip(b" \t\r"):
                row, bad = parse_object(line, name, files.limits, number)
            else:
                row, bad = {}, [found("empty-line", name, files.limits, row=number)]
            findings += bad
            if len(findings) >= files.limits.findings:
                break
            if not findings:
                yield number, row
    except EntryRefused as error:
        raise EntryRefused(findings + error.findings) from error
    if findings:
        raise EntryRefused(findings)
