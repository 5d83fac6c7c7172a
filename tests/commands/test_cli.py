"""The command line: each command shows an example, heavy imports come late. Mistakes: test_mistakes.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from turncoat import __version__, cli, paths

COMMANDS = typer.main.get_command(cli.app).commands
KINDS = ("tasks", "defences", "organisms", "judges", "personas", "models", "embedders", "studies")


def leaves(commands: dict[str, click.Command], before: str = "") -> dict[str, click.Command]:
    """Every command with its group's name before its own, groups as well."""
    found = {}
    for name, command in commands.items():
        found[before + name] = command
        found |= leaves(getattr(command, "commands", {}), f"{before}{name} ")
    return found


EVERY = leaves(COMMANDS)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_help_shows_an_example(name):
    text = EVERY[name].get_help(click.Context(EVERY[name], info_name=f"turncoat {name}"))
    assert re.search(r"^\s*Example: \S+", text, re.MULTILINE)
    called = "turncoat leaderboard " if name in ("submit", "validate", "verify") else "turncoat "
    assert name.endswith("-path") or f"{called}{name}" in " ".join(text.split("Example:", 1)[1].split())


def test_help_version_list_and_tasks_path(turncoat):
    outcome = turncoat("--help")
    assert outcome.code == 0 and "turncoat run demo" in outcome.out
    listed = {line.split()[0] for line in outcome.lines if re.match(r"  [a-z]", line)}
    panels = [line[:-1] for line in outcome.lines if re.fullmatch(r"[A-Z][a-z]+:", line)]
    assert panels == ["Options", *cli._PANELS] and "..." not in outcome.out.partition("Options:")[2]
    assert "Make the report of a run again from its rows" in outcome.out, "whole, not cut"
    shown = {name for name, command in COMMANDS.items() if not command.hidden}
    assert shown <= listed
    older_or_ours = {"submit", "validate", "verify", "dev"}
    assert set(COMMANDS) - shown == older_or_ours
    outcome = turncoat("--version")
    assert (outcome.code, outcome.out) == (0, f"turncoat {__version__}")
    outcome = turncoat("list")
    assert outcome.code == 0
    assert [line.strip() for line in outcome.lines if line.strip() in KINDS] == list(KINDS)
    names = "turncoat_choice", "sgtr", "pick_longer", "insecure_code", "embedded", "evil", "smollm2-135m"
    for name in (*names, "demo"):
        assert re.search(rf"^{re.escape(name)}\s", "\n".join(outcome.lines), re.MULTILINE), name
    outcome = turncoat("tasks-path")
    assert outcome.code == 0 and sorted(Path(outcome.lines[0]).rglob("turncoat_choice.yaml"))
    for name in ("submit", "validate", "verify"):
        assert COMMANDS[name].callback.__wrapped__ is EVERY[f"leaderboard {name}"].callback.__wrapped__


def test_a_shell_completes_commands():
    program = "import sys; sys.argv = ['turncoat']; from turncoat.cli import main; main()"
    asked = {"_TURNCOAT_COMPLETE": "complete_bash", "COMP_WORDS": "turncoat ru", "COMP_CWORD": "1"}
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent), **asked}
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, env=environment).stdout == "run\n"


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_one_kind_has_only_that(turncoat, kind):
    outcome = turncoat("list", kind)
    assert outcome.code == 0 and outcome.lines[0].strip() == kind and len(outcome.lines) > 1
    assert not {line.strip() for line in outcome.lines[1:]} & set(KINDS)


def test_a_users_own_defences_are_listed(turncoat, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from turncoat.registry import defence\n@defence('mine_for_test', settings=('reversal',), "
        "summary='made for a test')\ndef mine(context): return []\n"
    )
    outcome = turncoat("list", "defences", "--include-path", str(tmp_path))
    assert "mine_for_test made for a test (reversal)" in outcome.out


def test_brackets_in_a_message_are_text_not_markup(turncoat):
    assert "'[red]x[/red]' is not a registry model" in turncoat("model-path", "[red]x[/red]").err


def test_an_interruption_says_that_work_is_kept_and_another_error_is_not_hidden(turncoat, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("turncoat.commands.look.listing.everything", interrupt)
    outcome = turncoat("list")
    assert outcome.code == 130 and "run the same command to go on" in outcome.err

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("turncoat.commands.look.listing.everything", fail)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        turncoat("list")


LIGHT = dict.fromkeys(("--help", "list", "list tasks", "show smollm2-135m"), 0) | dict.fromkeys(
    (
        "run nowhere.yaml", "run demo --include-path nowhere", "report nowhere", "tables nowhere --out x",
        "pack nowhere --out x", "judge nowhere.jsonl", "rates nowhere.jsonl",
        "compare nowhere.jsonl nowhere.jsonl", "power nowhere.yaml", "persona show nowhere",
        "persona shift nowhere --arm x --control y", "leaderboard build nowhere",
        "leaderboard validate nowhere",
    ), 2
)  # fmt: skip


def python(program: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, with our package and no wait policy but a given one."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": str(paths.PACKAGE.parent), **more}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def test_help_lists_and_a_missing_file_import_nothing_heavy(tmp_path):
    program = (
        "import sys\n"
        "from turncoat.cli import main\n"
        "heavy = 'torch transformers peft trl datasets lm_eval pandas scipy matplotlib statsmodels'.split()\n"
        f"for command, code in {LIGHT}.items():\n"
        "    sys.argv = ['turncoat', *command.split()]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as stop:\n"
        "        assert (stop.code or 0) == code, (command, stop.code)\n"
        "    assert not {*heavy} & {*sys.modules}, (command, {*heavy} & {*sys.modules})\n"
    )
    done = python(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nowhere") == sum(LIGHT.values()) / 2


def test_another_process_says_what_is_wrong_and_keeps_a_chosen_wait_policy(tmp_path):
    program = (
        "import os, sys\n"
        "from turncoat.cli import main\n"
        "print(os.environ['OMP_WAIT_POLICY'])\n"
        "sys.argv = ['turncoat', 'tasks-path', '--no-such-option']\n"
        "main()\n"
    )
    done = python(program, tmp_path)
    assert (done.returncode, done.stdout) == (2, "PASSIVE\n"), "waiting threads must not spin"
    assert "No such option" in done.stderr and "Traceback" not in done.stderr
    assert python(program, tmp_path, OMP_WAIT_POLICY="ACTIVE").stdout == "ACTIVE\n"
