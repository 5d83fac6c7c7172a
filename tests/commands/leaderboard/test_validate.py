"""`turncoat validate`, as a shell calls it."""

import json
from pathlib import Path

import pytest
from leaderboard.entry_files import edit, put
from leaderboard.made_entry import make_entry
from turncoat import cli
from turncoat.leaderboard.reading.findings import Finding
from turncoat.leaderboard.verification import stored_answers

SHARED = dict.fromkeys(("base", "organism", "control"), "none")


@pytest.fixture
def submissions(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    make_entry(tmp_path, slug="none", setting="none")
    make_entry(tmp_path, slug="sgtr", shared=SHARED)
    (tmp_path / "README.md").write_text("How to submit.\n")
    return tmp_path


def validate(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["turncoat", "validate", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_good_entries_from_a_shells_star_and_from_inside_and_a_bad_one(submissions, monkeypatch, capsys):
    assert validate(monkeypatch, *sorted(submissions.iterdir())) == 0
    assert capsys.readouterr().err.count(": accepted") == 2
    monkeypatch.chdir(submissions / "sgtr")
    assert validate(monkeypatch, ".") == 0 and "accepted" in capsys.readouterr().err
    edit(submissions / "sgtr", put(em_rate=0.0))
    assert validate(monkeypatch, submissions / "none", submissions / "sgtr") == 1
    assert "sgtr: refused, 1 finding" in capsys.readouterr().err
    assert validate(monkeypatch, submissions / "sgtr", "--json") == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["entry"], json.loads(line)["rule"]) == ("sgtr", "totals")


def test_a_successor_has_the_same_author_as_what_it_replaces(submissions, monkeypatch, capsys, tmp_path):
    edit(submissions / "sgtr", put(supersedes={"entry": "none", "reason": "mine"}))
    for folder in ("submissions", "verifications"):
        (tmp_path / folder).mkdir()
    for slug in ("none", "sgtr"):
        (submissions / slug).rename(tmp_path / "submissions" / slug)
    (tmp_path / "verifications" / "maintainers.yaml").write_text("authors: {none: 101}\n")
    entry = tmp_path / "submissions" / "sgtr"
    assert validate(monkeypatch, entry, "--author", "101") == 0
    assert "authors in maintainers.yaml: sgtr: 101" in " ".join(capsys.readouterr().err.split())
    assert validate(monkeypatch, entry, "--author", "202") == 1
    assert "supersedes: submission.json, supersedes.entry" in capsys.readouterr().err


def test_a_run_is_kept_and_the_command_that_makes_its_entry_is_named(tmp_path, monkeypatch, capsys):
    run = tmp_path / "demo"
    (run / "rows" / "base" / "base").mkdir(parents=True)
    for name in ("run.json", "study.yaml", "rows/base/base/turncoat_em.jsonl"):
        (run / name).write_text("{}")
    assert validate(monkeypatch, run) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "demo is a run" in told and "1 finding" in told and "delete" not in told
    assert validate(monkeypatch, tmp_path) == 1
    assert "name the folder that holds submission.json" in " ".join(capsys.readouterr().err.split())
    assert "`turncoat leaderboard submit" in told and "--out NAME` makes the entry" in told


@pytest.mark.parametrize("name", ["README.md", "nowhere"])
def test_what_is_no_entry_is_named(submissions, monkeypatch, capsys, name):
    assert validate(monkeypatch, submissions / name) != 0
    assert f"{name} is not a folder; an entry is one with submission.json" in " ".join(
        capsys.readouterr().err.split()
    )


def test_answers_are_judged_and_read_again_on_request_and_what_was_not_checked_is_named(
    submissions, monkeypatch, capsys
):
    asked = []
    wrong = Finding("judge-score", "rows", value="2", allowed="1", fix="judge again")
    monkeypatch.setattr(stored_answers, "judge_all", lambda entry: [wrong])
    monkeypatch.setattr(stored_answers, "read_again", lambda entry, count: asked.append(count) or [])
    assert validate(monkeypatch, submissions / "sgtr") == 0 and asked == []
    assert "needs the tokenizer of 'made-1m'" in " ".join(capsys.readouterr().err.split())
    assert validate(monkeypatch, submissions / "sgtr", "--reread", 3) == 0 and asked == [3]
    assert validate(monkeypatch, submissions / "sgtr", "--rejudge") == 1
    assert "judge-score" in capsys.readouterr().err
