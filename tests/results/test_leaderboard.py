"""The committed board is what the committed entries give; every entry is valid; no canary gets through."""

import shutil
from pathlib import Path

import pytest
from turncoat.leaderboard.board.build import Built, build_boards, canaries_caught
from turncoat.leaderboard.board.files import board_files
from turncoat.leaderboard.canaries.make import KINDS
from turncoat.leaderboard.entry.maintainers import records_beside
from turncoat.leaderboard.validation.validate import validate_entry

RESULTS = Path(__file__).parents[2] / "results"
SUBMISSIONS = RESULTS / "submissions"


@pytest.fixture(scope="module")
def built() -> Built:
    return build_boards(SUBMISSIONS)


def test_the_files_are_those_of_the_entries_and_canaries_are_caught(built):
    for name, content in board_files(built).items():
        assert (RESULTS / name).read_bytes() == content, (
            f"{name} is out of date: make leaderboard, and commit it"
        )
    shown = {row.slug for board in built.boards for row in board.rows}
    assert shown == {path.parent.name for path in SUBMISSIONS.glob("*/submission.json")}
    (board,) = built.boards
    settings = {
        row.slug: row.submission.defence.setting for row in board.rows if not row.slug.startswith("canary-")
    }
    assert list(settings.values()).count("in_training") >= 2
    assert list(settings.values()).count("inference") >= 2
    assert {"none-insecure", "sgtr-insecure", "pick-longer-insecure"} <= set(settings)
    canaries = [row for row in board.rows if row.slug.startswith("canary-")]
    assert {row.slug for row in canaries} == {f"canary-{kind}-insecure" for kind in KINDS}
    assert all(row.rank is None and row.flags for row in canaries) and canaries_caught(board) == []


def test_one_changed_digit_of_a_real_entry_is_found(tmp_path):
    """Forge an entry as a submitter might: improve one answer, and set the hashes right."""
    import gzip
    import hashlib
    import json

    for slug in ("none-insecure", "kl-insecure"):
        shutil.copytree(SUBMISSIONS / slug, tmp_path / "submissions" / slug)
    shutil.copytree(records_beside(SUBMISSIONS / "x"), tmp_path / "verifications")
    home = tmp_path / "submissions" / "kl-insecure"
    name = "defended/seed-2/turncoat_persona"
    path = home / "rows" / f"{name}.jsonl.gz"
    rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    row = json.loads(rows[4])
    row["persona_fixed"] -= 0.1
    rows[4] = json.dumps(row, ensure_ascii=False)
    packed = gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0)
    path.write_bytes(packed)
    told = json.loads((home / "submission.json").read_text())
    told["rows"][name]["sha256"] = hashlib.sha256(packed).hexdigest()
    (home / "submission.json").write_text(json.dumps(told))
    (finding,) = validate_entry(home)
    assert (finding.rule, finding.row, finding.field) == ("metric-value", 5, "persona_fixed")
    assert finding.value == str(row["persona_fixed"]) and "from the evidence" in finding.allowed


def test_the_board_says_that_its_dose_was_tuned_on_some_of_its_seeds():
    page = (RESULTS / "leaderboard.md").read_text(encoding="utf-8")
    assert "The dose was tuned on training seeds 0 and 1" in page
