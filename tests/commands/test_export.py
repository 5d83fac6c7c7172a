"""`turncoat export`: what it passes on, what it prints, and what it refuses before anything is trained."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import pytest
import typer
from turncoat.commands.export import FORMS, export
from turncoat.errors import UserError
from typer.testing import CliRunner

app = typer.Typer()
app.command("export")(export)


@pytest.fixture
def asked(tiny_base, tiny_adapter, monkeypatch):
    """The calls of `find_arm`; it finds an arm with a random adapter."""
    calls = []

    def find_arm(text, *, progress=None, log=None, include=()):
        calls.append((text, include))
        progress(1, 2, 0.5)
        return SimpleNamespace(
            base=tiny_base, adapter=tiny_adapter, intervention=None, name="x-seed0", facts={"seed": 0}
        )

    monkeypatch.setattr(importlib.import_module("turncoat.study.arm_spec"), "find_arm", find_arm)
    return calls


def run(*arguments: str):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_an_arm_is_found_and_written(asked, tiny_base, tmp_path):
    result = run("demo/sgtr/0", "--out", tmp_path / "out", "--include-path", tmp_path)
    assert result.exit_code == 0, result.output
    assert asked == [("demo/sgtr/0", (tmp_path,))]
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert json.loads((tmp_path / "out" / "export.json").read_text())["arm"] == {"name": "x-seed0", "seed": 0}
    (command,) = [line for line in result.stdout.splitlines() if line.startswith("lm_eval ")]
    assert f"--model_args pretrained={tiny_base.path},peft={tmp_path / 'out'},dtype=float32 " in command


def test_mistakes_are_refused_before_anything_is_trained(asked, tmp_path):
    for arguments, said in [
        (
            ("a/b/0", "--to", "gguf", "--out", tmp_path / "out"),
            "--to gguf: not known; accepted: peft, merged, steered",
        ),
        (("a/b/0", "--out", tmp_path), "is there already"),
    ]:
        result = run(*arguments)
        assert isinstance(result.exception, UserError) and said in str(result.exception)
    assert asked == [] and importlib.import_module("turncoat.training.export.write").FORMS == FORMS
