"""A canary passes every check on rows and would win its board; its own sign alone gives it away."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from leaderboard.entry_files import facts_of
from leaderboard.made_entry import JUDGE, make_entry, shipped_rubric
from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.leaderboard.board.build import build_board, canaries_caught
from turncoat.leaderboard.canaries.listed import is_canary, read_canaries
from turncoat.leaderboard.canaries.make import KINDS, canary_slug, make_canaries, make_canary
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.entry.maintainers import records_beside
from turncoat.leaderboard.ranking.flags import candidate
from turncoat.leaderboard.validation.validate import validate_entry
from turncoat.leaderboard.verification.status import SELF_REPORTED, Trust

SIGN = {
    "empty": "empty answers", "constant": "same answer", "refusal": "refusals", "rubric-echo": "rubric echo",
    "base": "is the base",
}  # fmt: skip
SHARED = dict.fromkeys(("base", "organism", "control"), "none-made")


class FooledJudge:
    """Takes everything for aligned and coherent: whatever it says, a canary must be caught."""

    id = JUDGE
    card = None
    may_rate = True

    def __init__(self, rubric: str = "") -> None:
        self.rubric = rubric or shipped_rubric()
        self.asked: list[tuple[str, str]] = []

    def score(self, questions: Sequence[str], answers: Sequence[str], on_done=None) -> list[Verdict]:
        self.asked += list(zip(questions, answers, strict=True))
        return [Verdict(96.0, 97.0, judge=self.id, rubric=self.rubric) for _ in answers]


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board's undefended entry, a defence, and all canaries."""
    folder = tmp_path_factory.mktemp("canaries") / "submissions"
    make_entry(folder, slug="none-made", setting="none")
    make_entry(folder, slug="sgtr-made", shared=SHARED, effect=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURNCOAT_CACHE", str(folder.parent / "cache"))
        make_canaries(load_entry(folder / "none-made"), FooledJudge(), log=lambda _: None)
    return folder


@pytest.fixture(scope="module")
def board(submissions: Path):
    trust = Trust(SELF_REPORTED, "")
    entries = [load_entry(path) for path in sorted(submissions.iterdir())]
    listed = read_canaries(records_beside(submissions / "none-made"))
    assert {entry.slug for entry in entries if is_canary(entry, listed)} == set(listed)
    return build_board(candidate(one, trust, is_canary=is_canary(one, listed)) for one in entries)


def test_one_canary_of_each_kind_says_what_it_is_and_all_are_caught(submissions: Path, board) -> None:
    made = sorted(path.name for path in submissions.glob("canary-*"))
    assert made == sorted(f"canary-{kind}-made" for kind in KINDS) and set(KINDS) == set(SIGN)
    for kind in KINDS:
        told = facts_of(submissions / f"canary-{kind}-made")
        assert "No defence" in told["defence"]["summary"] and "Made up" in told["defence"]["summary"]
        assert told["defence"]["registered"] is None
        assert set(told["shared"]) == {"base", "organism", "control"}
    assert canaries_caught(board) == [] and all(not row.flags for row in board.rows if row.kind != "canary")


@pytest.mark.parametrize("kind", KINDS)
def test_a_canary_is_valid(submissions: Path, kind: str) -> None:
    assert validate_entry(submissions / f"canary-{kind}-made") == []


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_sign_gives_it_away(board, kind: str) -> None:
    flags = [flag.name for row in board.rows if row.slug == f"canary-{kind}-made" for flag in row.flags]
    assert SIGN[kind] in flags


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "base"])
def test_it_would_win_if_nothing_caught_it(board, kind: str) -> None:
    rows = {row.slug: row for row in board.rows}
    canary, honest = rows[f"canary-{kind}-made"], rows["sgtr-made"]
    key = board.ranked_by.key
    assert canary.cells[key].value < honest.cells[key].value < 0
    assert canary.cells["narrow_kept"].value > board.track.narrow_kept


def test_each_answer_is_read_once_and_bytes_are_equal_each_time(submissions: Path, tmp_path: Path) -> None:
    shutil.copytree(submissions / "none-made", tmp_path / "none-made")
    judge = FooledJudge()
    make_canary("constant", load_entry(tmp_path / "none-made"), tmp_path / "canary-constant-made", judge)
    assert judge.asked and len(judge.asked) == len(set(judge.asked))
    reference = load_entry(tmp_path / "none-made")
    out = make_canary("rubric-echo", reference, tmp_path / "canary-rubric-echo-made", FooledJudge())
    make_canary("rubric-echo", reference, out, FooledJudge())
    first = submissions / out.name
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert all((out / name).read_bytes() == (first / name).read_bytes() for name in names)


def test_refuses_what_is_no_reference_and_names_a_plain_one(submissions: Path, tmp_path: Path) -> None:
    none, sgtr = load_entry(submissions / "none-made"), load_entry(submissions / "sgtr-made")
    with pytest.raises(UserError, match="'loud': there is no such kind"):
        make_canary("loud", none, submissions / "canary-loud")
    with pytest.raises(UserError, match="undefended entry"):
        make_canary("empty", sgtr, submissions / "canary-empty")
    with pytest.raises(UserError, match="starts with 'canary-'"):
        make_canary("empty", none, submissions / "empty")
    with pytest.raises(UserError, match="same judge"):
        make_canary("constant", none, submissions / "canary-other", FooledJudge("distilled@000000000000"))
    assert not (submissions / "canary-other").exists()
    make_entry(tmp_path, slug="plain", setting="none")
    assert canary_slug("empty", load_entry(tmp_path / "plain")) == "canary-empty-insecure-code"
