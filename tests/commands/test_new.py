"""`turncoat new`: every template is a plug-in that runs and passes its own test as it is."""

import os
import subprocess
import sys

import pytest
from turncoat.commands.new import Kind, write_template
from turncoat.errors import UserError


@pytest.mark.slow
def test_every_template_passes_its_own_test_which_runs_its_study(tmp_path):
    for kind in Kind:
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


def test_nothing_is_overwritten(tmp_path):
    with pytest.raises(UserError, match="is there; name a folder that is not"):
        write_template(Kind.TASK, "mine", tmp_path)
