"""Progress of a running study: the stages at work, how far they are, how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from turncoat.shown_text import visible


class StudyProgress:
    """One line per finished stage; on a terminal also a bar for each stage at work.

    Args:
        console: Where to print.
        planned: Estimated seconds of all stages on two idle cores; what was done before is taken off.
    """

    def __init__(self, console: Console, planned: float) -> None:
        self.console = console
        self.planned = planned
        self.spent_estimate = 0.0
        self.started = time.perf_counter()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._at_work: dict[str, tuple[float, float]] = {}  # label -> its estimate, the share that is done

    @property
    def remaining(self) -> float:
        """Seconds left: the plan's, corrected by how fast this machine has been so far."""
        elapsed = time.perf_counter() - self.started
        spent = self.spent_estimate + sum(estimate * share for estimate, share in self._at_work.values())
        # Before a tenth is done, one slow stage would say too much about the machine.
        speed = elapsed / spent if spent > max(0.1 * self.planned, 0.0) else 1.0
        return max(self.planned - spent, 0.0) * speed

    @contextmanager
    def stage(self, label: str, estimate: float, cached: bool = False) -> Iterator[StudyProgress]:
        """A stage at work; inside it, call `update(done, total)`."""
        begun = time.perf_counter()
        if not cached:
            self.begin(label, estimate)
        try:
            yield self
        except BaseException:
            self.close(label)
            raise
        self.end(label, estimate, None if cached else time.perf_counter() - begun)

    def begin(self, label: str, estimate: float) -> None:
        """A stage is at work from now on."""
        self._at_work[label] = (estimate, 0.0)
        if not self.console.is_terminal:
            return
        if self._bars is None:
            self._bars = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}% {task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self._bars.start()
        self._tasks[label] = self._bars.add_task(visible(label), total=1.0, note="")

    def update(self, done: float, total: float, note: str = "", label: str | None = None) -> None:
        """Move the bar of a stage at work; without `label`, of the one that began last."""
        label = next(reversed(self._at_work), None) if label is None else label
        share = min(done / max(total, 1), 1.0)
        if label in self._at_work:
            self._at_work[label] = (self._at_work[label][0], share)
        if self._bars is not None and label in self._tasks:
            self._bars.update(self._tasks[label], completed=share, note=note)

    def close(self, label: str | None = None) -> None:
        """Take a stage's bar away; without `label`, all."""
        for name in [label] if label is not None else list(self._at_work):
            self._at_work.pop(name, None)
            if self._bars is not None and name in self._tasks:
                self._bars.remove_task(self._tasks.pop(name))
        if self._bars is not None and not self._tasks:
            self._bars.stop()
            self._bars = None

    def end(self, label: str, estimate: float, seconds: float | None) -> None:
        """A stage is finished, after so many seconds; None: it was done before."""
        self.close(label)
        if seconds is None:
            self.planned -= estimate
            self.console.print(Text(f"  {visible(label)}: done before", style="dim"))
            return
        self.spent_estimate += estimate
        remaining = self.remaining
        left = (f"({duration(remaining)} left)" if remaining >= 1 else "(nearly done)", "dim")
        self.console.print(Text.assemble(f"  {visible(label)}: {seconds:.1f} s  ", left))


def duration(seconds: float) -> str:
    """'45 s', '3 min', '1 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
