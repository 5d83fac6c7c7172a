"""Every rule by which an entry's bytes are refused, and what is let through unchanged."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from leaderboard.untrusted_entries import (
    BY_THEMSELVES,
    CASES,
    FACTS,
    LIMITS,
    OTHER,
    PLAIN,
    ROWS,
    TABLE,
    jsonl,
    packed,
    put,
    read_all,
    write_good,
)
from turncoat.leaderboard.reading.findings import EntryRefused
from turncoat.leaderboard.reading.reader import RULES, Limits, list_files, read_json, read_rows, rows_sha256


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    return write_good(tmp_path / "entry")


def rules_of(error: EntryRefused) -> list[str]:
    return [finding.rule for finding in error.findings]


@pytest.mark.parametrize("content", [jsonl(TABLE)[:-1], jsonl(TABLE).replace(b"\n", b"\r\n")])
def test_line_ends_are_nobodys_fault(entry: Path, content: bytes) -> None:
    put(entry, ROWS, packed(content))
    assert [row for _, row in read_all(entry)[ROWS]] == TABLE


def test_no_byte_is_lost_where_the_pieces_that_are_looked_at_end(entry: Path) -> None:
    for size in [*range(2**16 - 12, 2**16 + 3), 3 * 2**16]:
        row = {"answer": "x" * (size - len('{"answer": ""}'))}
        content = jsonl([row])[:-1]
        put(entry, ROWS, packed(content))
        put(entry, PLAIN, content)
        told = read_all(entry, Limits(string_chars=2**20))
        assert len(content) == size and told[ROWS] == told[PLAIN] == [(1, row)]


def test_a_good_entry_comes_in_as_it_is_hostile_text_and_all(entry: Path) -> None:
    assert {name.partition(".")[0] for name in CASES} == set(RULES) - BY_THEMSELVES
    numbered = list(enumerate(TABLE, 1))
    assert read_all(entry) == {"submission.json": FACTS, ROWS: numbered, OTHER: numbered, PLAIN: numbered}
    assert list_files(entry).names == tuple(sorted(["submission.json", ROWS, OTHER, PLAIN]))
    with pytest.raises(EntryRefused) as refusal:
        read_json(list_files(entry, LIMITS), ROWS)
    assert rules_of(refusal.value) == ["not-json"]


@pytest.mark.parametrize("name", CASES)
def test_a_spoilt_entry_is_refused_by_the_rule_that_it_breaks_at_the_place_where_it_does(
    entry: Path, name: str
) -> None:
    case = CASES[name]
    case.spoil(entry)
    with pytest.raises(EntryRefused) as refusal:
        read_all(entry)
    rule = name.partition(".")[0]
    assert set(rules_of(refusal.value)) - {"unknown-name"} <= {rule}
    finding = refusal.value.findings[rules_of(refusal.value).index(rule)]
    assert (finding.file, finding.row, finding.field) == (case.file, case.row, case.field)
    assert finding.allowed and finding.fix and "{" not in finding.allowed.replace("{...}", "")
    assert all(line.isprintable() and line.isascii() for line in str(refusal.value).split("\n"))


def test_bad_rows_and_names_are_told_together_in_order_and_not_without_end(entry: Path) -> None:
    lines = [b'{"n": 0}', b'{"n": NaN}', b'{"n": 2}', b"", b'{"n": 1, "n": 2, "m": [NaN]}']
    put(entry, ROWS, packed(b"\n".join(lines)))
    reading = read_rows(list_files(entry, LIMITS), ROWS)
    assert next(reading) == (1, {"n": 0})
    with pytest.raises(EntryRefused) as refusal:
        next(reading)
    assert [(f.rule, f.row, f.field) for f in refusal.value.findings] == [
        ("not-finite", 2, ""),
        ("empty-line", 4, ""),
        ("duplicate-key", 5, ""),
    ]
    put(entry, ROWS, packed(b'{"n": NaN}\n' * 40))
    with pytest.raises(EntryRefused) as refusal:
        list(read_rows(list_files(entry, LIMITS), ROWS))
    assert len(refusal.value.findings) == LIMITS.findings
    for name in ("b.md", "a.pkl", "rows/base/base/model.bin"):
        put(entry, name, b"x")
    with pytest.raises(EntryRefused) as refusal:
        list_files(entry)
    assert [finding.file for finding in refusal.value.findings] == [
        "a.pkl",
        "b.md",
        "rows/base/base/model.bin",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "../entry/submission.json", "/etc/passwd", "rows/../submission.json", "rows", "", "\0",
        "submission.json/",
    ],
)  # fmt: skip
def test_only_what_was_listed_can_be_asked_for(entry: Path, name: str) -> None:
    files = list_files(entry)
    for ask in (files.read, files.sha256, files.size, lambda name: list(read_rows(files, name))):
        with pytest.raises(EntryRefused) as refusal:
            ask(name)
        assert rules_of(refusal.value) == ["missing-file"]


def test_a_file_never_reads_differently_from_its_hash(entry: Path) -> None:
    files = list_files(entry)
    path = entry / PLAIN
    told, content = path.stat(), path.read_bytes()
    assert files.sha256(PLAIN) == hashlib.sha256(content).hexdigest()
    path.write_bytes(content.replace(b"12.5", b"99.5"))
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    with pytest.raises(EntryRefused) as refusal:
        list(read_rows(files, PLAIN))
    assert rules_of(refusal.value) == ["changed-while-read"]


def test_a_failing_disk_is_said_to_be_one(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = list_files(entry)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(EntryRefused) as refusal:
        files.read(ROWS)
    assert rules_of(refusal.value) == ["unreadable"]


def test_the_digest_of_a_role_is_over_its_names_and_bytes_and_nothing_else(entry: Path) -> None:
    def digests() -> tuple[str, str]:
        files = list_files(entry)
        return rows_sha256(files, "rows/base"), rows_sha256(files, "rows/base/")

    first = digests()
    lines = [
        f"{hashlib.sha256((entry / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted([ROWS, PLAIN])
    ]
    assert first == (hashlib.sha256("".join(lines).encode()).hexdigest(),) * 2
    put(entry, OTHER, packed(jsonl(TABLE[:1])))
    assert digests() == first
    (entry / PLAIN).rename(entry / PLAIN.replace("choice", "persona"))
    renamed = digests()
    put(entry, ROWS, packed(jsonl(TABLE[:1])))
    assert len({first, renamed, digests()}) == 3
    with pytest.raises(EntryRefused):
        rows_sha256(list_files(entry), "rows/ba")
