"""Forged entries against the checks and the board: none is ranked, none moves an honest entry, each is caught
by its rule."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from leaderboard.red_team.draft import HONEST, cut_board
from leaderboard.red_team.forgeries import FORGERIES
from turncoat.leaderboard.board.build import Board, Built, build_board, build_boards, canaries_caught
from turncoat.leaderboard.board.files import markdown
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.entry.maintainers import VERIFICATIONS, Maintainers, read_maintainers
from turncoat.leaderboard.ranking.flags import Candidate, candidate
from turncoat.leaderboard.validation.validate import validate_entry
from turncoat.leaderboard.verification.status import read_trust

STRANGER = "666"  # account of the forger's pull requests


@dataclass(frozen=True)
class Outcome:
    """Outcome of a forgery.

    Attributes:
        caught_by: Findings' rules, or flags, unshown requirements and the trust of what is not ranked.
        gains: What it reached: a rank, the reference, a change of an honest entry.
    """

    caught_by: frozenset[str]
    gains: tuple[str, ...]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_board(tmp_path_factory.mktemp("red") / "submissions")


@pytest.fixture(scope="module")
def board(honest: Path) -> tuple[Board, list[Candidate]]:
    entries = [_candidate(honest / slug) for slug in HONEST]
    return build_board(entries, _maintainers(honest)), entries


def _maintainers(folder: Path) -> Maintainers:
    return read_maintainers(folder.parent / VERIFICATIONS)


def _candidate(folder: Path) -> Candidate:
    entry = load_entry(folder)
    return candidate(entry, read_trust(entry, folder.parent.parent / VERIFICATIONS))


def outcome(folder: Path, board: Board, entries: list[Candidate]) -> Outcome:
    """Validate what was added to the folder; where that is accepted, build the board with it."""
    forged = sorted(path for path in folder.iterdir() if path.name not in HONEST)
    findings = [one for path in forged for one in validate_entry(path, author=STRANGER)]
    if findings:
        return Outcome(frozenset(one.rule for one in findings), ())
    more = [_candidate(path) for path in forged]
    if any(one.entry.submission.board != board.id for one in more):
        built = build_boards(folder, skip_invalid=True)
        rules = {one.rule for path in forged for one in built.refused.get(path.name, ())}
        gains = [f"board {each.id}" for each in built.boards]
        return Outcome(frozenset(rules), tuple(gains))
    after = build_board([*entries, *more], _maintainers(folder))
    rows = {row.slug: row for row in after.rows}
    caught, gains = set[str](), []
    for path in forged:
        row = rows[path.name]
        # An entry that passed a re-run has a place among the others: what it must not have is a mark.
        verdict = row.against.verdict if row.against else ""
        deceived = row.trust.level != "self-reported"
        if row.rank is not None and not (deceived and verdict == "not shown"):
            gains.append(f"rank {row.rank.text}")
        caught |= {flag.name for flag in row.flags} | {gate.name for gate in row.unshown} | {verdict}
        caught |= {row.trust.level} if row.rank is None else set()
    verified = any(rows[path.name].trust.level != "self-reported" for path in forged)
    names = ("flags", "superseded_by", "cells") + (() if verified else ("rank", "against"))
    for old in board.rows:
        new = rows.get(old.slug, old)
        gains += [f"{old.slug}: {name}" for name in names if getattr(old, name) != getattr(new, name)]
        if not verified and line(board, old.slug) != line(after, old.slug):
            gains.append(f"{old.slug}: line")
    gains += [f"build stopped by {slug}" for slug in canaries_caught(after)]
    reference = next((row.slug for row in after.rows if row.kind == "reference"), HONEST[0])
    gains += [f"reference {reference}"] if reference not in HONEST else []
    return Outcome(frozenset(caught), tuple(gains))


def line(board: Board, slug: str) -> list[str]:
    """An entry's line in the board's table."""
    return [text for text in markdown(Built((board,), {})).splitlines() if f"({slug}) |" in text]


def test_honest_entries_are_accepted(honest, board):
    assert [one for slug in HONEST for one in validate_entry(honest / slug)] == []
    assert all(not row.flags for row in board[0].rows)
    assert any(row.rank is not None for row in board[0].rows)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_gains_nothing_and_its_rule_catches_it(name, honest, board, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(honest.parent, tmp_path, dirs_exist_ok=True, copy_function=os.link)
    FORGERIES[name].forge(folder)
    found = outcome(folder, *board)
    assert found.gains == () and FORGERIES[name].rule in found.caught_by
