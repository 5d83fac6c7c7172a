"""Child process that is told lines and answers in events; what its libraries print goes to a log.

child = Child("turncoat.study.engines.processes")   # its `main()` calls `answers()` first
child.tell("insecure/0")
for event in child.events: ...                      # ends with the child
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from turncoat.paths import PACKAGE
from turncoat.study.engines.job import event_line, event_of
from turncoat.study.units.maker import Event


class Child:
    """A module's `main()` in a process of its own, which ends when this one does.

    Args:
        module: Its name.
        settings: Environment variables beside those of this process.

    Attributes:
        events: What it answers, until it ends.
    """

    def __init__(self, module: str, settings: Mapping[str, str] | None = None) -> None:
        places = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import main; main()"],
            env={**os.environ, "PYTHONPATH": places, **(settings or {})}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True, encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the one command
        )  # fmt: skip
        assert self._process.stdout is not None
        self.events: Iterator[Event] = filter(None, map(event_of, self._process.stdout))

    def tell(self, line: str) -> None:
        """Write a line to it; nothing happens if it is gone, since its events end then."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            print(line, file=self._process.stdin, flush=True)

    def ending(self) -> str:
        """Exit code or signal of a child whose events have ended, and the last line of its log."""
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{how}; it last wrote: {lines[-1][:300]}" if lines else how

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self, patience: float = 0.0) -> None:
        """End it; with patience (seconds) it may tidy up once its input has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        self._process.wait()
        self._log.close()


def answers() -> Callable[[Event], None]:
    """In the child, before anything prints: a function that sends an event to the parent."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lambda event: print(event_line(event), file=out, flush=True)
