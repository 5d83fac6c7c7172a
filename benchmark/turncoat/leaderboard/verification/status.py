"""Verification status of an entry, read from the maintainers' records and never from the entry.

A verification speaks of the very rows that it names by their digest; where the entry has other rows by now it
counts for nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel as Model, ConfigDict

from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import is_judged
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.entry.submission import ROLES
from turncoat.leaderboard.verification.draw import entry_digest

SELF_REPORTED: Literal["self-reported"] = "self-reported"


@dataclass(frozen=True)
class Trust:
    """Verification status of an entry, and the reason."""

    level: Literal["verified", "reproduced", "self-reported"]
    note: str
    roles: tuple[str, ...] = ()  # Whose rows were made again

    def covers(self, role: str) -> bool:
        """True if that role's rows were made again."""
        return self.level != SELF_REPORTED and role in self.roles


class Verification(Model):
    """The fields of a verification record that the board reads."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    slug: str
    rows_sha256: str
    how: Literal["rerun", "rejudge", "reproduced"]
    by: str = ""
    date: str = ""
    verdict: str = "verified"
    roles: tuple[str, ...] | None = None
    judge: str = ""
    earlier: tuple[dict[str, Any], ...] = ()  # Draws of the same rows before this one


def read_trust(entry: Entry, folder: Path) -> Trust:
    """Read the verification status of an entry.

    Raises:
        UserError: A verification cannot be read; it is ours, so it is fixed, not skipped.
    """
    path = folder / f"{entry.slug}.json"
    if not path.is_file():
        return Trust(SELF_REPORTED, "nobody else has run it yet")
    try:
        verification = Verification.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        fix = "write it again with `turncoat verify`"
        raise UserError(f"{path} is not a verification: {error}; {fix}") from error
    if verification.slug != entry.slug:
        raise UserError(f"{path}, slug: '{verification.slug}' is another entry; accepted: '{entry.slug}'")
    if verification.rows_sha256 != entry_digest(entry):
        return Trust(SELF_REPORTED, "there is a verification, of other rows than those that are here now")
    who = f" by {verification.by}" if verification.by else ""
    when = f" on {verification.date}" if verification.date else ""
    if verification.verdict != "verified":
        return Trust(SELF_REPORTED, f"a check{who}{when} did not agree with the rows: {verification.verdict}")
    if verification.how == "rejudge":
        text = f"the answers are self-reported; their scores were judged again{who}{when} and agree"
        return Trust(SELF_REPORTED, text)
    if verification.judge == "off" and any(is_judged(use.task) for use in entry.track.tasks):
        return Trust(SELF_REPORTED, f"rows were made again{who}{when}, but their scores were not")
    own_role = "organism" if entry.submission.defence.setting == "none" else "defended"
    if verification.roles is not None and own_role not in verification.roles:
        text = (
            f"only the rows of {', '.join(verification.roles)} were made again{who}{when}, not the "
            f"{own_role} arm's"
        )
        return Trust(SELF_REPORTED, text)
    roles = ROLES if verification.roles is None else verification.roles
    if verification.how == "rerun":
        failed = sum(draw.get("verdict") != "verified" for draw in verification.earlier)
        draws = f"; {failed} earlier of its draws did not agree" if failed else ""
        return Trust("verified", f"a random part was run again from the adapters{who}{when}{draws}", roles)
    return Trust("reproduced", f"trained and measured again{who}{when}", roles)
