"""Standing of the entries of a board: superseded ones, the reference, those that compete for ranks.

Nothing here rests on what an entry says of itself: a succession needs the author that the maintainers
recorded, or their grant; a reference needs their verification, or their word.
"""

from collections.abc import Mapping, Sequence

from turncoat.leaderboard.entry.maintainers import PROJECT, Maintainers
from turncoat.leaderboard.ranking.flags import Candidate


def superseded_by(candidates: Sequence[Candidate], maintainers: Maintainers) -> dict[str, str]:
    """Entry -> the one that replaces it: by the same author or as the maintainers grant it, and never a
    verified entry by a self-reported one."""
    by_slug = {one.slug: one for one in candidates}
    asked = {one.slug: one.entry.submission.supersedes for one in candidates}
    pairs = [(name.entry, slug) for slug, name in asked.items() if name is not None]
    replaced: dict[str, str] = {}
    for old, new in [*((old, name.entry) for old, name in maintainers.successors.items()), *pairs]:
        if {old, new} <= by_slug.keys() and old != new and maintainers.may_replace(new, old):
            weaker = by_slug[new].self_reported and not by_slug[old].self_reported
            replaced |= {} if weaker or old in replaced else {old: new}
    return replaced


def reference_of(listed: Sequence[Candidate], maintainers: Maintainers) -> Candidate | None:
    """The undefended entry that the others are held against: the one that the maintainers name, else a
    verified one."""
    undefended = [one for one in listed if one.is_reference]
    named = maintainers.references.get(undefended[0].entry.submission.board) if undefended else None
    for one in undefended:
        if named is not None and one.slug == named.entry:
            return one
    trusted = [one for one in undefended if not one.self_reported]
    trusted.sort(key=lambda one: (one.trust.level != "reproduced", one.slug))
    # Whoever comes later, under a name that sorts first, moves nobody.
    recorded = {slug: place for place, slug in enumerate(maintainers.authors)}
    return min(trusted, key=lambda one: recorded.get(one.slug, len(recorded)), default=None)


def family_of(listed: Sequence[Candidate], maintainers: Maintainers) -> tuple[set[str], bool]:
    """Slugs of the verified entries, and True; if none of the project's defences is verified, also the
    project's, and False: a stranger's verified entry retires nobody."""
    verified = {one.slug for one in listed if not one.self_reported}
    project = {one.slug for one in listed if maintainers.authors.get(one.slug) == PROJECT}
    defences = {one.slug for one in listed if not one.is_reference}
    if verified & defences & (project & defences or verified):
        return verified, True
    return verified | project, False


def rivals_of(
    one: Candidate, candidates: Sequence[Candidate], superseded: Mapping[str, str], maintainers: Maintainers
) -> list[Candidate]:
    """The entries that it must not have copied: canaries too, but none of its own line of succession.

    An entry that the maintainers recorded was there before one that they recorded below it or not at all; of
    those that they did not record, a verified one was there before a self-reported one.
    """
    mine = {one.slug, superseded.get(one.slug), *(old for old, new in superseded.items() if new == one.slug)}
    recorded = list(maintainers.authors)
    if one.slug in recorded:
        earlier = set(recorded[: recorded.index(one.slug)])
    else:
        earlier = {each.slug for each in candidates if one.self_reported or not each.self_reported}
        earlier |= set(recorded)
    return [other for other in candidates if other.slug not in mine and other.slug in earlier]
