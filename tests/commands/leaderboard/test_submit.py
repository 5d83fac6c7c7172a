"""`turncoat submit`: which way in, what it prints, and that a refused entry is a failure."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml
from leaderboard.made_entry import make_entry
from leaderboard.made_run import make_run
from turncoat.commands.leaderboard.submit import submit
from turncoat.errors import UserError
from turncoat.leaderboard.reading.findings import Finding
from turncoat.leaderboard.submission.facts_file import Facts
from typer.testing import CliRunner

app = typer.Typer(rich_markup_mode=None)
app.command()(submit)


def run(*arguments: object, code: int = 0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def test_a_run_is_submitted_and_the_next_commands_are_told(tmp_path, monkeypatch):
    made = make_run(tmp_path / "run", make_entry(tmp_path, slug="none", setting="none"))
    out = tmp_path / "out" / "none"
    asked: list[Path] = []
    found: list[Finding] = []

    def validate(folder):
        asked.append(folder)
        return found

    monkeypatch.setattr("turncoat.leaderboard.validation.validate.validate_entry", validate)
    arguments = (made, "--arm", "insecure", "--contact", "nobody", "--track", "tiny", "--out", out)
    done = run(*arguments)
    assert done.stdout == f"{out}\n"
    rows = sum(file["rows"] for file in json.loads((out / "submission.json").read_text())["rows"].values())
    assert re.search(rf"{rows} rows in 35 files, [\d.]+ (kB|MB)", done.stderr)
    assert f"turncoat leaderboard validate {out}" in done.stderr and "pull request" in done.stderr
    assert asked == [out]
    found.append(Finding("some-rule", "rows/x", fix="do so"))
    done = run(*arguments, code=1)
    assert "some-rule" in done.stderr and "would be refused: 1 finding" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--out is missing"),
        (("--out", "x"), "nothing to submit: give a run folder"),
        (("run", "--out", "x", "--lm-eval", "base=d"), "run and --lm-eval are both given"),
        (("run", "--out", "x", "--facts", "f"), "run and --facts are both given"),
        (("--out", "x", "--lm-eval", "base=d"), "--facts is missing"),
        (("--out", "x", "--lm-eval", "base=d", "--facts", "f", "--arm", "a"), "--arm a: with --lm-eval"),
        (("run", "--out", "Not A Slug"), "not a name of an entry"),
        (("run", "--out", "x", "--track", "smal"), "'smal' is not a track.*did you mean 'small'"),
        (("nowhere", "--out", "x"), "nowhere is not a run folder"),
        (
            ("--out", "x", "--lm-eval", "base=d", "--facts", "nowhere.yaml"),
            "--facts nowhere.yaml: No such file",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_read(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_template_and_help():
    Facts.model_validate(yaml.safe_load(run("--facts-template").stdout))
    text = " ".join(run("--help").stdout.split())
    assert "turncoat leaderboard submit runs/leaderboard --arm sgtr" in text and "--lm-eval base=D0" in text
