"""One host of the faults campaign: a process that makes stages, started anew whenever it is killed.

    python host.py ROOT LOG STAGES LEASE SEED SKEW

It obeys letters on its standard input: "k" kills the worker, "s" freezes it, "c" lets it go on. With a
campaign in a PID namespace of its own, a worker has the number that workers of other hosts have too.
"""

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from turncoat.errors import UserError
from turncoat.store import MANIFEST_FILE, StageBusy, Store, digest, file_digest

REFUSED = 3  # exit code of a worker that could not write


def spec(number: int) -> dict[str, object]:
    """Specification of a stage."""
    return {"number": number}


def rows(number: int, below: str) -> str:
    """Content of a stage, with that of the stage that it stands on."""
    lines = (json.dumps({"doc": n, "answer": digest([number, n, below])}) for n in range(20))
    return "".join(f"{line}\n" for line in lines)


def make(store: Store, number: int, note: Callable[..., object], pause: Callable[[], object]) -> Path:
    """One stage, on a stage of another kind that four of them share."""

    def build(folder: Path) -> None:
        mark = f"{os.uname().nodename} {os.getpid()} {time.monotonic_ns()}"
        base = number // 4

        def build_base(inner: Path) -> None:
            pause()
            (inner / "rows.jsonl").write_text(rows(-1 - base, ""))

        below = (store.stage("base", spec(base), build_base) / "rows.jsonl").read_text()
        for part in range(4):  # whose files they are, for stages mixed from two writers
            (folder / f"part-{part}").write_text(mark)
            pause()
            store.check_leases()
        (folder / "rows.jsonl").write_text(rows(number, digest(below)))
        note("built", number, mark)

    return store.stage("rows", spec(number), build)


def work(root: Path, log: Path, stages: int, lease: float, seed: int, skew: float) -> None:
    """Make all stages, in an order of its own, those of others last."""
    clock, process = time.time, f"{seed:.0f} {os.getpid()} {time.monotonic_ns()}"
    draw = random.Random(process)
    time.time = lambda: clock() + skew

    def note(*what: object) -> None:
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(handle, (json.dumps([process, *what]) + "\n").encode())
        os.close(handle)

    store = Store(root, lease=lease, log=lambda line: note("log", line))
    todo = draw.sample(range(stages), stages)
    while todo:
        number = todo.pop(0)
        try:
            with store.not_waiting():
                final = make(store, number, note, lambda: time.sleep(draw.uniform(0, 0.15)))
        except StageBusy:
            todo.insert(3, number)  # soon again: a lease expires for those who look
            time.sleep(draw.uniform(0, 0.05))
        except UserError as error:
            note("refused", str(error))
            os._exit(REFUSED)
        else:
            note("seen", number, file_digest(final / MANIFEST_FILE))


def host() -> None:
    """The worker, again and again until it has made all; its end is a line on standard output."""
    arguments = sys.argv[1:]
    while True:
        child = os.fork()
        if child == 0:
            os.close(0)
            try:
                work(Path(arguments[0]), Path(arguments[1]), int(arguments[2]), *map(float, arguments[3:6]))
                os._exit(0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
        status = None
        while status is None:
            if select.select([0], [], [], 0.05)[0]:
                letter = os.read(0, 1)
                if not letter:
                    os.kill(child, signal.SIGKILL)
                    return
                os.kill(child, {b"k": signal.SIGKILL, b"s": signal.SIGSTOP, b"c": signal.SIGCONT}[letter])
            pid, code = os.waitpid(child, os.WNOHANG)
            status = code if pid else None
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            print(code, flush=True)
            return


if __name__ == "__main__":
    host()
