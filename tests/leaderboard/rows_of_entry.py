"""The rows of a made-up entry in memory, to be tampered with and checked without touching a file."""

import copy
from pathlib import Path
from typing import Any

from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.reading.findings import Finding
from turncoat.leaderboard.validation.rows import check_task_rows

Cells = dict[tuple[str, str], list[dict[str, Any]]]


class MadeRows:
    """All rows of an entry, or those of one task, by task; `check` leaves them as they are."""

    def __init__(self, home: Path, only: str = "") -> None:
        entry = load_entry(home)
        self.submission = entry.submission
        self.uses = {use.task: use for use in entry.track.tasks_for(entry.submission.organism.name)}
        self.cells: dict[str, Cells] = {task: {} for task in self.uses}
        for role, seed, task in (cell for cell in entry.cells() if only in ("", cell[2])):
            self.cells[task][role, seed] = [row for _, row in entry.rows(role, seed, task)]

    def copy(self, task: str, *keys: tuple[str, str]) -> Cells:
        """A copy of a task's rows to tamper with: of all roles and seeds, or of some."""
        return copy.deepcopy({key: rows for key, rows in self.cells[task].items() if not keys or key in keys})

    def check(self, task: str, cells: Cells, **facts: Any) -> list[Finding]:
        """The findings about these rows; `facts` take the place of the submission's."""
        submission = self.submission.model_copy(update=facts)
        return check(self.uses[task], cells, submission)


def check(use: TrackTask, cells: Cells, submission: Submission) -> list[Finding]:
    """`check_task_rows` of rows in memory."""
    numbered = {key: list(enumerate(rows, 1)) for key, rows in cells.items()}
    return check_task_rows(
        use, numbered, submission=submission, name=lambda role, seed: f"rows/{role}/{seed}/x.jsonl.gz"
    )


def rules(findings: list[Finding]) -> set[str]:
    """The names of the rules that were broken."""
    return {finding.rule for finding in findings}
