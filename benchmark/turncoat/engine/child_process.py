"""Child process that is told lines and answers in lines; what its libraries print goes to a log.

child = ChildProcess([sys.executable, "-c", "from some.module import main; main()"])
child.tell("a line")              # its main calls `answers()` first
for line in child.lines: ...      # ends with the child
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress


class ChildProcess:
    """A command in a process of its own, which ends when this one does.

    Args:
        command: The command and its arguments.
        environment: All its environment variables; default: those of this process.

    Attributes:
        lines: What it answers, until it ends.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True, encoding="utf-8", start_new_session=True,  # Ctrl-C is for the one command
        )  # fmt: skip
        assert self._process.stdout is not None
        self.lines: Iterator[str] = self._process.stdout

    def tell(self, line: str) -> None:
        """Write a line to it; nothing happens if it is gone, since its lines end then."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            print(line, file=self._process.stdin, flush=True)

    def ending(self) -> str:
        """Exit code or signal of a child whose lines have ended, and the last line of its log."""
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


def answers() -> Callable[[str], None]:
    """In the child, before anything prints: a function that sends a line to the parent."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lambda line: print(line, file=out, flush=True)
