"""Load an entry: its facts and its rows, also those that it shares with another entry of the board.

entry = load_entry(Path("results/submissions/sgtr"))
entry.scores()      # one row per role, seed, task, metric and question
entry.answers()     # one row per sampled answer

Nothing is checked here beyond what reading safely needs (`reading.reader`); `validate_entry` says whether the
rows are good.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED, answers_in, scores_in
from turncoat.leaderboard.entry.submission import ROLES, Submission, seed_folders
from turncoat.leaderboard.entry.track import Track, find_track, track_files
from turncoat.leaderboard.reading.findings import EntryRefused, Finding, fact_finding, shown
from turncoat.leaderboard.reading.reader import EntryFiles, list_files, read_json, read_rows, rows_sha256
from turncoat.strict_model import Location, WrongField, wrong_fields

SUBMISSION = "submission.json"


@dataclass
class Entry:
    """One entry; `homes` has the files of the entries whose rows it shares, by role."""

    folder: Path
    files: EntryFiles
    submission: Submission
    track: Track
    homes: dict[str, EntryFiles] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Its name."""
        return self.submission.slug

    def cells(self) -> Iterator[tuple[str, str, str]]:
        """(role, seed folder, task) of all rows files that the entry has to have, in order."""
        for role in ROLES:
            if role in self.submission.own_roles:
                for seed in seed_folders(role, self.submission):
                    for use in self.track.tasks_of_role(role, self.submission.organism.name):
                        yield role, seed, use.task

    def rows(self, role: str, seed: str, task: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(line number, row) of one rows file, wherever it is.

        Raises:
            EntryRefused: It is missing or may not be read.
        """
        return read_rows(self.homes.get(role, self.files), rows_name(role, seed, task))

    def scores(self) -> pd.DataFrame:
        """Tidy scores: arm (the role), seed (-1 for the base), task, metric, question, value, n_samples."""
        frames = []
        for role, seed, task in self.cells():
            rows = (row for _, row in self.rows(role, seed, task))
            frames.append(scores_in(rows, arm=role, seed=seed_number(seed), task=task))
        return pd.concat(frames, ignore_index=True)

    def answers(self) -> pd.DataFrame:
        """One row per sampled answer: arm (the role), seed, task, question_id, question, text, scores."""
        frames = []
        for role, seed, task in self.cells():
            rows = (row for _, row in self.rows(role, seed, task))
            frames.append(answers_in(rows, arm=role, seed=seed_number(seed)).assign(task=task))
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def rows_name(role: str, seed: str, task: str) -> str:
    """Path of a rows file inside an entry."""
    return f"rows/{role}/{seed}/{task}.jsonl.gz"


def seed_number(folder: str) -> int:
    """The training seed of a seed folder; `BASE_SEED` for the untrained model."""
    return BASE_SEED if folder == "base" else int(folder.removeprefix("seed-"))


def load_entry(folder: Path) -> Entry:
    """Read an entry's facts and find its rows; shared rows are looked for in the folders beside it.

    Raises:
        EntryRefused: The folder may not be read, the facts are wrong, or shared rows are not those that were
            meant.
    """
    files = list_files(folder)
    submission = parse_submission(read_json(files, SUBMISSION))
    name = folder.resolve().name
    if submission.slug != name:
        allowed, fix = f"the folder's name, {shown(name)}", "rename the folder or the slug"
        raise EntryRefused([fact_finding("slug", "slug", submission.slug, allowed, fix)])
    entry = Entry(folder, files, submission, _track(submission.track))
    problems = []
    for role, shared in submission.shared.items():
        there = folder.absolute().parent / shared.entry  # a slug: `submission.py` lets no path through
        if not there.is_dir():
            allowed = "an entry in the folder beside this one"
            fix = "give the rows in this entry, or put the other entry beside it"
            problems.append(fact_finding("shared-rows", f"shared.{role}.entry", shared.entry, allowed, fix))
            continue
        other, field = list_files(there), f"shared.{role}.rows_sha256"
        sha256 = rows_sha256(other, f"rows/{role}/")
        if sha256 == shared.rows_sha256:
            entry.homes[role] = other
            continue
        fix = (
            f"the {role} rows of {shared.entry} are not those that were meant: look at them, then submit "
            "again"
        )
        problems.append(fact_finding("shared-rows", field, shared.rows_sha256, sha256, fix))
    if problems:
        raise EntryRefused(problems)
    return entry


def _track(name: str) -> Track:
    try:
        return find_track(name)
    except UserError as error:
        allowed = ", ".join(sorted(track_files()))
        fix = "name a track that ships; one of your own is only known where TURNCOAT_TRACKS names its folder"
        raise EntryRefused([fact_finding("unknown-track", "track", name, allowed, fix)]) from error


def parse_submission(content: dict[str, Any]) -> Submission:
    """The facts, checked against their format.

    Raises:
        EntryRefused: With one finding per wrong field. A number that rows give breaks rule "totals".
    """
    try:
        return Submission.model_validate(content)
    except ValidationError as error:
        wrong = wrong_fields(error, Submission)
        raise EntryRefused([_finding(loc, one) for loc, one in wrong.items()]) from error


def _finding(loc: Location, wrong: WrongField) -> Finding:
    where, value = ".".join(map(str, loc)), wrong.value
    if wrong.kind == "extra_forbidden":
        rule = "totals" if isinstance(value, int | float | list | dict) else "unknown-field"
        allowed = "only the fields of results/submission.schema.json; numbers are recomputed from rows"
        return fact_finding(rule, where, value, allowed, "remove it")
    finding = fact_finding("submission", where, value, wrong.allowed, "see results/submission.schema.json")
    return replace(finding, value="") if wrong.kind == "missing" else finding
