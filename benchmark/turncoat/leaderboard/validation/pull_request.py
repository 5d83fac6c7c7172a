"""Check the files that a pull request changes: one new entry and nothing else.

turncoat dev pull-request --base origin/main                  # prints the folders of entries, one a line
turncoat dev pull-request --base origin/main --submission     # and refuses whatever is not a submission

A submission adds one folder `results/submissions/<slug>/` and nothing else: a change to the checks, to the
board or to somebody else's entry is another pull request. An accepted entry is never changed: a new one
supersedes it.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from turncoat.errors import UserError
from turncoat.leaderboard.reading.findings import shown

SUBMISSIONS = "results/submissions"
_IN_ENTRY = re.compile(rf"{SUBMISSIONS}/(?P<slug>[a-z0-9][a-z0-9_-]{{0,79}})/.+", re.DOTALL)


class Change(NamedTuple):
    """One file of a diff: git's status letter (A added, M modified, D deleted, T another type) and its
    path."""

    status: str
    path: str


def changes(repository: Path, base: str, head: str) -> list[Change]:
    """The files in which `head` differs from where it branched off `base`.

    Raises:
        UserError: Git fails.
    """
    span, options = f"{base}...{head}", ("--name-status", "--no-renames", "-z")
    command = ["git", "-C", str(repository), "diff", *options, span, "--"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode("utf-8", "replace").strip()
        raise UserError(f"git diff {span} in {repository}: {message}; fetch both commits with their history")
    fields = done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return [Change(*pair) for pair in zip(fields[::2], fields[1::2], strict=True)]


def changed_entries(changed: Sequence[Change]) -> list[str]:
    """Folders of the entries that are changed or added, sorted; an entry of which only deletions are known is
    left out."""
    matches = [_IN_ENTRY.fullmatch(path) for status, path in changed if status != "D"]
    return [f"{SUBMISSIONS}/{slug}" for slug in sorted({match["slug"] for match in matches if match})]


def problems_of_submission(changed: Sequence[Change]) -> list[str]:
    """Forbidden changes in a submission's pull request, a line each; empty is good."""
    outside = (
        f"outside of an entry's folder; a submission adds files in {SUBMISSIONS}/<slug>/ alone: put other "
        "changes into a pull request of their own"
    )
    old = (
        "changes an entry that is there already; submit a new one that supersedes it (turncoat leaderboard "
        "submit --supersedes)"
    )
    problems, slugs = [], set()
    for status, path in changed:
        match = _IN_ENTRY.fullmatch(path)
        slugs |= {match["slug"]} if match else set()
        problems += [] if match else [f"{shown(path)}: {outside}"]
        problems += [f"{shown(path)}: {old}"] if match and status != "A" else []
    if len(slugs) > 1:
        listed = ", ".join(sorted(slugs))
        problems.append(f"{len(slugs)} entries ({listed}); a submission adds one: split the pull request")
    if not slugs:
        problems.append(
            f"no entry: a submission adds a folder in {SUBMISSIONS}/, as turncoat leaderboard submit makes it"
        )
    return problems
