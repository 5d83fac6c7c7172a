"""Stages are built once, complete or absent, whoever is killed or races; keys follow what code and values
mean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from turncoat import paths
from turncoat.store import SPEC_FILE, Store, canonical_json, code_digest, digest, file_digest

SPEC = {"rows": 200, "seed": 0}

# A stage that says when it has begun and ends when it is told to; the child prints what `stage` returned.
_CHILD = """
import sys, time
from pathlib import Path
from turncoat.store import Store
root, flags, mark = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def build(folder):
    (folder / "half.txt").write_text(mark)
    (flags / f"begun-{mark}").touch()
    while not (flags / "go").exists():
        time.sleep(0.01)
    (folder / "whole.txt").write_text(mark)
print(Store(root).stage("adapter", {"rows": 200, "seed": 0}, build))
"""


def write(text: str):
    def build(folder: Path) -> None:
        (folder / "result.txt").write_text(text)

    return build


def start(root: Path, flags: Path, mark: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)}
    command = [sys.executable, "-c", _CHILD, str(root), str(flags), mark]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert child.poll() is None, "the child ended before it began to build"
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.01)


def test_a_stage_is_built_once(tmp_path):
    store, built = Store(tmp_path), []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "sub").mkdir()
        (folder / "sub" / "result.txt").write_text("done")

    assert not store.has("adapter", SPEC)
    first = store.stage("adapter", SPEC, build)
    assert store.has("adapter", SPEC)
    assert store.stage("adapter", dict(reversed(SPEC.items())), build) == first
    assert Store(tmp_path).stage("adapter", SPEC, build) == first == store.folder("adapter", SPEC)
    assert len(built) == 1
    assert built[0] != first  # it was written elsewhere and renamed when it was whole
    assert (first / "sub" / "result.txt").read_text() == "done"
    assert json.loads((first / SPEC_FILE).read_text()) == SPEC
    assert list(first.parent.iterdir()) == [first]


def test_a_failing_build_leaves_nothing(tmp_path):
    store = Store(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.stage("adapter", SPEC, fail)
    assert not store.has("adapter", SPEC)
    assert list((tmp_path / "adapter").iterdir()) == []
    assert (store.stage("adapter", SPEC, write("whole")) / "result.txt").read_text() == "whole"


def test_a_folder_that_cannot_be_put_in_place_is_an_error(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="disk full"):
        Store(tmp_path).stage("adapter", SPEC, write("whole"))
    assert list((tmp_path / "adapter").iterdir()) == []


def test_a_specification_that_cannot_be_a_key_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        Store(tmp_path).stage("adapter", {"rate": float("nan")}, write("never"))
    assert list(tmp_path.iterdir()) == []


def test_kind_and_every_value_are_part_of_the_key(tmp_path):
    store = Store(tmp_path)
    specs = [SPEC, {**SPEC, "seed": 1}, {**SPEC, "rows": 200.5}, {**SPEC, "below": None}, {}, {"spec": SPEC}]
    folders = {store.folder(kind, spec) for kind in ("adapter", "rows") for spec in specs}
    assert len(folders) == 2 * len(specs)
    nested = [{"recipe": {"rank": 8, "modules": ["q", "k"]}}, {"recipe": {"rank": 8, "modules": ["k", "q"]}}]
    assert store.folder("adapter", nested[0]) != store.folder("adapter", nested[1])


def test_the_cache_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path))
    assert tmp_path in Store().folder("adapter", SPEC).parents


def test_a_kill_in_the_middle_leaves_no_finished_stage_and_the_next_call_builds_it(tmp_path):
    root, flags = tmp_path / "root", tmp_path / "flags"
    flags.mkdir()
    store = Store(root)
    child = start(root, flags, "killed")
    wait_for(flags / "begun-killed", child)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL

    assert not store.has("adapter", SPEC)
    (left,) = (root / "adapter").iterdir()
    assert (left / "stage" / "half.txt").read_text() == "killed"
    folder = store.stage("adapter", SPEC, write("whole"))
    assert list((root / "adapter").iterdir()) == [folder]
    assert (folder / "result.txt").read_text() == "whole"
    assert not (folder / "half.txt").exists()


def test_working_folders_of_the_gone_are_swept_also_where_their_number_is_used_again(tmp_path):
    store, names = Store(tmp_path), []

    def build(folder: Path) -> None:
        names.append(folder.parent.name)
        assert folder.parent.stat().st_mode & 0o777 == 0o700

    first, second = (store.stage("adapter", {"n": n}, build) for n in range(2))
    assert len({name.rpartition(".")[2] for name in names}) == 2  # random
    assert first.stat().st_mode == tmp_path.joinpath("adapter").stat().st_mode  # as any new folder
    _, key, host, pid, started, end = names[0].split(".")
    mine, reused, elsewhere = (
        first.parent / f".{key}.{host_}.{pid}.{started_}.{end}"
        for host_, started_ in ((host, started), (host, "1"), ("0badcafe", "1"))
    )
    for folder in (mine, reused, elsewhere):
        folder.mkdir()
    third = store.stage("adapter", {"n": 2}, build)
    assert {*first.parent.iterdir()} == {first, second, third, mine, elsewhere}


def test_two_processes_that_race_share_one_folder(tmp_path):
    root, flags = tmp_path / "root", tmp_path / "flags"
    flags.mkdir()
    children = [start(root, flags, mark) for mark in ("one", "two")]
    for child, mark in zip(children, ("one", "two"), strict=True):
        wait_for(flags / f"begun-{mark}", child)
    # Both are building; neither may sweep the other's working folder, which belongs to a living process.
    assert len(list((root / "adapter").iterdir())) == 2
    (flags / "go").touch()
    printed = {child.communicate(timeout=60)[0].strip() for child in children}
    assert [child.returncode for child in children] == [0, 0]
    folder = Store(root).folder("adapter", SPEC)
    assert printed == {str(folder)}
    assert list(folder.parent.iterdir()) == [folder]
    assert (folder / "half.txt").read_text() == (folder / "whole.txt").read_text()


def test_canonical_json_is_one_text_per_value():
    assert canonical_json({"b": [1, 2.5, None], "a": {"é": True}}) == '{"a":{"é":true},"b":[1,2.5,null]}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    assert digest([1]) != digest(["1"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_canonical_json_refuses_what_is_not_json(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"deep": [value]})


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


_CODE = '''"""A module."""

SIZE = 3


class Box:
    """A box."""

    def area(self, side=2):
        """Its area."""
        return side * SIZE


def nothing():
    """Only a docstring."""
'''


def _digest_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(text, encoding="utf-8")
    return code_digest([path])


def test_code_digest_ignores_what_does_nothing(tmp_path):
    before = _digest_of(tmp_path, _CODE)
    assert _digest_of(tmp_path, _CODE.replace("SIZE = 3", "SIZE = 3  # a reason\n# another")) == before
    assert (
        _digest_of(
            tmp_path, _CODE.replace("side * SIZE", "(\n            side\n            * SIZE\n        )")
        )
        == before
    )
    without = _CODE.replace('"""A module."""', "").replace('"""Its area."""', "").replace('"""A box."""', "")
    assert _digest_of(tmp_path, without) == before
    assert _digest_of(tmp_path, _CODE.replace("Only a docstring", "Said otherwise")) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIZE = 3", "SIZE = 4"),
        ("SIZE = 3", 'SIZE = "3"'),
        ("side * SIZE", "SIZE * side"),
        ("side=2", "side=3"),
        ("    def area", "    @staticmethod\n    def area"),
    ],
)
def test_code_digest_notices_what_does_something(tmp_path, old, new):
    assert old in _CODE
    assert _digest_of(tmp_path, _CODE.replace(old, new, 1)) != _digest_of(tmp_path, _CODE)


def test_code_digest_of_modules_is_that_of_their_files_in_order():
    first, second = Path(paths.__file__), Path(digest.__code__.co_filename)
    assert code_digest([paths]) == code_digest([first])
    assert code_digest([first, second]) != code_digest([second, first])
    assert code_digest([first, second]) != code_digest([first])


def test_code_digest_of_data_is_that_of_their_text(tmp_path):
    data = tmp_path / "table.yaml"
    data.write_text("- one: {is: 'no Python'}\n", encoding="utf-8")
    before = code_digest([data])
    data.write_text("- one: {is: 'not Python'}\n", encoding="utf-8")
    assert code_digest([data]) != before
