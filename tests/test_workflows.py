"""Workflows, hooks and the lock: pinned, with no more rights than they need, and in step with the
Makefile."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
LOCK = (ROOT / "constraints.lock").read_text("utf-8")


def _name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def _steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values() for step in job["steps"]]


def test_every_action_is_pinned_by_one_commit_with_its_version() -> None:
    used = [line for path in WORKFLOWS for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    pins = [
        re.fullmatch(r"\s*(?:- )?uses: (actions/[a-z-]+)@([0-9a-f]{40})  # (v\d+\.\d+\.\d+)", line)
        for line in used
    ]

    assert used and all(pins), [line for line, pin in zip(used, pins, strict=True) if not pin]
    assert len({pin.groups() for pin in pins if pin}) == len({pin[1] for pin in pins if pin})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_read_and_nothing_else(path: Path) -> None:
    text = path.read_text("utf-8")
    workflow = yaml.safe_load(text)

    assert workflow["permissions"] == {"contents": "read"}
    assert all(
        "permissions" not in job and job["timeout-minutes"] <= 120 for job in workflow["jobs"].values()
    )
    assert "secrets." not in text and "pull_request_target" not in workflow[True]
    checkouts = [step for step in _steps(path) if step.get("uses", "").startswith("actions/checkout")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_tests_run_what_a_developer_runs_on_the_oldest_and_a_new_python() -> None:
    path = ROOT / ".github" / "workflows" / "test.yml"
    asked = [word for step in _steps(path) for word in step.get("run", "").split()[1:]]

    assert {"locked", "lint", "types", "contract", "test"} <= set(asked) <= TARGETS
    pythons = yaml.safe_load(path.read_text("utf-8"))["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f">={pythons[0]}" == _project()["requires-python"] and pythons[1:] == ["3.13"]


def test_hooks_run_make_targets_and_fetch_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]

    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)
    assert (
        {hook["entry"].removeprefix("make ") for hook in hooks}
        == {"lint", "types", "contract", "size"}
        <= TARGETS
    )


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_lock_has_the_versions_of_the_constraints_with_hashes_and_no_torch() -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCK) if not entry.startswith("#")]
    locked = {_name(entry): entry.split("==")[1].split()[0] for entry in entries}
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    wanted = {_name(line): line.split("==")[1] for line in lines}

    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert not re.search(r"https?:|index|@ ", LOCK), "the lock names no registry"
    assert {name: version for name, version in locked.items() if wanted.get(name, version) != version} == {}
    required = [*_project()["dependencies"], *_project()["optional-dependencies"]["dev"]]
    assert {_name(requirement) for requirement in required} - set(locked) == {"torch"}, "run `make lock`"


def test_the_demo_ends_with_the_line_that_puts_the_command_on_the_path():
    # Inside another make its messages about folders would come last.
    make = ["make", "--dry-run", "--no-print-directory", "demo"]
    said = subprocess.run(make, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    assert said[-1] == f"echo 'next, so that your shell finds turncoat:  source {ROOT}/.venv/bin/activate'"
