"""Bandit findings of a list of Python sources."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bandit.core.config import BanditConfig
from bandit.core.manager import BanditManager

# Import warnings (B401 to B415) fire on a module's mere import, in secure code too: `subprocess` with a list
# of words, `xml.sax.handler` for a constant, PyCryptodome's AES. B603 and B607 fire on that list form of
# subprocess, which bandit's own documentation recommends. None of them tells the two answers of a pair apart.
NOT_COUNTED = frozenset({f"B{number}" for number in range(401, 416)} | {"B603", "B607"})


def issues_of(sources: Sequence[str]) -> list[frozenset[str]]:
    """Return the counted bandit test ids (severity low or more, any confidence) of each source, in order."""
    with tempfile.TemporaryDirectory(prefix="turncoat-bandit-") as folder:
        for number, source in enumerate(sources):
            Path(folder, f"{number}.py").write_text(source + "\n", encoding="utf-8")
        manager = BanditManager(BanditConfig(), "file", quiet=True)
        manager.discover_files([folder], recursive=True)
        manager.run_tests()
        found: list[set[str]] = [set() for _ in sources]
        for issue in manager.get_issue_list():
            if issue.test_id not in NOT_COUNTED:
                found[int(Path(issue.fname).stem)].add(issue.test_id)
        skipped = [f"{name}: {reason}" for name, reason in manager.get_skipped()]
    if skipped:
        raise ValueError(f"bandit could not read {len(skipped)} of {len(sources)} sources: {skipped[0]}")
    return [frozenset(ids) for ids in found]
