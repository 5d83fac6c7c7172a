"""`turncoat leaderboard build`: equal bytes from equal entries, stale files shown, hostile text escaped."""

import csv
from pathlib import Path

import pytest
from leaderboard.board_entries import maintain, write
from turncoat import cli
from turncoat.errors import UserError
from turncoat.leaderboard.validation import validate
from typer.testing import CliRunner

FILES = ("leaderboard.md", "leaderboard.csv", "leaderboard.html")
HOSTILE = '=HYPERLINK("x")|<img src=x onerror=alert(1)> [a](b)'


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "validate_entry", lambda folder: [])


def fill(folder: Path, slugs: tuple[str, ...] = ("none", "good")) -> Path:
    for slug in slugs:
        named = {"name": HOSTILE, "setting": "prevention", "summary": HOSTILE}
        facts = (
            {} if slug == "none" else {"shared": "none", "effect": 0.1, "contact": HOSTILE, "defence": named}
        )
        write(folder, slug, questions=8, **facts)
    write(folder, "canary-empty", shared="none", questions=8, answer=lambda seed, i: "")
    maintain(folder)
    return folder


def run(*arguments: object):
    return CliRunner().invoke(cli.app, ["leaderboard", "build", *map(str, arguments)])


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "validate_entry", lambda folder: [])
        folder = tmp_path_factory.mktemp("results")
        fill(folder / "submissions")
        found = run(folder / "submissions")
        assert found.exit_code == 0, found.output
        return folder


def test_build_writes_three_files_that_check_agrees_with_and_hostile_names_stay_text(built):
    assert all((built / name).stat().st_size for name in FILES)
    found = run(built / "submissions", "--check")
    assert (found.exit_code, "is up to date" in found.output) == (0, True)
    markdown = (built / "leaderboard.md").read_text()
    assert "<img" not in markdown and "[a](b)" not in markdown
    rows = list(csv.DictReader((built / "leaderboard.csv").open()))
    assert {row["defence"] for row in rows if row["slug"] == "good"} == {"'" + HOSTILE}
    assert "<img src=x" not in (built / "leaderboard.html").read_text()
    for line in markdown.splitlines():
        assert (
            not line.startswith("| ")
            or line.count("|") == markdown.split("| Rank")[1].splitlines()[0].count("|") + 1
        )
    assert len(rows) == len({(row["slug"], row["column"]) for row in rows})
    assert len({row["column"] for row in rows}) * 3 == len(rows)
    good = next(row for row in rows if (row["slug"], row["column"]) == ("good", "persona_fixed"))
    assert float(good["low"]) < float(good["value"]) < float(good["high"]) < 0


def test_the_same_entries_elsewhere_give_the_same_bytes(built, tmp_path):
    write(tmp_path / "submissions", "none", questions=8)
    fill(tmp_path / "submissions")
    assert run(tmp_path / "submissions", "--out", tmp_path / "out").exit_code == 0
    assert [(tmp_path / "out" / name).read_bytes() for name in FILES] == [
        (built / name).read_bytes() for name in FILES
    ]


def test_check_fails_with_a_diff_and_writes_nothing(built, tmp_path):
    text = (built / "leaderboard.md").read_text()
    (tmp_path / "leaderboard.md").write_text(text.replace("Ranked by", "Ordered by"))
    found = run(built / "submissions", "--out", tmp_path, "--check")
    assert found.exit_code == 1 and "-- Ordered by" in found.output and "+- Ranked by" in found.output
    assert [path.name for path in tmp_path.iterdir()] == ["leaderboard.md"]


def test_a_canary_that_nothing_catches_stops_the_build(tmp_path):
    folder = fill(tmp_path / "submissions")
    write(folder, "canary-new", effect=0.0, shared="none", questions=8)
    found = run(folder, "--out", tmp_path / "out")
    assert isinstance(found.exception, UserError) and "canary-new" in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_told(tmp_path):
    found = run(tmp_path)
    assert isinstance(found.exception, UserError) and "holds no entry" in str(found.exception)
