"""Random bytes, names and objects: what is accepted is exactly what was written, the rest is refused and
nothing crashes."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given, settings, strategies as st
from leaderboard.untrusted_entries import LIMITS, PLAIN, ROWS, TABLE, jsonl, packed, put, read_all, write_good
from turncoat.leaderboard.reading.findings import EntryRefused
from turncoat.leaderboard.reading.reader import json_depth, list_files, read_rows

quick = settings(max_examples=60)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(10**18), 10**18) | st.floats(-1e100, 1e100)
objects = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
rows = st.lists(st.dictionaries(texts, objects, max_size=3), min_size=1, max_size=4)
# Pieces that JSON and gzip are made of, so that not every example fails at its first byte.
pieces = st.sampled_from(
    [
        b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b":", b",", b"1", b"-", b"e9", b"NaN",
        b"\n", b"a", b" ",
    ]
)  # fmt: skip
contents = st.binary(max_size=60) | st.lists(pieces, max_size=25).map(b"".join)


def _read(content: bytes, name: str = ROWS) -> list[dict[str, Any]] | None:
    """The rows of a file of these bytes, None where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), name, content)
        try:
            return [row for _, row in read_rows(list_files(Path(folder), LIMITS), name)]
        except EntryRefused as error:
            told = str(error)
    assert told and all(line.isprintable() for line in told.split("\n"))
    return None


def _nested(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_nested, inner), default=0)


@quick
@given(rows, st.booleans())
def test_rows_within_the_limits_come_in_as_they_were_written(
    written: list[dict[str, Any]], ascii_only: bool
) -> None:
    content = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in written).encode()
    fits = max(map(_nested, written)) <= LIMITS.depth
    assert _read(packed(content)) == _read(content, PLAIN) == (written if fits else None)


@quick
@given(contents, st.booleans())
@example(b'{"a": 1}', True)
@example(b'{"a": 1, "a": 2}', True)
@example(b'{"a": "\\ud800"}', True)
def test_any_bytes_are_either_refused_or_what_json_reads_there(content: bytes, inside: bool) -> None:
    told = _read(packed(content) if inside else content, ROWS)
    if told is not None:
        lines = content.removesuffix(b"\n").split(b"\n")
        assert told == [json.loads(line) for line in lines]
        # what was let in can be written again: finite numbers, Unicode
        json.dumps(told, allow_nan=False, ensure_ascii=False).encode("utf-8")


@settings(max_examples=150)
@given(st.data())
def test_no_changed_byte_of_a_packed_file_changes_what_is_read(data: st.DataObject) -> None:
    good = packed(jsonl(TABLE))
    at = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(at, min(len(good), at + 3)))
    spoilt = good[:at] + data.draw(st.binary(max_size=3)) + good[end:]
    assert _read(spoilt) in (None, TABLE)


@quick
@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name and b"/" not in name))
@example(b"submission.json ")
@example(b"\xff\xfe")
@example(b"rows")
def test_any_name_is_refused_or_in_the_layout(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        entry = write_good(Path(folder) / "entry")
        try:
            os.mkdir(os.path.join(os.fsencode(entry), name))
        except OSError:
            return  # . and .., or a name that is taken
        with pytest.raises(EntryRefused) as refusal:
            read_all(entry)
        assert all(line.isprintable() for line in str(refusal.value).split("\n"))


@quick
@given(objects | rows)
@example(["ends in a backslash\\", '[[[ "quoted" \\" {{{'])
@example({"\\\\": ["]", {'"': []}]})
def test_the_depth_is_what_recursion_would_say(value: Any) -> None:
    for ascii_only in (True, False):
        assert json_depth(json.dumps(value, ensure_ascii=ascii_only).encode()) == _nested(value)
