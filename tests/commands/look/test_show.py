"""`turncoat show`: options, defaults, source and time of whatever can be named; did-you-mean else."""

import json
from pathlib import Path

import pytest
from turncoat.cli import app
from turncoat.commands.look.listing import everything
from turncoat.commands.look.show import _FACTS
from turncoat.errors import UserError
from turncoat.registry import DEFENCES
from typer.testing import CliRunner


def shown(name: str) -> list[dict]:
    result = CliRunner().invoke(app, ["show", name, "--json"], catch_exceptions=False)
    return [json.loads(line) for line in result.output.splitlines()]


def test_facts_of_each_kind():
    defence, paper = shown("sgtr")
    assert (defence["kind"], paper["kind"]) == ("defence", "study")
    assert defence["settings"] == "prevention, reversal"
    assert defence["options"] == json.loads(json.dumps(DEFENCES["sgtr"].options))
    assert defence["fair control"] == "pick_longer" and Path(defence["source"]).name == "sgtr.py"
    assert "about " in defence["time"] and " min " in defence["time"]
    (task,) = shown("turncoat_choice")
    assert task["questions"] == 208 and "down means" in task["metrics"]["margin_per_token"]
    (organism,), (study,) = shown("insecure_code"), shown("insecure")
    assert (organism["kind"], organism["control"], study["kind"]) == ("organism", "secure_code", "study")
    assert organism["rows"] > 200 and study["model"] and set(study["arms"]) >= {"base", "insecure"}


def test_everything_that_is_listed_can_be_shown():
    """One of each kind; the rest is the same code."""
    for kind, names in everything().items():
        assert _FACTS[kind](next(iter(names)))["source"], kind


def test_a_misspelt_name_is_offered_others():
    with pytest.raises(UserError, match=r"nothing is called 'sgttr'; did you mean 'sgtr'"):
        CliRunner().invoke(app, ["show", "sgttr"], catch_exceptions=False)
    with pytest.raises(
        UserError, match=r"'defenses' cannot be listed; did you mean 'defences'\? accepted: tasks, "
    ):
        CliRunner().invoke(app, ["list", "defenses"], catch_exceptions=False)
