"""Finished stages on file systems of fsspec: copied whole, checked, never mixed; hosts share nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from turncoat.errors import UserError
from turncoat.store import TIMING_FILE, Store
from turncoat.store.remote import Remote

SPEC = {"rows": 200, "seed": 0}


def write(text: str):
    def build(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "result.txt").write_text(text)

    return build


def never(folder: Path) -> None:
    raise AssertionError("built though it is there")


def result(folder: Path) -> str:
    return (folder / "sub" / "result.txt").read_text()


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    """A new folder, to which hosts connect one by one."""
    if request.param == "file":
        return f"file://{tmp_path}/bucket"
    return f"memory://{tmp_path.name}/stages"


@pytest.fixture
def host(tmp_path, url):
    return lambda name: Store(tmp_path / name, remote=Remote(url))


def test_a_stage_that_one_host_made_is_on_every_other_byte_for_byte(host):
    made = host("a").stage("adapter", SPEC, write("by a"))
    b = host("b")
    assert not b.folder("adapter", SPEC).exists() and b.has("adapter", SPEC)
    there = b.stage("adapter", SPEC, never)
    names = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    assert names == {path.relative_to(there) for path in there.rglob("*") if path.is_file()}
    assert all((made / name).read_bytes() == (there / name).read_bytes() for name in names)
    assert list(there.parent.iterdir()) == [there], "nothing is left of the copying"
    assert not b.has("adapter", {**SPEC, "seed": 1})


def test_a_copy_cut_short_is_not_read_and_goes_on_with_the_next_use(host, monkeypatch):
    a = host("a")
    monkeypatch.setattr(a.remote._fs, "pipe_file", lambda *_: 1 / 0)
    with pytest.raises(
        UserError, match=r"TURNCOAT_STORE=.* cannot be written .*finished, and kept here.*same com"
    ):
        a.stage("adapter", SPEC, write("by a"))
    monkeypatch.undo()
    assert not host("b").has("adapter", SPEC)
    assert result(host("a").stage("adapter", SPEC, never)) == "by a"
    assert result(host("b").stage("adapter", SPEC, never)) == "by a"


def test_what_two_hosts_made_at_once_does_not_mix_and_what_is_made_again_replaces_it(host):
    a, b, texts = host("a"), host("b"), []

    def build(folder: Path) -> None:
        write("by a")(folder)
        b.stage("adapter", SPEC, write("by b"))

    assert result(a.stage("adapter", SPEC, build)) == "by a"
    assert result(host("c").stage("adapter", SPEC, never)) == "by a"  # whole; the last one counts
    b.stage(
        "adapter", SPEC, write("again"), again=lambda folder: texts.append(result(folder)) or len(texts) < 3
    )
    assert texts[0] == "by b" and result(host("d").stage("adapter", SPEC, never)) == "again"


def test_a_damaged_copy_is_an_error_and_a_hostile_manifest_writes_nothing(host, url, tmp_path):
    made = host("a").stage("adapter", SPEC, write("by a"))
    remote = Remote(url)
    place = f"{remote._root}/adapter/{made.name}"
    pointer = json.loads(remote._fs.cat_file(f"{place}/finished.json"))
    files = f"{place}/{pointer['folder']}"
    remote._fs.pipe_file(f"{files}/{TIMING_FILE}", b"{}")
    with pytest.raises(UserError, match=rf"{made.name} is damaged: {TIMING_FILE} has 2 bytes instead of"):
        host("b").has("adapter", SPEC)
    remote._fs.pipe_file(f"{files}/manifest.json", json.dumps({"files": {"../../out": [2, ""]}}).encode())
    with pytest.raises(UserError, match=r"outside of its folder"):
        host("c").stage("adapter", SPEC, never)
    assert not [*(tmp_path / "c").rglob("out")] and not host("c").folder("adapter", SPEC).exists()


def test_the_variable_is_for_the_users_cache_alone_and_a_wrong_one_says_what_is_accepted(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TURNCOAT_STORE", f"file://{tmp_path}/bucket/")
    assert Store(tmp_path / "other").remote is None
    assert (
        Store().remote.url == Store(tmp_path / "cache" / "stages").remote.url == f"file://{tmp_path}/bucket"
    )
    for wrong in ("nothing://x", "s3 bucket://x"):
        monkeypatch.setenv("TURNCOAT_STORE", wrong)
        with pytest.raises(UserError, match=rf"TURNCOAT_STORE={wrong} cannot be used: .*accepted: .*s3fs"):
            Store()
