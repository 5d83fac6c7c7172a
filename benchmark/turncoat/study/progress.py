"""Progress of a running study: the stage at work, how far it is, how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from turncoat.shown_text import visible


class StudyProgress:
    """One line per finished stage; on a terminal also a bar for the stage at work.

    Args:
        console: Where to print.
        planned: Estimated seconds of all stages on two idle cores; what was done before is taken off.
    """

    def __init__(self, console: Console, planned: float) -> None:
        self.console = console
        self.planned = planned
        self.spent_estimate = 0.0
        self.started = time.perf_counter()
        self._bar: Progress | None = None
        self._task = None

    @property
    def remaining(self) -> float:
        """Seconds left: the plan's, corrected by how fast this machine has been so far."""
        elapsed = time.perf_counter() - self.started
        # Before a tenth is done, one slow stage would say too much about the machine.
        speed = elapsed / self.spent_estimate if self.spent_estimate > 0.1 * self.planned else 1.0
        return max(self.planned - self.spent_estimate, 0.0) * speed

    @contextmanager
    def stage(self, label: str, estimate: float, cached: bool = False) -> Iterator[StudyProgress]:
        """A stage at work; inside it, call `update(done, total)`."""
        if cached:
            self.planned -= estimate
            self.console.print(Text(f"  {label}: done before", style="dim"))
            yield self
            return
        begun = time.perf_counter()
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}% {task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task(label, total=1.0, note="")  # type: ignore[assignment]
            self._bar.start()
        try:
            yield self
        finally:
            if self._bar is not None:
                self._bar.stop()
                self._bar = None
        self.spent_estimate += estimate
        seconds = time.perf_counter() - begun
        left = (f"({duration(self.remaining)} left)", "dim")
        self.console.print(Text.assemble(f"  {visible(label)}: {seconds:.1f} s  ", left))

    def update(self, done: float, total: float, note: str = "") -> None:
        """Move the bar of the stage at work."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done / max(total, 1), note=note)


def duration(seconds: float) -> str:
    """'45 s', '3 min', '1 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
