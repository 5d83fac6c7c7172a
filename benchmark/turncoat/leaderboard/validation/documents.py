"""Validation rules for documents: the track's questions, each once, word for word."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from turncoat.leaderboard.reading.findings import Finding
from turncoat.leaderboard.validation.expected import ExpectedRows, first_of
from turncoat.leaderboard.validation.row_schema import Row
from turncoat.study.pack import without_fetched_texts

Cells = Mapping[tuple[str, str], str]
"""(role, seed folder) -> file name."""


def check_documents(
    expected: ExpectedRows, rows: Sequence[Row], cells: Cells, unread: Iterable[tuple[str, str]] = ()
) -> list[Finding]:
    """Findings about missing, unknown and repeated questions and about altered documents.

    Args:
        unread: Files with lines that could not be read: nothing is called missing there.
    """
    findings: list[Finding] = []
    unread = set(unread)
    for cell, file in cells.items():
        of_cell = [row for row in rows if (row.role, row.seed) == cell]
        findings += _which(expected, of_cell, file, cell in unread)
    reference = _reference(expected, rows)
    for row in rows:
        if row.doc_id < expected.use.questions:
            findings += _same(expected, row, reference[row.doc_id])
    return findings


def majority(values: Iterable[Any]) -> Any:
    """The commonest value, the first of equals; None of nothing."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else None


def _which(expected: ExpectedRows, rows: Sequence[Row], file: str, unread: bool) -> Iterator[Finding]:
    use = expected.use
    seen: dict[int, int] = {}
    for row in rows:
        name = row.content["doc"].get("id")
        if row.doc_id >= use.questions:
            allowed = f"doc_id 0 to {use.questions - 1}: the first {use.questions} questions of {use.task}"
            yield row.finding("unknown-question", "doc_id", row.doc_id, allowed, "remove the row")
        elif row.doc_id in seen:
            text = f"remove one of lines {seen[row.doc_id]} and {row.line}"
            yield row.finding("duplicate", "doc.id", name, "each question once", text)
        seen.setdefault(row.doc_id, row.line)
    missing = [number for number in range(use.questions) if number not in seen]
    if missing and not unread:
        names = [str(expected.docs[n].get("id", n)) if expected.docs else f"doc_id {n}" for n in missing]
        value = f"{len(missing)} of {use.questions} questions are missing: {first_of(names)}"
        allowed = f"the first {use.questions} questions of {use.task}"
        fix = "measure all of them; no question may be left out"
        yield Finding("missing-question", file, None, "doc_id", value, allowed, fix)


def _reference(expected: ExpectedRows, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Per document: `doc`, `doc_hash` and `target_hash` as they have to be; by majority where the data are
    not here."""
    if expected.task is not None:
        return [
            {"doc": doc, "doc_hash": hashes[0], "target_hash": hashes[1]}
            for doc, hashes in zip(expected.docs, expected.hashes, strict=True)
        ]
    reference = []
    for number in range(expected.use.questions):
        those = [row.content for row in rows if row.doc_id == number]
        agreed = majority(str(content["doc"].get("id")) for content in those)
        docs = [content["doc"] for content in those if str(content["doc"].get("id")) == agreed]
        hashes = {key: majority(content[key] for content in those) for key in ("doc_hash", "target_hash")}
        reference.append({"doc": next(iter(docs), {}), **hashes})
    return reference


def _same(expected: ExpectedRows, row: Row, due: Mapping[str, Any]) -> Iterator[Finding]:
    whose = f"the task's ({expected.use.task})" if expected.task is not None else "that of most arms"
    wanted = dict(due["doc"])
    if expected.fetched:
        wanted = without_fetched_texts({"doc": wanted})["doc"]
        if "arguments" in row.content:
            text = "leave it out: texts of published sets are not passed on (`leaderboard submit` does so)"
            yield row.finding("fetched-text", "arguments", row.content["arguments"], "no arguments", text)
    if row.content["filter"] != expected.filter:
        text = "measure with the task's own filters"
        yield row.finding("filter", "filter", row.content["filter"], expected.filter, text)
    doc = row.content["doc"]
    for key in dict.fromkeys([*wanted, *doc]):
        if key not in doc or key not in wanted or not same_json(doc[key], wanted[key]):
            allowed = f"{whose}: {wanted[key]!r:.200}" if key in wanted else "no such field"
            rule = "fetched-text" if expected.fetched and key not in wanted else "document"
            yield row.finding(rule, f"doc.{key}", doc.get(key), allowed, "measure the registered question")
    for key in ("doc_hash", "target_hash"):
        if row.content[key] != due[key]:
            text = "the row is not of this document, or was made with another version of the task"
            yield row.finding(key.replace("_", "-"), key, row.content[key], f"{whose}: {due[key]}", text)


def same_json(one: Any, other: Any) -> bool:
    """Equality of JSON values, in which true is not 1; iterative enough: both are shallow."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)
