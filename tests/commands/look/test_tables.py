"""`turncoat tables`: files from rows, a check that they still are, and what a user can do wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from report.made_run import ARMS, made_defences
from report.paper_rows import write_paper_run
from turncoat.commands.look.tables import tables
from turncoat.errors import UserError
from typer.testing import CliRunner

SPEC = """\
table: mine
title: Mine
show: levels
columns:
  - {label: Margin, task: turncoat_choice, metric: margin_per_token}
"""


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    with made_defences():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    write_paper_run(folder / "run", ARMS[:3], contrasts=[])
    (folder / "mine.yaml").write_text(SPEC, encoding="utf-8")
    return folder


def call(*arguments: str | Path, told: type[Exception] | None = None):
    app = typer.Typer()
    app.command()(tables)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if told is not None:
        assert isinstance(result.exception, told), result.output
        return str(result.exception)
    return result


def test_files_are_written_and_checked_and_a_changed_one_is_found(place):
    out = place / "out"
    arguments = (place / "run", "--out", out, "--spec", place / "mine.yaml")
    written = call(*arguments)
    assert written.exit_code == 0, written.output
    steps = [f"reading {place / 'run'}", "table mine", "figures of "]
    assert all(step in written.stderr for step in steps) and steps[0] not in written.stdout
    assert {"index.md", "mine.md", "mine.csv", "mine.tex", "tables.tex"} <= {
        path.name for path in out.iterdir()
    }
    assert call(*arguments, "--check").exit_code == 0
    (out / "mine.csv").write_text("made up", encoding="utf-8")
    wrong = call(*arguments, "--check")
    assert wrong.exit_code == 1 and "1 of" in wrong.output and "mine.csv" in wrong.output
    assert (out / "mine.csv").read_text(encoding="utf-8") == "made up"


def test_a_file_that_no_row_gives_fails_the_check_and_is_never_removed(place):
    out = place / "left"
    arguments = (place / "run", "--out", out, "--spec", place / "mine.yaml", "--no-png")
    assert call(*arguments).exit_code == 0
    assert not list(out.glob("*.png")) and ".png" not in (out / "index.md").read_text(encoding="utf-8")
    (out / "old_study_four_axes.svg").write_text("<svg/>", encoding="utf-8")
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    wrong = call(*arguments, "--check")
    assert wrong.exit_code == 1
    assert "no row gives old_study_four_axes.svg" in wrong.output and "notes.txt" not in wrong.output
    assert "old_study_four_axes.svg" in call(*arguments).output and (out / "old_study_four_axes.svg").exists()


def test_a_missing_run_or_specification_is_a_user_s_mistake(place, tmp_path):
    told = call(tmp_path, "--out", tmp_path / "out", "--spec", place / "mine.yaml", told=UserError)
    assert "holds no run" in told and "turncoat run" in told and not (tmp_path / "out").exists()
    told = call(place / "run", "--out", tmp_path / "out", "--spec", tmp_path / "none.yaml", told=UserError)
    assert "no table specification" in told
