"""Child process of an engine: it is told units and answers in events.

child = Child("turncoat.study.engines.processes")   # its `main()` calls `answers()` first
child.tell("insecure/0")
for event in child.events: ...                      # ends with the child
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping

from turncoat.engine import child_process
from turncoat.paths import PACKAGE
from turncoat.study.engines.job import event_line, event_of
from turncoat.study.units.maker import Event


class Child(child_process.ChildProcess):
    """A module's `main()` in a process of its own.

    Args:
        module: Its name.
        settings: Environment variables beside those of this process.

    Attributes:
        events: What it answers, until it ends.
    """

    def __init__(self, module: str, settings: Mapping[str, str] | None = None) -> None:
        places = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
        super().__init__(
            [sys.executable, "-c", f"from {module} import main; main()"],
            {**os.environ, "PYTHONPATH": places, **(settings or {})},
        )
        self.events: Iterator[Event] = filter(None, map(event_of, self.lines))


def answers() -> Callable[[Event], None]:
    """In the child, before anything prints: a function that sends an event to the parent."""
    send = child_process.answers()
    return lambda event: send(event_line(event))
