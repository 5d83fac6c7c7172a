"""Submission drafts, as made from a run or from folders of lm_eval: facts and samples files.

`from_run.py` and `from_folders.py` make a Draft; `write.py` writes it as an entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.leaderboard.entry.track import Track, TrackTask
from turncoat.leaderboard.submission.paths_scrubber import PathScrubber

Cell = tuple[str, str, str]
"""(role, seed folder, task)."""


@dataclass(frozen=True)
class SubmitterInfo:
    """Facts from the command line; None where an option was not given."""

    contact: str | None = None
    defence_name: str | None = None
    summary: str | None = None
    paper: str | None = None
    code: str | None = None
    supersedes: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.supersedes is None) != (self.reason is None):
            raise UserError("--supersedes and --reason belong together: which entry is replaced, and why")

    def fill_in(self, defence: dict[str, Any]) -> dict[str, Any]:
        """A defence's facts, replaced by those of the command line."""
        given = {"name": self.defence_name, "summary": self.summary, "paper": self.paper, "code": self.code}
        return {**defence, **{key: value for key, value in given.items() if value is not None}}

    @property
    def replaced(self) -> dict[str, str] | None:
        """As `supersedes` in submission.json."""
        return None if self.supersedes is None else {"entry": self.supersedes, "reason": str(self.reason)}


@dataclass(frozen=True)
class Draft:
    """An entry before its rows are read."""

    facts: dict[str, Any]  # Of submission.json, all that does not follow from the rows (`write_entry`)
    samples: Mapping[Cell, Path]  # Samples file of each cell; roles that another entry has may be left out
    versions: Mapping[Cell, float]  # Version of the task in each cell
    seconds: Mapping[str, float]  # Training seconds of each role
    track: Track
    hint: Callable[[TrackTask], str]  # How to get what a task lacks, in words
    scrubber: PathScrubber
    notes: list[str] = field(default_factory=list)


def task_version(results: dict[str, Any], path: Path, task: str) -> float:
    """The version of a task that a results file says; UserError where it says none."""
    version = (results.get("versions") or {}).get(task)
    if isinstance(version, bool) or not isinstance(version, int | float):
        raise UserError(f"{path}, versions.{task}: {version!r}; a number is expected: measure {task} again")
    return float(version)


def settings(use: TrackTask) -> str:
    """A task's line of a study: `{task: turncoat_em, limit: 24, repeats: 1, max_gen_toks: 48}`."""
    keys = {"limit": use.questions, "repeats": use.samples, "max_gen_toks": use.max_gen_toks}
    items = [f"{key}: {value}" for key, value in keys.items() if value is not None]
    return f"{{{', '.join([f'task: {use.task}', *items])}}}"
