"""The workflow runs commands that exist, and a submission cannot change anything but itself.

Rights, secrets and pinned actions of all workflows: `tests/test_workflows.py`.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from click.testing import Result
from turncoat.cli import app
from turncoat.errors import UserError
from turncoat.leaderboard.validation.pull_request import Change, changed_entries, problems_of_submission
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "leaderboard.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
TRIGGERS = WORKFLOW[True]  # YAML 1.1 reads a bare `on` as true
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
RUNS = [line.strip() for step in STEPS for line in step.get("run", "").splitlines() if line.strip()]


def test_nothing_from_outside_stands_in_a_shell() -> None:
    assert set(WORKFLOW["jobs"]) == {"entries", "board"} and "workflow_run" not in TRIGGERS
    assert all(("run" in step) != ("uses" in step) for step in STEPS)
    assert TRIGGERS["pull_request"]["paths"] == ["results/submissions/*/**"]
    assert "labeled" in TRIGGERS["pull_request"]["types"] and TRIGGERS["push"]["branches"] == ["main"]
    assert RUNS and not [line for line in RUNS if "${{" in line]
    for step in STEPS:
        for name in re.findall(r"\$([A-Z_]+)", step.get("run", "")):
            assert name in step["env"] and f'"${name}"' in step["run"]
    [first] = [
        step for step in WORKFLOW["jobs"]["entries"]["steps"] if step.get("with", {}).get("path") == "harness"
    ]
    assert first["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    commands = [
        line for step in WORKFLOW["jobs"]["entries"]["steps"] for line in step.get("run", "").splitlines()
    ]
    assert not [line for line in commands if re.search(r"(?<!harness/)\.venv/bin", line)]


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_authors_come_from_the_host_and_a_pull_request_brings_entries_as_data_alone(tmp_path: Path) -> None:
    steps = WORKFLOW["jobs"]["entries"]["steps"]
    (check,) = [step for step in steps if "leaderboard validate" in step.get("run", "")]
    assert check["env"]["AUTHOR"] == "${{ github.event.pull_request.user.id }}"
    assert '--author "$AUTHOR"' in check["run"] and "submitted" not in check["run"]
    (only,) = [step for step in steps if "--submission" in step.get("run", "")]
    assert "author_association" in only["if"] and "||" in only["if"]
    assert WORKFLOW["jobs"]["board"]["if"] == "github.event_name == 'push'"
    (bring,) = [step["run"] for step in steps if "FETCH_HEAD" in step.get("run", "")]

    entries = "results/submissions"
    written = ("code.py", "results/verifications/canaries.json", f"{entries}/old/kept")
    submitted, harness = tmp_path / "submitted", tmp_path / "harness"
    for name in (*written, f"{entries}/old/gone"):
        write(submitted / name, "base")
    git(submitted, "init", "--quiet", "--initial-branch=main")
    git(submitted, "add", ".")
    git(submitted, "commit", "--quiet", "--message=base")
    git(tmp_path, "clone", "--quiet", "submitted", "harness")
    for name in (*written, f"{entries}/new/kept"):
        write(submitted / name, "theirs")
    (submitted / entries / "old/gone").unlink()
    git(submitted, "add", ".")
    git(submitted, "commit", "--quiet", "--message=theirs")
    listed = f"#!/bin/sh\nprintf '{entries}/new\\n{entries}/old\\n'\n"
    write(harness / ".venv/bin/turncoat", listed, 0o755)
    environment = {"BASE": "main", "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-e", "-c", bring], cwd=tmp_path, env=environment, check=True)
    texts = [(harness / name).read_text() for name in (*written, f"{entries}/new/kept")]
    assert texts == ["base", "base", "theirs", "theirs"] and not (harness / entries / "old/gone").exists()


def test_commands_options_and_make_targets_exist() -> None:
    found = 0
    for line in RUNS:
        words = shlex.split(line)
        place = next((n for n, word in enumerate(words) if word.endswith(".venv/bin/turncoat")), None)
        if place is None:
            continue
        found += 1
        command: click.Command = typer.main.get_command(app)
        rest = words[place + 1 :]
        while isinstance(command, click.Group) or hasattr(command, "commands"):
            assert rest and rest[0] in command.commands, f"{line}: there is no such command"
            command = command.commands[rest.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line
    assert found == 6
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ready = re.search(r"^READY := (\S+)$", makefile, re.MULTILINE)
    targets = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE), *([ready[1]] if ready else [])}
    made = [words[-1] for line in RUNS if (words := shlex.split(line))[0] == "make"]
    assert made and set(made) <= targets


NEW = Change("A", "results/submissions/mine/submission.json")


def test_a_submission_adds_one_folder() -> None:
    rows = Change("A", "results/submissions/mine/rows/base/base/turncoat_em.jsonl.gz")
    assert problems_of_submission([NEW, rows]) == []
    assert changed_entries([NEW, rows]) == ["results/submissions/mine"]
    assert "no entry" in problems_of_submission([])[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change("M", "benchmark/turncoat/leaderboard/validation/validate.py"), "outside"),
        (Change("A", "results/leaderboard.md"), "outside"),
        (Change("A", "results/verifications/mine.json"), "outside"),
        (Change("M", "results/verifications/maintainers.yaml"), "outside"),
        (Change("A", "results/submissions/README.md"), "outside"),
        (Change("T", "results/submissions"), "outside"),
        (Change("A", "results/submissions/mine"), "outside"),
        (Change("A", "results/submissions/../../x/y"), "outside"),
        (Change("A", "results/submissions/mine\n/evil"), "outside"),
        (Change("A", "results/submissions/$(id)/submission.json"), "outside"),
        (Change("A", "results/submissions/other/submission.json"), "2 entries"),
        (Change("M", "results/submissions/mine/rows/base/base/turncoat_em.jsonl.gz"), "supersedes"),
        (Change("D", "results/submissions/rival/submission.json"), "supersedes"),
    ],
)
def test_a_submission_does_nothing_else(change: Change, said: str) -> None:
    problems = problems_of_submission([NEW, change])
    assert any(said in problem for problem in problems)
    assert all("\n" not in problem and problem.isascii() for problem in problems)


def pull_request(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dev", "pull-request", *arguments])


def test_the_changed_entries_come_from_git(tmp_path: Path) -> None:
    submissions = tmp_path / "results" / "submissions"
    git(tmp_path, "init", "--initial-branch=main")
    write(submissions / "old/submission.json", "1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=one")
    git(tmp_path, "checkout", "-b", "mine")
    write(submissions / "new/submission.json", "2")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=two")
    here = ["--repo", str(tmp_path)]
    done = pull_request(*here, "--base", "main", "--submission")
    assert (done.exit_code, done.stdout) == (0, "results/submissions/new\n")
    write(submissions / "old/submission.json", "3")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=three")
    done = pull_request(*here, "--base", "main")
    assert (done.exit_code, done.stdout) == (0, "results/submissions/new\nresults/submissions/old\n")
    done = pull_request(*here, "--base", "main", "--submission")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "results/submissions/old/submission.json" in done.stderr
    done = pull_request(*here, "--base", "nowhere")
    assert isinstance(done.exception, UserError) and "nowhere" in str(done.exception)
