"""Files of strangers are read as regular files with JSON or not at all; folders are written whole, and
through no link."""

import gzip
import json
import os
from pathlib import Path

import pytest
from turncoat import safe_files
from turncoat.errors import UserError
from turncoat.safe_files import (
    UnsafeFile,
    json_rows,
    new_folder,
    numbered_lines,
    read_bytes,
    read_object,
    replace_folder,
    write_file,
    write_files,
)


def rule(read: object, *arguments: object) -> str:
    with pytest.raises(UnsafeFile) as refusal:
        list(read(*arguments))  # type: ignore[operator]
    return refusal.value.rule


def test_rows_come_in_as_json_reads_them_packed_or_plain(tmp_path: Path) -> None:
    rows = [
        {"doc_id": 0, "value": float("inf"), "x": [1.5e-7, 0.1, 2**70, "\u2028\U0001f600"]},
        {"doc_id": 1},
    ]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))

    assert (
        list(json_rows(tmp_path / "a.jsonl"))
        == list(json_rows(tmp_path / "a.jsonl.gz"))
        == list(enumerate(rows, 1))
    )


@pytest.mark.timeout(10)  # a pipe that is opened in the usual way waits for ever
def test_links_pipes_devices_and_what_is_not_there_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")

    assert read_bytes(tmp_path / "file", 2) == b"{}"
    assert [rule(read_bytes, tmp_path / name, 9) for name in ("link", "dangling")] == ["link"] * 2
    assert [rule(read_bytes, Path(path), 9) for path in (tmp_path / "pipe", "/dev/zero")] == [
        "special-file"
    ] * 2
    assert rule(read_bytes, tmp_path / "nothing", 9) == "missing-file"
    assert rule(read_bytes, tmp_path, 9) == "special-file"
    assert rule(read_bytes, tmp_path / "file", 1) == "file-too-large"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[1]", "not-an-object"),
        (b"{", "not-json"),
        (b'{"a": 1, "a": 2}', "duplicate-key"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "nested-too-deep"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number-too-large"),
        (b"\xff", "not-json"),
        (b'{"a": "\xff"}', "not-utf8"),
        (b'\xef\xbb\xbf{"a": 1}', "byte-order-mark"),
        (b'{"a": "\\ud800"}', "lone-surrogate"),
    ],
)
def test_json_that_is_not_one_plain_object_is_refused_with_the_place(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "run.json").write_bytes(content)
    (tmp_path / "rows.jsonl").write_bytes(b"{}\n" + content)

    assert rule(read_object, tmp_path / "run.json") == expected
    with pytest.raises(UserError, match=r"rows\.jsonl, line 2: "):
        list(json_rows(tmp_path / "rows.jsonl"))


def test_lines_are_bounded_however_far_a_file_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * 10_000))
    bounds = {"packed": True, "line_bytes": 100, "all_bytes": 1_000}
    with path.open("rb") as stream:
        assert rule(lambda: list(numbered_lines(stream, path, **bounds))) == "line-too-long"
    path.write_bytes(gzip.compress(b"x\n" * 10_000))
    with path.open("rb") as stream:
        assert rule(lambda: list(numbered_lines(stream, path, **bounds))) == "expands-too-far"


def test_a_written_file_takes_the_place_of_a_link_and_a_linked_folder_is_refused(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    folder.mkdir()
    (folder / "a").symlink_to(outside / "kept")
    (folder / "inner").symlink_to(outside)

    assert write_files(folder, {"a": b"new", "b/c": b"c"}) == [folder / "a", folder / "b/c"]
    assert (folder / "a").read_bytes() == b"new" and not (folder / "a").is_symlink()
    assert (outside / "kept").read_text() == "kept"
    with pytest.raises(UserError, match="is a link"):
        write_files(folder, {"inner/x": b"x"})
    assert sorted(path.name for path in outside.iterdir()) == ["kept"]
    for name in ("../x", "/tmp/x", "a/../../x"):
        with pytest.raises(UserError, match="leads out of"):
            write_files(folder, {name: b"x"})
    assert not list(folder.rglob(".*")) and sorted(os.listdir(tmp_path)) == ["out", "outside"]


def test_a_new_folder_takes_the_place_of_a_link_and_working_names_cannot_be_foreseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, out, seen = tmp_path / "outside", tmp_path / "out", set()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    out.symlink_to(outside)
    for _ in range(2):
        with new_folder(out) as fresh:
            seen |= {(fresh.parent.name, fresh.parent.stat().st_mode & 0o777)}
            (fresh / "a").write_text("a")
    assert not out.is_symlink() and [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert len(seen) == 2 and {mode for _, mode in seen} == {0o700}
    assert out.stat().st_mode == outside.stat().st_mode, "others may read it as any new folder"

    opened, real = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **kw: opened.append(path) or real(path, *more, **kw))
    for _ in range(2):
        write_file(tmp_path / "one", "x")
    assert len(set(opened)) == 2


def test_a_file_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a", tmp_path / "folder"):
        with pytest.raises(UserError, match="cannot be written: "):
            write_file(path, "x")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize("moment", ["write", "rename"])
@pytest.mark.parametrize("before", [None, {"a": b"1", "rows/b": b"2"}])
def test_a_kill_leaves_the_old_folder_or_none(tmp_path: Path, monkeypatch, moment: str, before) -> None:
    out, calls = tmp_path / "entry", []
    if before:
        replace_folder(out, before)
    place, name = (safe_files, "write_file") if moment == "write" else (Path, "rename")
    real = getattr(place, name)

    def interrupted(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == (2 if moment == "write" or before else 1):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(place, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(out, {"a": b"3", "c": b"4"})
    monkeypatch.undo()
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == (
        before or {}
    )
    assert [path.name for path in tmp_path.iterdir()] == (["entry"] if before else [])

    replace_folder(out, {"a": b"3"})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"a": b"3"}
