"""Stages are built once, complete or absent, whoever is killed, frozen or races, on whichever host."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from turncoat import paths
from turncoat.errors import UserError
from turncoat.store import MANIFEST_FILE, SPEC_FILE, STAGE_FILES, StageBusy, Store
from turncoat.store.lease import Watch, lease_file, take

SPEC = {"rows": 200, "seed": 0}

# A stage that says when it has begun and ends when it is told to; the child prints what `stage` returned.
_CHILD = """
import os, signal, sys, time
from pathlib import Path
from turncoat.store import Store
root, flags, mark, freeze = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
def build(folder):
    (folder / "half.txt").write_text(mark)
    (flags / f"begun-{mark}").touch()
    while not (flags / "go").exists():
        time.sleep(0.01)
    (folder / "whole.txt").write_text(mark)
if freeze:  # stands still at the last moment, with the lease in its hands
    rename = os.rename
    def late(source, target):
        os.rename = rename
        (flags / "frozen").touch()
        os.kill(os.getpid(), signal.SIGSTOP)
        rename(source, target)
    os.rename = late
print(Store(root, lease=1.2, log=lambda line: None).stage("adapter", {"rows": 200, "seed": 0}, build))
"""


def write(text: str):
    def build(folder: Path) -> None:
        (folder / "result.txt").write_text(text)

    return build


def start(root: Path, flags: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)}
    command = [*before, sys.executable, "-c", _CHILD, str(root), str(flags), *arguments]
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
    (half,) = (root / "adapter").glob(".*.work/*/stage/half.txt")
    assert half.read_text() == "killed"
    folder = store.stage("adapter", SPEC, write("whole"))
    assert list((root / "adapter").iterdir()) == [folder]
    assert (folder / "result.txt").read_text() == "whole"
    assert not (folder / "half.txt").exists()


OTHER_HOST = ("unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child")


def elsewhere(lease: Path) -> None:
    """Write a lease as a process of another host would have."""
    first, _, rest = lease.read_bytes().partition(b"\n")
    lease.write_bytes(json.dumps({**json.loads(first), "space": "another host"}).encode() + b"\n" + rest)


def test_working_folders_of_processes_that_were_killed_are_swept_and_those_of_other_hosts_are_not(tmp_path):
    root, flags = tmp_path / "root", tmp_path / "flags"
    flags.mkdir()
    child = start(root, flags, "killed")
    wait_for(flags / "begun-killed", child)
    child.kill()  # nobody waits for it: it stays in the table of processes

    def build(folder: Path) -> None:
        assert folder.parent.stat().st_mode & 0o777 == 0o700

    (work,) = (root / "adapter").glob(".*.work")
    kept = lease_file(work, 1).read_bytes()
    elsewhere(lease_file(work, 1))
    first = Store(root).stage("adapter", {"n": 1}, build)
    assert {*first.parent.iterdir()} == {first, work}
    assert first.stat().st_mode == first.parent.stat().st_mode  # as any new folder
    lease_file(work, 1).write_bytes(kept)
    second = Store(root).stage("adapter", {"n": 2}, build)
    assert {*first.parent.iterdir()} == {first, second}
    child.communicate()


@pytest.mark.parametrize("before", [(), OTHER_HOST], ids=["one host", "two hosts"])
def test_one_of_two_processes_builds_and_the_other_waits(tmp_path, before):
    if before and subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine permits no PID namespaces")
    root, flags = tmp_path / "root", tmp_path / "flags"
    flags.mkdir()
    children = [start(root, flags, "one", before=before)]
    wait_for(flags / "begun-one", children[0])
    store = Store(root, lease=1.2)
    with store.not_waiting(), pytest.raises(StageBusy, match=f"on {os.uname().nodename} is at work"):
        store.stage("adapter", SPEC, write("never"))
    children.append(start(root, flags, "two", before=before))
    time.sleep(2.5)  # past the lease: the heartbeat keeps it
    assert store._holder(store.folder("adapter", SPEC)) is not None
    (flags / "go").touch()
    printed = {child.communicate(timeout=60)[0].strip() for child in children}
    assert [child.returncode for child in children] == [0, 0]
    folder = Store(root).folder("adapter", SPEC)
    assert printed == {str(folder)}
    assert list(folder.parent.iterdir()) == [folder]
    assert (folder / "half.txt").read_text() == (folder / "whole.txt").read_text() == "one"
    assert not (flags / "begun-two").exists()


@pytest.mark.parametrize("moment", ["at work", "before its rename"])
def test_a_process_frozen_past_its_lease_puts_nothing_into_place(tmp_path, moment):
    root, flags = tmp_path / "root", tmp_path / "flags"
    flags.mkdir()
    late = moment == "before its rename"
    child = start(root, flags, "frozen", *(["late"] if late else []))
    if late:
        (flags / "go").touch()
    wait_for(flags / ("frozen" if late else "begun-frozen"), child)
    child.send_signal(signal.SIGSTOP)
    os.utime(next((root / "adapter").glob(".*.work/lease-*")), (2**31, 2**31))  # no clock but the observer's

    def build(folder: Path) -> None:
        write("of the one that took over")(folder)
        child.send_signal(signal.SIGCONT)
        (flags / "go").touch()
        time.sleep(1)  # the other one may do its worst

    begun = time.monotonic()
    folder = Store(root, lease=1.2).stage("adapter", SPEC, build)
    assert time.monotonic() - begun > 1.2
    child.send_signal(signal.SIGCONT)
    assert child.communicate(timeout=60)[0].strip() == str(folder)
    # What it had built to the end is put into place for it; else all is of the one that took over.
    files = {"half.txt", "whole.txt"} if late else {"result.txt"}
    assert {path.name for path in folder.iterdir()} == {*files, *STAGE_FILES}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_finished_stage_is_made_again_where_it_is_found_wanting_and_only_once(tmp_path):
    store, built = Store(tmp_path), []

    def wanting(folder: Path) -> bool:
        return (folder / "result.txt").read_text() == "wanting"

    def build(folder: Path) -> None:
        built.append((store.folder("rows", SPEC) / "result.txt").read_text())  # it stays until then
        write("better")(folder)

    first = store.stage("rows", SPEC, write("wanting"), again=wanting)  # no loop where it stays so
    assert store.stage("rows", SPEC, build) == first and not built
    for _ in range(2):
        assert store.stage("rows", SPEC, build, again=wanting) == first
    assert built == ["wanting"] and (first / "result.txt").read_text() == "better"
    assert list(first.parent.iterdir()) == [first]


def test_a_stage_comes_back_whose_replacement_was_killed_between_its_renames(tmp_path):
    store = Store(tmp_path)
    final = store.stage("rows", SPEC, write("finished"))
    work = final.parent / f".{final.name}.work"
    (work / "killed").mkdir(parents=True)
    (work / "killed" / "stage").mkdir()
    final.rename(work / "killed" / "before")
    assert (store.stage("rows", SPEC, write("anew")) / "result.txt").read_text() == "finished"
    assert list(final.parent.iterdir()) == [final]


def test_a_finished_stage_is_checked_once_on_a_host_and_an_old_one_without_a_manifest_is_read(tmp_path):
    final = Store(tmp_path).stage("rows", SPEC, write("finished"))
    checked = tmp_path / "checked"
    (final / "result.txt").write_text("damaged!")
    assert Store(tmp_path).has("rows", SPEC)  # made here
    (mine,) = checked.iterdir()
    mine.rename(checked / "another host")
    with pytest.raises(UserError, match=r"result.txt has SHA-256 .* instead of .* \(rm -r .* makes it again"):
        Store(tmp_path).stage("rows", SPEC, write("never"))
    (final / "result.txt").write_text("short")
    with pytest.raises(UserError, match="has 5 bytes instead of 8; delete"):
        Store(tmp_path).has("rows", SPEC)
    (final / "result.txt").write_text("finished")
    assert Store(tmp_path).has("rows", SPEC) and mine.exists()
    (final / MANIFEST_FILE).unlink()
    assert Store(tmp_path).has("rows", {**SPEC}) and (final / "result.txt").read_text() == "finished"


def test_a_full_disk_says_what_to_do_and_keeps_what_was_finished(tmp_path):
    store = Store(tmp_path)
    final = store.stage("rows", SPEC, write("finished"))

    def full(folder: Path) -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("cannot save") from error

    with pytest.raises(UserError, match=f"the disk of {tmp_path} is full.*TURNCOAT_CACHE.*same command"):
        store.stage("adapter", SPEC, full)
    assert store.has("rows", SPEC) and (final / "result.txt").read_text() == "finished"
    assert not list((tmp_path / "adapter").iterdir())


def test_checkpoints_of_the_last_attempt_come_along_and_a_finished_stage_leaves_none(tmp_path):
    store, seen = Store(tmp_path), []

    def build(folder: Path) -> None:
        place = store.attempt("adapter", SPEC)
        seen.append((place, place.exists() and (place / "checkpoint").read_text()))
        place.mkdir(parents=True, exist_ok=True)
        (place / "checkpoint").write_text("ten steps")
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.stage("adapter", SPEC, build)
    store.stage("adapter", SPEC, build)
    assert [found for _, found in seen] == [False, "ten steps"] and seen[0][0] != seen[1][0]
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_lease_is_taken_over_from_the_holder_that_was_looked_at_alone(tmp_path, monkeypatch):
    """Between the look and the new lease all was finished, and somebody else began anew."""
    work, watch = tmp_path / ".key.work", Watch(0.0)
    with take(work, watch):
        dead = lease_file(work, 1).read_bytes().replace(b'"token": "', b'"token": "dead')
    work.mkdir()
    lease_file(work, 1).write_bytes(dead)
    other, opened = [], os.open

    def late(path: Path, *arguments: int) -> int:
        if not other and arguments[0] & os.O_EXCL:
            lease_file(work, 1).unlink()
            other.append(None)
            other.append(take(work, watch))
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", late)
    assert take(work, watch) is None
    assert other[1].held() and list(work.iterdir()) == [lease_file(work, 1)]


def test_a_stage_that_appeared_meanwhile_is_not_replaced(tmp_path):
    store = Store(tmp_path)

    def build(folder: Path) -> None:
        write("late")(folder)
        final = store.folder("rows", SPEC)  # as a host does that shares no lease with this one
        final.mkdir()
        write("first")(final)

    assert (store.stage("rows", SPEC, build) / "result.txt").read_text() == "first"
    assert list((tmp_path / "rows").iterdir()) == [store.folder("rows", SPEC)]


def test_what_a_killed_process_had_built_to_the_end_is_put_into_place(tmp_path):
    store = Store(tmp_path)
    final = store.stage("rows", SPEC, write("whole"))
    half = tmp_path / "rows" / f".{final.name}.work" / "killed"
    half.mkdir(parents=True)
    final.rename(half / "stage")
    assert (store.stage("rows", SPEC, write("anew")) / "result.txt").read_text() == "whole"
    half.mkdir(parents=True)
    final.rename(half / "stage")
    (half / "stage" / "result.txt").write_text("cut o")
    assert (store.stage("rows", SPEC, write("anew")) / "result.txt").read_text() == "anew"
    assert list(final.parent.iterdir()) == [final]
