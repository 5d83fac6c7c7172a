"""Tracks: the protocols that entries are comparable under, with their tasks, sizes and training seeds.

A track never changes once an entry was accepted under it: a new protocol is a new file in `tracks/`.
"""

import os
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from turncoat.errors import UserError, accepted
from turncoat.evaluation.task_catalogue import metric_names, task_content, task_names
from turncoat.strict_model import NAME, StrictModel
from turncoat.yaml_model import read_yaml_model

ENVIRONMENT = "TURNCOAT_TRACKS"
_FOLDER = Path(__file__).parent / "tracks"


class TrackTask(StrictModel):
    """A task and the amount of it that an entry has to have."""

    task: str
    questions: int = Field(ge=2)  # The task's first documents, all of them and no others
    # Answers to each; None for tasks that read log-likelihoods
    samples: int | None = Field(default=None, ge=1)
    max_gen_toks: int | None = Field(default=None, ge=1)


class HeldOutLoss(StrictModel):
    """Number of documents of the organism's held-out loss."""

    questions: int = Field(ge=2)


class Track(StrictModel):
    """One protocol."""

    track: str = Field(pattern=NAME)
    summary: str
    # MODEL/ORGANISM -> a sentence on what it was tuned on, shown where the organism's shift stands
    caveats: dict[str, str] = Field(default_factory=dict)
    min_seeds: int = Field(ge=2)
    ranked_by: str  # The metric that ranks; `ranked_by_else` where the board must withhold it
    ranked_by_else: str = "persona_fixed"
    # Judges whose scores are taken, as a study names them: "embedded" is judge embedded-1
    judges: tuple[str, ...] = Field(min_length=1)
    # Share of the narrow behaviour below which an entry is flagged instead of ranked
    narrow_kept: float = Field(ge=0, le=1)
    # Points of mean coherence, against the undefended organism, above which it is flagged
    coherence_lost: float = Field(ge=0)
    # Ranking metric -> difference from the board's organism, in units of the metric, that does not matter: an
    # organism of one's own has to be shown to be closer, or verified
    organism_margin: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    tasks: tuple[TrackTask, ...] = Field(min_length=1)  # What is measured, whatever the organism
    held_out_loss: HeldOutLoss

    def tasks_for(self, organism: str) -> tuple[TrackTask, ...]:
        """The common tasks, then the held-out loss of this organism.

        Raises:
            UserError: No task measures whether that organism was learnt.
        """
        return (*self.tasks, TrackTask(task=loss_task(organism), questions=self.held_out_loss.questions))

    def tasks_of_role(self, role: str, organism: str) -> tuple[TrackTask, ...]:
        """Tasks that measure a role: the held-out loss for a `benign` arm, all of them for any other."""
        tasks = self.tasks_for(organism)
        return tasks[-1:] if role == "benign" else tasks


@cache
def loss_task(organism: str) -> str:
    """The task whose held-out loss shows whether an organism was learnt.

    Raises:
        UserError: There is none.
    """
    known: dict[str, str] = {}
    for task in task_names():
        for name in (task_content(task).get("metadata") or {}).get("learnt_by") or {}:
            known.setdefault(name, task)
    if organism not in known:
        problem = f"no task measures whether the organism '{organism}' was learnt, so it has no board"
        raise UserError(f"{problem}; {accepted(known, organism)}")
    return known[organism]


def track_files() -> dict[str, Path]:
    """Name -> file of the tracks that ship and of those in the folders that `TURNCOAT_TRACKS` names."""
    folders = [Path(folder) for folder in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if folder]
    return {path.stem: path for folder in (*folders, _FOLDER) for path in sorted(folder.glob("*.yaml"))}


def find_track(name: str) -> Track:
    """A track by its name; never by a path, for the name may come from somebody's entry.

    Raises:
        UserError: It is not there, or its file is not right.
    """
    known = track_files()
    if name not in known:
        own = f"a folder with tracks of your own goes into {ENVIRONMENT}"
        raise UserError(f"'{name}' is not a track; {accepted(known, name)}; {own}")
    return _read(known[name])


@cache
def _read(path: Path) -> Track:
    track, place = read_yaml_model(path, Track, "a track")
    if track.track != path.stem:
        raise UserError(f"{place(('track',))}: '{track.track}' is not the file's name, '{path.stem}'")
    names = [use.task for use in track.tasks]
    for name in names:
        if name not in task_names():
            raise UserError(f"{place(('tasks',))}: '{name}' is not a task; {accepted(task_names(), name)}")
    measured = metric_names(names)
    for metric in (track.ranked_by, track.ranked_by_else):
        if metric not in measured and not any(name == metric for _, name in measured.values()):
            problem = f"no task of the track measures '{metric}'"
            raise UserError(f"{place(('ranked_by',))}: {problem}; {accepted(measured, metric)}")
    ranking = [metric.partition("@")[0] for metric in (track.ranked_by, track.ranked_by_else)]
    for metric in track.organism_margin:
        if metric not in ranking:
            problem = f"'{metric}' does not rank; {accepted(ranking, metric)}"
            raise UserError(f"{place(('organism_margin', metric))}: {problem}")
    return track
