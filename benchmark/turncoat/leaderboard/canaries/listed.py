"""List of the canaries: entry -> SHA-256 of its rows, in `canaries.json` among the maintainers' records.

`turncoat dev canaries` writes the list. Validation, the board and the workflow go by it alone: a name that
looks like a canary's makes none, and is refused.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.entry.submission import Sha256, Slug
from turncoat.leaderboard.reading.findings import Finding, fact_finding
from turncoat.leaderboard.reading.reader import rows_sha256
from turncoat.safe_files import write_files

CANARY = "canary-"
FILE = "canaries.json"
_LIST = TypeAdapter(dict[Slug, Sha256])


def read_canaries(records: Path) -> dict[str, str]:
    """The list in the folder of verifications; an empty one where there is none.

    Raises:
        UserError: It is not such a list; it is ours, so it is fixed, not skipped.
    """
    path = records / FILE
    try:
        return _LIST.validate_json(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        fix = "write it again with `turncoat dev canaries`"
        raise UserError(f"{path} is not a list of canaries: {error}; {fix}") from error


def list_canaries(records: Path, entries: Iterable[Entry]) -> None:
    """Add entries to the list, or their rows of now."""
    canaries = read_canaries(records) | {entry.slug: _digest(entry) for entry in entries}
    write_files(records, {FILE: (json.dumps(canaries, indent=1, sort_keys=True) + "\n").encode()})


def is_canary(entry: Entry, canaries: Mapping[str, str]) -> bool:
    """True for a listed entry with the rows that are listed."""
    return canaries.get(entry.slug) == _digest(entry)


def check_canary(entry: Entry, canaries: Mapping[str, str]) -> Iterator[Finding]:
    """Findings on an entry that takes a canary's name, or has other rows than the list says."""
    if entry.slug in canaries and not is_canary(entry, canaries):
        allowed, fix = f"the rows that {FILE} lists", "make the canary again: turncoat dev canaries"
        yield fact_finding("canary", "slug", entry.slug, allowed, fix)
    elif entry.slug.startswith((CANARY, FILE.partition(".")[0])) and entry.slug not in canaries:
        allowed = (
            f"another name: '{CANARY}...' are the maintainers' ({FILE}: {', '.join(canaries) or 'none'})"
        )
        yield fact_finding("canary", "slug", entry.slug, allowed, "rename the folder and the slug")


def _digest(entry: Entry) -> str:
    return rows_sha256(entry.files, "rows/")
