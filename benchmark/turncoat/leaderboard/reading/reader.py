"""Read an entry's JSON and rows within the limits. All bytes of an entry come in through this module.

Everything else is refused with `EntryRefused`, whose findings say file, row, field, value, what is allowed
and how to fix it. Time and memory stay bounded by `Limits`, no link is followed, nothing is unpickled or run.
What comes out is dicts of finite numbers and Unicode text. The text is not harmless: show it through
`turncoat.shown_text`, `report.render.markdown.escape`, or jinja2's autoescape.
"""

import io
import itertools
import re
from collections.abc import Iterator
from typing import Any

from turncoat.leaderboard.reading.files import EntryFiles, list_files, rows_sha256
from turncoat.leaderboard.reading.findings import EntryRefused, Finding, shown
from turncoat.leaderboard.reading.limits import LIMITS, RULES, Limits, finding, refused
from turncoat.safe_files import UnsafeFile, numbered_lines, parse_object

__all__ = ["LIMITS", "RULES", "EntryFiles", "Limits", "list_files", "read_json", "read_rows", "rows_sha256"]
_NEAR = 20  # characters on both sides of a bad character that are shown
_FIELD_CHARS = 400
_BETWEEN_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^"\[\]{}]+', re.DOTALL)
# A NUL, or a number that may be too large; not the digits of a hash.
_SUSPECT = re.compile(rb"\\u0000|[0-9]{20}|[:,\[]\s*-?[0-9.]+[eE]\+?[0-9]{3}")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,79}")


def read_json(files: EntryFiles, name: str) -> dict[str, Any]:
    """The object in a JSON file of the entry.

    Raises:
        EntryRefused: There is no such file, or it holds anything but one object within the limits.
    """
    if files.size(name) > files.limits.json_bytes:
        raise refused("file-too-large", name, files.limits, value=files.size(name))
    facts, findings = parse_strictly(files.read(name), name, files.limits)
    if findings:
        raise EntryRefused(findings)
    return facts


def read_rows(files: EntryFiles, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a .jsonl or .jsonl.gz file of the entry, one row in memory at a time.

    Only a file that was read to its end is good: after the first bad row no row is yielded any more, the rest
    is read to report what else is wrong there, and then it is refused.

    Raises:
        EntryRefused: There is no such file, or a row breaks a rule.
    """
    limits, findings, expanded = files.limits, list[Finding](), 0
    number = 0
    bounds = {"line_bytes": limits.line_bytes, "all_bytes": limits.expanded_file_bytes}
    try:
        stream = io.BytesIO(files.read(name))
        for number, line in numbered_lines(stream, name, packed=name.endswith(".gz"), **bounds):
            expanded += len(line) + 1
            files.spend(name, expanded)
            if number > limits.rows:
                raise refused("too-many-rows", name, limits, row=number)
            row: dict[str, Any] = {}
            if line.strip(b" \t\r"):
                row, bad = parse_strictly(line, name, limits, number)
                findings += bad
            else:
                findings.append(finding("empty-line", name, limits, row=number))
            if len(findings) >= limits.findings:
                break
            if not findings:
                yield number, row
        if number == 0:
            raise refused("no-rows", name, limits)
    except EntryRefused as error:
        raise EntryRefused(findings + error.findings) from error
    except UnsafeFile as error:
        findings.append(finding(error.rule, name, limits, row=error.row, value=error.value))
    if findings:
        raise EntryRefused(findings)


def parse_strictly(
    data: bytes, file: str, limits: Limits, row: int | None = None
) -> tuple[dict[str, Any], list[Finding]]:
    """Parse one JSON object within the limits: the object and no finding, or {} and at least one."""
    try:
        tree = parse_object(data, file, finite=True)
    except UnsafeFile as error:
        return {}, [finding(error.rule, file, limits, row=row, value=error.value)]
    if (depth := json_depth(data)) > limits.depth:
        return {}, [finding("nested-too-deep", file, limits, row=row, value=depth)]
    # A walk in Python costs more than the parsing; few rows give a reason for it.
    if len(data) <= limits.string_chars and not _SUSPECT.search(data):
        return tree, []
    violations = itertools.islice(_violations(tree, "", limits), limits.findings)
    findings = [finding(rule, file, limits, row=row, field=at, value=bad) for rule, at, bad in violations]
    return ({} if findings else tree), findings


def json_depth(data: bytes) -> int:
    """Most objects and lists that are open at once in valid JSON."""
    brackets = _BETWEEN_BRACKETS.sub(b"", data)
    return max(itertools.accumulate(1 if byte in b"[{" else -1 for byte in brackets), default=0)


def _violations(node: Any, field: str, limits: Limits) -> Iterator[tuple[str, str, Any]]:
    """(rule, field, value) of everything in a parsed tree that is over a limit."""
    if isinstance(node, dict):
        for key, value in node.items():
            name = key if _PLAIN_KEY.fullmatch(key) else shown(key)
            inner = f"{field}.{name}"[-_FIELD_CHARS:].removeprefix(".") if field else name
            yield from _violations(key, inner, limits)
            yield from _violations(value, inner, limits)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _violations(value, f"{field}[{index}]", limits)
    elif isinstance(node, str):
        if len(node) > limits.string_chars:
            yield "string-too-long", field, node
        if (at := node.find("\x00")) >= 0:
            yield "nul-character", field, node[max(0, at - _NEAR) : at + _NEAR]
    elif (isinstance(node, float) and abs(node) > limits.number_size) or (
        isinstance(node, int) and abs(node) >= 10**limits.integer_digits
    ):
        yield "number-too-large", field, node
