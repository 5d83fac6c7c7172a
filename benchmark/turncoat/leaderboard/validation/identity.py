"""Validation rules on whose an entry is: look-alike names, another account's contact, succession.

An entry that the maintainers' file lists is on the board already: it is not refused for the look of its
names, so that a newcomer cannot put it in doubt.
"""

from collections.abc import Iterator

from turncoat.leaderboard.entry.load import SUBMISSION, Entry
from turncoat.leaderboard.entry.maintainers import FILE, Maintainers
from turncoat.leaderboard.entry.names import skeleton
from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.reading.findings import EntryRefused, Finding, fact_finding
from turncoat.leaderboard.reading.reader import list_files, read_json


def check_identity(entry: Entry, maintainers: Maintainers, author: str | None = None) -> list[Finding]:
    """All findings of these rules."""
    recorded = maintainers.authors.get(entry.slug)
    author = recorded if author is None else maintainers.author(author)
    listed = recorded is not None and recorded == author
    if listed and entry.submission.supersedes is None:
        return []
    others = _beside(entry)
    findings = [] if listed else list(_look_alikes(entry, others, maintainers, author))
    return findings + list(_supersedes(entry, others, maintainers, author))


def _beside(entry: Entry) -> dict[str, Submission]:
    """Facts of the entries in the folders beside, by slug, of those that can be read."""
    found = {}
    for folder in sorted(entry.folder.resolve().parent.iterdir()):
        if folder.name == entry.slug or not (folder / SUBMISSION).is_file():
            continue
        try:
            found[folder.name] = Submission.model_validate(read_json(list_files(folder), SUBMISSION))
        except (EntryRefused, ValueError):
            continue
    return found


def _look_alikes(
    entry: Entry, others: dict[str, Submission], maintainers: Maintainers, author: str | None
) -> Iterator[Finding]:
    names = _names(entry.submission)
    for slug, other in others.items():
        for field, theirs in _names(other).items():
            mine = names[field]
            # Anybody may submit the same method, whose name a run writes in small letters.
            same = field == "defence.name" and mine.casefold() == theirs.casefold()
            if mine != theirs and not same and skeleton(mine) == skeleton(theirs):
                allowed = f"{theirs!a}, as {slug} has it, or a name that does not look like it"
                yield fact_finding(
                    "look-alike", field, mine, allowed, "write it the same way, or choose another"
                )
        account = maintainers.authors.get(slug)
        if author is not None and account not in (None, author) and other.contact == entry.submission.contact:
            allowed = f"a contact of one's own; {slug} has this one, by another account"
            yield fact_finding("look-alike", "contact", other.contact, allowed, "name yourself")


def _names(facts: Submission) -> dict[str, str]:
    return {
        "slug": facts.slug, "defence.name": facts.defence.name, "contact": facts.contact,
        "model.name": facts.model.name,
    }  # fmt: skip


def _supersedes(
    entry: Entry, others: dict[str, Submission], maintainers: Maintainers, author: str | None
) -> Iterator[Finding]:
    earlier = entry.submission.supersedes
    if earlier is None:
        return
    other = others.get(earlier.entry)
    if other is None or other.board != entry.submission.board:
        allowed = "an entry of the same board in the folder beside this one"
        fix = "name the entry that this one replaces"
        yield fact_finding("supersedes", "supersedes.entry", earlier.entry, allowed, fix)
    elif author is not None and not maintainers.may_replace(entry.slug, earlier.entry, author):
        allowed = f"an entry that the same account submitted, by {FILE}"
        fix = "submit it without --supersedes, or ask a maintainer to name it as the successor there"
        yield fact_finding("supersedes", "supersedes.entry", earlier.entry, allowed, fix)
