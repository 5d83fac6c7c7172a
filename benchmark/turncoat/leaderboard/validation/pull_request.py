"""Check the files that a pull request changes: one new entry and nothing else.

main(["--base", "origin/main", "--head", "HEAD"])                  # prints the folders of entries, one a line
main(["--base", "origin/main", "--head", "HEAD", "--submission"])  # and refuses whatever is not a submission

A submission adds one folder `results/submissions/<slug>/` and nothing else: a change to the checks, to the
board or to somebody else's entry is another pull request. An accepted entry is never changed: a new one
supersedes it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from turncoat.errors import UserError
from turncoat.leaderboard.canaries.make import CANARY
from turncoat.leaderboard.reading.findings import shown

SUBMISSIONS = "results/submissions"
_IN_ENTRY = re.compile(rf"{SUBMISSIONS}/(?P<slug>[a-z0-9][a-z0-9_-]{{0,79}})/.+", re.DOTALL)


class Change(NamedTuple):
    """One file of a diff: git's status letter (A added, M modified, D deleted, T another type) and its path."""

    status: str
    path: str


def changes(repository: Path, base: str, head: str) -> list[Change]:
    """The files in which `head` differs from where it branched off `base`.

    Raises:
        UserError: Git fails.
    """
    command = ["git", "-C", str(repository), "diff", "--name-status", "--no-renames", "-z", f"{base}...{head}", "--"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode("utf-8", "replace").strip()
        raise UserError(f"git diff {base}...{head} in {repository}: {message}; fetch both commits with their history")
    fields = done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return [Change(*pair) for pair in zip(fields[::2], fields[1::2], strict=True)]


def changed_entries(changed: Sequence[Change]) -> list[str]:
    """Folders of the entries that are changed or added, sorted; an entry of which only deletions are known is left out."""
    slugs = {match["slug"] for status, path in changed if status != "D" and (match := _IN_ENTRY.fullmatch(path))}
    return [f"{SUBMISSIONS}/{slug}" for slug in sorted(slugs)]


def problems_of_submission(changed: Sequence[Change]) -> list[str]:
    """Forbidden changes in a submission's pull request, a line each; empty is good."""
    problems = []
    slugs = set()
    for status, path in changed:
        match = _IN_ENTRY.fullmatch(path)
        if match is None:
            problems.append(
                f"{shown(path)}: outside of an entry's folder; a submission adds files in {SUBMISSIONS}/<slug>/ alone: put "
                "other changes into a pull request of their own"
            )
            continue
        slugs.add(match["slug"])
        if match["slug"].startswith(CANARY):
            problems.append(
                f"{shown(path)}: names that start with '{CANARY}' are the maintainers'; choose another slug"
            )
        if status != "A":
            problems.append(
                f"{shown(path)}: changes an entry that is there already; submit a new one that supersedes it "
                "(turncoat submit --supersedes)"
            )
    if len(slugs) > 1:
        problems.append(
            f"{len(slugs)} entries ({', '.join(sorted(slugs))}); a submission adds one: split the pull request"
        )
    if not slugs:
        problems.append(f"no entry: a submission adds a folder in {SUBMISSIONS}/; turncoat submit RUN makes one")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Print the changed entries; exit status 1 with the reasons where a submission does what it must not."""
    parser = argparse.ArgumentParser(prog="python -m turncoat.leaderboard.validation.pull_request", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--base", required=True, help="commit or branch that the change is for")
    parser.add_argument("--head", default="HEAD", help="commit with the change")
    parser.add_argument("--repo", type=Path, default=Path(), help="a checkout that has both")
    parser.add_argument("--submission", action="store_true", help="refuse what is no submission of one entry")
    told = parser.parse_args(arguments)
    try:
        found = changes(told.repo, told.base, told.head)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    problems = problems_of_submission(found) if told.submission else []
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    print("".join(f"{entry}\n" for entry in changed_entries(found)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
