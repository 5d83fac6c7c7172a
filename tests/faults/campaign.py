"""Faults campaign: hosts at work on one store are killed and frozen; prints a table of what went wrong.

    make faults                                            # 8 hosts, 1,000 kills, 50 freezes
    PYTHONPATH=tests python -m faults.campaign --kills 40 --freezes 4 --hosts 3

Each host is a PID and mount namespace of its own where the machine permits that (`unshare`), else a process
group. Stages are cheap functions that write files; `host.py` is their worker.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults import host as host_module
from turncoat.store import MANIFEST_FILE, Store, file_digest

UNSHARE = ("unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child")
SKEWS = (0.0, 3600.0, -3600.0)  # seconds by which the hosts' clocks differ


def permitted(*command: str) -> bool:
    """True if the machine lets this user run the command."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Host:
    """A running host."""

    def __init__(self, root: Path, log: Path, stages: int, lease: float, number: int) -> None:
        namespace = UNSHARE if permitted(*UNSHARE, "true") else ()
        self._command = [
            *namespace, sys.executable, host_module.__file__, str(root), str(log), str(stages), str(lease),
            str(number), str(SKEWS[number % len(SKEWS)]),
        ]  # fmt: skip
        self.frozen_until = 0.0
        self.start()

    def start(self) -> None:
        """Start it, or start it again: in a new namespace, like a node that has booted."""
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    @property
    def over(self) -> bool:
        """True if its work is done or refused."""
        return self.process.poll() is not None

    def send(self, letter: bytes) -> None:
        """Kill (k), freeze (s) or let go on (c) its worker."""
        if not self.over:
            assert self.process.stdin is not None
            self.process.stdin.write(letter)

    def crash(self) -> None:
        """Kill the host with its worker."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.start()


@dataclass
class Result:
    """Counts of one scenario; a sound store has zeros from `missing` on."""

    name: str
    hosts: int
    stages: int = 0
    kills: int = 0
    crashes: int = 0
    freezes: int = 0
    taken_over: int = 0
    missing: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    other_rows: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    built_twice: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def faults(self) -> list[str]:
        """All that went wrong."""
        return [*self.missing, *self.mixed, *self.other_rows, *self.lost, *self.built_twice]

    def add(self, root: Path, log: Path, stages: int, single: Store) -> None:
        """Count what a finished store holds.

        Args:
            single: A store of the same stages, made by one process.
        """
        store, seen = Store(root), defaultdict(set)
        built, twice = defaultdict(set), defaultdict(set)
        for line in log.read_text().splitlines():
            process, what, *rest = json.loads(line)
            if what == "built":
                built[rest[0]].add(process)
            elif what == "seen":
                seen[rest[0]].add(rest[1])
                # It lived on after its build was over: a killed worker's is rightly made again.
                twice[rest[0]] |= built[rest[0]] & {process}
            elif what == "refused":
                self.refused.append(rest[0])
            elif "taken over" in rest[0]:
                self.taken_over += 1
        self.stages += stages
        for number in range(stages):
            folder = store.folder("rows", host_module.spec(number))
            if not store.has("rows", host_module.spec(number)):
                self.missing.append(f"{self.name}: stage {number} is missing")
                continue
            marks = {path.read_text() for path in folder.glob("part-*")}
            if len(marks) != 1:
                self.mixed.append(f"{self.name}: stage {number} is of {marks}")
            alone = single.folder("rows", host_module.spec(number))
            if (folder / "rows.jsonl").read_bytes() != (alone / "rows.jsonl").read_bytes():
                self.other_rows.append(f"{self.name}: stage {number} has other rows")
            if seen[number] - {file_digest(folder / MANIFEST_FILE)}:
                self.lost.append(f"{self.name}: stage {number} was finished before and is another now")
            if len(twice[number]) > 1:
                self.built_twice.append(f"{self.name}: stage {number} was built by {twice[number]}")

    def row(self) -> str:
        """The result as a row of the table."""
        counts = (self.missing, self.mixed, self.other_rows, self.lost, self.built_twice)
        numbers = (self.hosts, self.stages, self.kills, self.crashes, self.freezes, self.taken_over)
        cells = [self.name, *(f"{n:,}" for n in numbers), *(str(len(count)) for count in counts)]
        return f"| {' | '.join(cells)} | {self.seconds:.0f} |"


HEADER = (
    "| scenario | hosts | stages | kills of a worker | kills of a host | freezes | taken over | "
    "missing | mixed | other rows | lost | built twice | seconds |\n|---|" + "---:|" * 12
)


def single_process(folder: Path, stages: int) -> Store:
    """A store with all stages, made by this process alone."""
    store = Store(folder)
    for number in range(stages):
        host_module.make(store, number, lambda *_: None, lambda: None)
    return store


def killed_and_frozen(
    folder: Path, *, hosts: int, stages: int, kills: int, freezes: int, lease: float, seed: int = 0
) -> Result:
    """Rounds of work, each on a new store, with kills and freezes at random moments.

    One kill in ten is one of the whole host, whose death no other host can know of before its lease expires.
    """
    result, draw, begun = Result("killed and frozen", hosts), random.Random(seed), time.monotonic()
    single = single_process(folder / "single", stages)
    turn = 0
    while result.kills + result.crashes < kills or result.freezes < freezes:
        root, log = folder / f"round-{turn}", folder / f"round-{turn}.log"
        log.touch()
        running, taken_before = [Host(root, log, stages, lease, number) for number in range(hosts)], 0
        while not all(one.over for one in running):
            time.sleep(draw.uniform(0.0, 2.0 / hosts))
            frozen = [one for one in running if one.frozen_until]
            if frozen:  # the others stay alive, to see the leases expire and to take the stages over
                taken = len(list(root.glob("*/.*.work/lease-000002"))) > taken_before
                others_over = all(one.over for one in running if one not in frozen)
                for one in frozen:
                    if taken:  # at some moment of what its successor does
                        one.frozen_until = min(one.frozen_until, time.monotonic() + draw.uniform(0.0, 0.7))
                    if others_over or time.monotonic() > one.frozen_until:
                        one.frozen_until = 0.0
                        one.send(b"c")
                continue
            free = [one for one in running if not one.over]
            if result.freezes < freezes and draw.random() < 0.1:
                taken_before = len(list(root.glob("*/.*.work/lease-000002")))
                for one in draw.sample(free, min(len(free), hosts // 2, freezes - result.freezes)):
                    one.send(b"s")
                    one.frozen_until = time.monotonic() + 20 * lease
                    result.freezes += 1
            elif free and result.kills + result.crashes < kills:
                one = draw.choice(free)
                if draw.random() < 0.1:
                    one.crash()
                    result.crashes += 1
                else:
                    one.send(b"k")
                    result.kills += 1
        result.add(root, log, stages, single)
        turn += 1
    result.seconds = time.monotonic() - begun
    return result


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[str], None]]:
    """A file system of its own in `folder`; the yielded function changes its mount options."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full_and_read_only(folder: Path, *, hosts: int, stages: int, lease: float) -> list[Result]:
    """A disk that fills up, then has room again, then is read-only; [] where nothing may be mounted."""
    single = single_process(folder / "alone", stages)
    size = (
        sum(path.stat().st_size // 4096 + 1 for path in (folder / "alone").rglob("*") if path.is_file()) * 4
    )

    def all_over(name: str, wanted: int) -> Result:
        log, begun = folder / f"{name}.log", time.monotonic()
        log.touch()
        running = [Host(disk / "store", log, wanted, lease, number) for number in range(hosts)]
        for one in running:
            one.process.wait(timeout=300)
        result = Result(name, hosts, seconds=time.monotonic() - begun)
        if name == "disk full":
            lines = (json.loads(line) for line in log.read_text().splitlines())
            result.refused = [line[2] for line in lines if line[1] == "refused"]
        else:
            result.add(disk / "store", log, stages, single)
        return result

    disk = folder / "disk"
    try:
        with small_disk(disk, size // 2) as remount:
            full = all_over("disk full", stages)
            finished = {path: file_digest(path) for path in (disk / "store").rglob(MANIFEST_FILE)
                        if not path.parent.parent.name.startswith(".")}  # fmt: skip
            remount(f"size={size * 4}k")
            after = all_over("room again", stages)
            gone = [f"{path} is gone" for path, mark in finished.items() if file_digest(path) != mark]
            after.lost += gone
            remount("ro")
            read_only = all_over("read-only, all finished", stages)
            missing = all_over("read-only, one more stage", stages + 1)
            missing.refused = [text for text in missing.refused if "cannot be written" in text]
        return [full, after, read_only, missing]
    except subprocess.CalledProcessError:
        return []


def main() -> int:
    """Run the campaign and print its table; 1 if anything was lost, mixed or made twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--stages", type=int, default=48)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--freezes", type=int, default=50)
    parser.add_argument("--lease", type=float, default=1.5, help="seconds after which a lease expires")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        place = Path(folder)
        results = [killed_and_frozen(place, **given)]
        results += full_and_read_only(
            place, hosts=given["hosts"], stages=given["stages"], lease=given["lease"]
        )
    print(HEADER, *(result.row() for result in results), sep="\n")
    for text in sorted({text.replace(folder, "...") for result in results for text in result.refused})[:3]:
        print(f"\nsaid: {text}")
    faults = [fault for result in results for fault in result.faults]
    print(*faults, sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
