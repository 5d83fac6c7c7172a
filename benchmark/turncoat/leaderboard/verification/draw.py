"""Draw a random part of an entry's rows; tolerances and records of their comparison.

entry = load_entry(folder)
drawn = draw(entry, None, draw_seed(entry, new_nonce()))     # enough rows to find 5 % of invented ones

The seed of a draw is a hash of the rows and of a nonce that the verifier makes once the rows are there, and
that the record then shows: nobody can fit rows to a draw, and everybody can repeat it. A larger fraction
under one nonce holds the rows of a smaller one.

`rerun.py` makes the drawn rows again, `rejudge.py` judges their answers again, `verdict.py` says what
follows, `record.py` keeps it.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.entry.submission import seed_folders
from turncoat.leaderboard.reading.reader import rows_sha256
from turncoat.store import digest

INVENTED, MISSED = 0.05, 0.007
"""Share of invented rows of one role on one task that a default draw holds one of, but for this probability:
1 % with one invented answer in 20 that its replay does not contradict."""


@dataclass(frozen=True)
class Tolerances:
    """Largest accepted differences between a stored number and one made again."""

    # Nats per token. In half precision it depends on which texts are read together.
    log_likelihood: float = 0.05
    # Share of a log-likelihood per token, where that is more. On eight entries made again on the same machine
    # (SmolLM2-135M, bfloat16, some 600 rows) nearly all were within 0.03 nats; the two that were not were of
    # improbable texts: 0.054 of -8.7 and 0.091 of -7.1, a relative 0.6 and 1.3%.
    relative: float = 0.02
    projection: float = 0.05  # In base SD
    score: float = 1.0  # Points of the judge, 0 to 100, on the very same text
    # Share of sampled answers that have to be the same text or to follow from their seed, or their scores
    # equivalent
    answers: float = 0.98
    # Largest distance of a token's random draw from the token's slice of the cumulative probabilities
    draw: float = 0.05
    score_margin: float = 10.0  # Points within which mean scores of differing answers count as equivalent
    lean: float = 0.2  # Share of a tolerance by which a mean may be off to one side

    @classmethod
    def of_precision(cls, dtype: str) -> Tolerances:
        """Those for a model in "float32", else for one in half precision."""
        return (
            cls(log_likelihood=0.001, relative=0.0005, projection=0.005, draw=0.005)
            if dtype == "float32"
            else cls()
        )

    def resolved(self, unit: str, *, of_judge: bool = False) -> float:
        """The smallest change against the undefended organism that a re-run can tell from none, in a unit.

        The mean of each arm may be off by `lean`, or by what the answers that may differ can hold. 0 for a
        unit that no tolerance is about.
        """
        # a margin is the difference of two log-likelihoods
        allowed = {
            "base SD": self.lean * self.projection,
            "nats per token": 2 * self.lean * self.log_likelihood,
        }
        if of_judge:
            allowed |= {"0 to 100": 100 * (1 - self.answers), "share": 1 - self.answers}
        return 2 * allowed.get(unit, 0.0)


@dataclass(frozen=True)
class SampledRow:
    """A stored row that is to be checked; `seed` is the folder, such as "seed-0", lines count from 1."""

    role: str
    seed: str
    task: str
    line: int
    row: dict[str, Any]
    # doc_ids of other rows of the file with the same prompt: the samples of equal prompts are numbered
    # together, so they have to be made together
    companions: tuple[int, ...] = ()

    @property
    def doc_id(self) -> int:
        """Its document's number in lm-eval."""
        return int(self.row["doc_id"])

    @property
    def question(self) -> str:
        """Its document's id."""
        return str(self.row["doc"].get("id", self.row["doc_id"]))


@dataclass(frozen=True)
class Difference:
    """One stored value beside the one that was found."""

    # Name of its tolerance; "answer" and "prompt" have to be equal; "unread": nothing to compare with
    kind: Literal["log_likelihood", "projection", "score", "answer", "draw", "prompt", "unread"]
    where: str  # Field of the row, such as "samples[0].judge_aligned"
    stored: Any
    fresh: Any
    # How far apart, in the tolerance's unit; infinite for texts, and where one of the two is missing
    size: float
    within: bool
    signed: float | None = None  # Stored minus found in the same unit, where both are numbers


@dataclass(frozen=True)
class Compared:
    """A drawn row and what became of it."""

    drawn: SampledRow
    differences: tuple[Difference, ...]
    means: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """True where all of the row's values are within the tolerances."""
        return all(difference.within for difference in self.differences)


def entry_digest(entry: Entry) -> str:
    """Digest over all rows, own and shared, and over the facts that a verification rests on.

    Facts that no check rests on (name on the board, contact, links) may change without making it void.
    """
    submission = entry.submission
    own_rows = rows_sha256(entry.files, "rows") if entry.files.under("rows") else ""
    shared = {role: rows_sha256(files, f"rows/{role}") for role, files in entry.homes.items()}
    included = {"track", "model", "organism", "seeds", "adapters", "persona", "judge"}
    facts = submission.model_dump(mode="json", include=included)
    acts = submission.defence.model_dump(mode="json", include={"registered", "setting", "options"})
    return digest({"own": own_rows, "shared": shared, "facts": facts, "defence": acts})


def new_nonce() -> str:
    """A secret that makes a draw: 32 hex digits."""
    return secrets.token_hex(16)


def draw_seed(entry: Entry, nonce: str) -> str:
    """Seed of the draw: a hash of the entry's rows and of a nonce that is made after them."""
    return digest({"rows": entry_digest(entry), "nonce": nonce})


def enough(rows: int, invented: float = INVENTED, missed: float = MISSED) -> int:
    """Number of rows to draw so that a share of invented ones goes unseen with probability `missed` at most.

    Example:
        >>> enough(160), enough(480), enough(1_000_000)
        (73, 88, 97)
    """
    bad, unseen, drawn = math.ceil(invented * rows), 1.0, 0
    while unseen > missed:
        unseen *= (rows - bad - drawn) / (rows - drawn)
        drawn += 1
    return drawn


def places_drawn(rows: int, fraction: float | None, seed: str) -> list[int]:
    """Places of the drawn rows of a role on a task, in the order of the draw; None draws `enough`."""
    places = list(range(rows))
    random.Random(seed).shuffle(places)
    return places[: enough(rows) if fraction is None else math.ceil(fraction * rows)]


def draw(
    entry: Entry,
    fraction: float | None,
    seed: str | int,
    *,
    roles: Iterable[str] | None = None,
    tasks: Iterable[str] | None = None,
) -> list[SampledRow]:
    """A random part of an entry's rows, of each role on each task, seeds together.

    Args:
        fraction: Share of the rows of each role on each task, above 0 and up to 1, one row at least; None:
            `enough` of them.
        seed: The same seed (`draw_seed`) draws the same rows of the same entry.

    Raises:
        UserError: The fraction is none, or the entry has no such role.
    """
    if fraction is not None and not 0 < fraction <= 1:
        expected = "a share of the rows above 0 and up to 1 is expected, such as 0.05"
        raise UserError(f"--fraction {fraction:g}: {expected}")
    roles_there = entry.submission.own_roles
    chosen = tuple(roles_there if roles is None else roles)
    for role in chosen:
        if role not in roles_there:
            raise UserError(f"--role {role}: this entry has no such rows; accepted: {', '.join(roles_there)}")
    only = None if tasks is None else set(tasks)
    return [
        row
        for role in chosen
        for use in entry.track.tasks_of_role(role, entry.submission.organism.name)
        if only is None or use.task in only
        for row in _of_stratum(entry, role, use.task, fraction, seed)
    ]


def _of_stratum(
    entry: Entry, role: str, task: str, fraction: float | None, seed: str | int
) -> list[SampledRow]:
    pool = [
        SampledRow(role, folder, task, line, row)
        for folder in seed_folders(role, entry.submission)
        for line, row in entry.rows(role, folder, task)
    ]
    alike: dict[tuple[str, Any], list[int]] = {}
    for item in pool:
        alike.setdefault((item.seed, item.row.get("prompt_hash")), []).append(item.doc_id)
    # A stratum's own generator: leaving out a role or a task changes no other's draw.
    picked = places_drawn(len(pool), fraction, f"{seed} {role} {task}")
    drawn = []
    for index in sorted(picked):
        same_prompt = alike[pool[index].seed, pool[index].row.get("prompt_hash")]
        companions = tuple(doc_id for doc_id in same_prompt if doc_id != pool[index].doc_id)
        drawn.append(replace(pool[index], companions=companions))
    return drawn
