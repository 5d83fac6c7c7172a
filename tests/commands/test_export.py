"""`turncoat export`: what it passes on, what it prints, and what it refuses before anything is trained."""

import argparse
import importlib
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer
from lm_eval._cli.utils import MergeDictAction
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

    monkeypatch.setattr(importlib.import_module("turncoat.study.arms.spec"), "find_arm", find_arm)
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


@pytest.mark.parametrize("name", ["plain", "a blank", "a, comma=1", "it's $HOME; `x`", "ünï"])
def test_the_printed_command_runs_when_it_is_pasted(asked, tiny_base, tmp_path, name):
    out = tmp_path / name / "out"
    result = run("demo/sgtr/0", "--out", out)
    assert result.exit_code == 0, result.output
    (printed,) = [line for line in result.stdout.splitlines() if line.startswith("lm_eval ")]
    in_readme = (out / "README.md").read_text().split("\n    lm_eval ")[1].partition("\n\n")[0]
    for command in (printed, f"lm_eval {in_readme}"):
        # lm_eval's own command line, up to where it would load the model.
        script = f"""
turncoat() {{ echo tasks; }}
lm_eval() {{ "{sys.executable}" -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@"; }}
{command}
"""
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument("--model_args", nargs="+", action=MergeDictAction)
        given, others = parser.parse_known_args(json.loads(done.stdout))
        assert given.model_args == {"pretrained": tiny_base.path, "peft": str(out), "dtype": "float32"}
        assert others[:4] == ["--model", "hf", "--include_path", "tasks"]


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
