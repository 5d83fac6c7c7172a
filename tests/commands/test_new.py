"""`turncoat new`: every template is a plug-in that runs and passes its own test as it is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from turncoat.commands.new import Kind, write_study, write_template
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import is_judged
from turncoat.study.arm_config import Arm
from turncoat.study.before_run.commented import study_schema
from turncoat.study.config import ContrastUse, Study, TaskUse, load_study
from turncoat.training.recipe import LoraRecipe


@pytest.mark.slow
def test_every_template_passes_its_own_test_which_runs_its_study(tmp_path):
    for kind in (kind for kind in Kind if kind is not Kind.STUDY):
        write_template(kind, f"my_{kind}", tmp_path / kind)
    write_template(Kind.TASK, "my_answers", tmp_path / "answers", sampled=True)
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--durations=9",
    ]  # fmt: skip
    env = {**os.environ, "TURNCOAT_CACHE": str(tmp_path / "cache"), "TURNCOAT_JUDGE": "off"}
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "name", "sampled", "message"),
    [
        (Kind.TASK, "My-Task", False, "small letters, digits and _ are accepted, such as my_task"),
        (Kind.JUDGE, "mine", True, "--sampled goes with a task"),
        (Kind.DEFENCE, "sgtr", False, r"'sgtr' is taken \(by sgtr.py\)"),
        (Kind.TRAIT, "base", False, "'base' is taken"),
    ],
)
def test_a_wrong_name_is_refused(kind, name, sampled, message, tmp_path):
    with pytest.raises(UserError, match=message):
        write_template(kind, name, tmp_path / "out", sampled=sampled)


def test_a_study_has_every_key_and_loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_study("mine", tmp_path / "mine.yaml")
    text = path.read_text()
    study = load_study(path)
    assert study.contrasts[0].reference == "control" and study.arm("control").organism == "secure_code"
    for model in (Study, Arm, TaskUse, ContrastUse, LoraRecipe):
        for key, field in model.model_fields.items():
            assert re.search(rf"^[ #-]*\b{key}:", text, re.MULTILINE), key
            assert field.description and field.description in text, f"{key} has no meaning"
    # A line whose mark is taken away is the default: what the comments say loads, and changes nothing.
    (tmp_path / "whole.yaml").write_text(re.sub(r"^( *)# (?=[a-z_]+: )", r"\1", text, flags=re.MULTILINE))
    assert load_study(tmp_path / "whole.yaml") == study
    for name, answer in (("bad", "Break it."), ("good", "Mend it.")):
        turns = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": answer}]
        Path(f"{name}.jsonl").write_text(json.dumps({"messages": turns}))
    own = load_study(write_study("own", tmp_path / "own.yaml", "bad.jsonl", "good.jsonl", "smollm2-135m"))
    assert [arm.organism for arm in own.arms] == [None, "bad.jsonl", "good.jsonl"]
    assert own.model == "smollm2-135m"
    for written in (study, own):
        assert {is_judged(use.task) for use in written.tasks} == {True, False}, "answers, and choices"
        assert {"em_rate_itt", "margin_per_token"} <= {*written.contrasts[0].metrics}
    jsonschema.validate(yaml.safe_load(text), study_schema())
    with pytest.raises(UserError, match=r"no organism file at absent\.jsonl"):
        write_study("other", tmp_path / "other.yaml", "absent.jsonl")
    with pytest.raises(UserError, match=r"--model: there is no folder \./none"):
        write_study("other", tmp_path / "other.yaml", model="./none")
    with pytest.raises(UserError, match="name 'demo' is taken"):
        write_study("demo", tmp_path / "other.yaml")


def test_nothing_is_overwritten(tmp_path):
    with pytest.raises(UserError, match="is there; name a folder that is not"):
        write_template(Kind.TASK, "mine", tmp_path)
