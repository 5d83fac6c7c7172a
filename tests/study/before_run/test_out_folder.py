"""Run folders: writable, and free or the study's own, before anything is made; no other study's rows go."""

import io
import os
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.errors import UserError
from turncoat.study.before_run.out_folder import check_out, claim, study_text
from turncoat.study.config import Study, load_study
from turncoat.study.run import run_study
from turncoat.testing import save_tiny


@pytest.fixture
def study(tmp_path) -> Study:
    return load_study(write_study(tmp_path / "tiny.yaml", Path("no-such-model")))


def made(study: Study, out: Path) -> Path:
    """A finished run with one row of each arm."""
    for arm in study.arms:
        rows = out / "rows" / arm.name / "seed-0" / "turncoat_choice"
        rows.mkdir(parents=True)
        (rows / "samples_turncoat_choice_x.jsonl").write_text("{}\n")
    (out / "study.yaml").write_text(study_text(study))
    (out / "run.json").write_text("{}")
    return out


def changed(before: Study, **changes) -> Study:
    return Study.model_validate({**before.model_dump(), **changes})


def test_free_and_own_folders_do(study, tmp_path):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert check_out(tmp_path / "empty", study) == check_out(tmp_path / "a" / "new", study) == ""
    assert sorted(tmp_path.rglob("*")) == before, "a check leaves nothing behind"
    out = made(study, tmp_path / "run")
    more = {"arms": [*study.arms, {"name": "again", "defence": "sgtr"}], "training_seeds": [0, 1]}
    words = {"title": "Other words", "contrasts": (), "batch_size": 2, "pilot_seeds": [0]}
    assert check_out(out, changed(study, **more, **words)) == ""
    assert "seeds 0" in check_out(out, changed(study, training_seeds=[1])), "not silently"
    claim(tmp_path / "killed", study)
    assert check_out(tmp_path / "killed", study) == "", "a run that was killed goes on"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"study": "other"}, r"study: 'tiny' there, 'other' here"),
        ({"model": "another"}, r"model: 'no-such-model' there, 'another' here"),
        ({"arms": [{"name": "base"}], "contrasts": ()}, r"insecure, secure, sgtr, pick_longer: not in this"),
        ({"training": {"rows": 9}}, r"training\.rows: 8 there, 9 here"),
        ({"tasks": [{"task": "turncoat_choice", "limit": 9}], "contrasts": ()},
         r"turncoat_choice\.limit: 3 there, 9 here; tasks turncoat_persona, turncoat_em: not in this"),
        ({"judge": "embedded"}, r"judge: 'off' there, 'embedded' here"),
    ],
)  # fmt: skip
def test_rows_that_would_be_lost_are_named_and_kept(study, tmp_path, changes, said):
    out = made(study, tmp_path / "run")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=said) as error:
        check_out(out, changed(study, **changes))
    assert f"--out {out}" in str(error.value) and "--replace" in str(error.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert check_out(out, changed(study, **changes), replace=True) == ""


def test_a_folder_with_something_else_and_a_place_that_cannot_be_written(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").write_text("# my comments\n" + study_text(study))
    with pytest.raises(UserError, match=r"holds study\.yaml and is not a run of this study"):
        check_out(tmp_path / "mine", study, replace=True)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / ("n" * 300)):
        with pytest.raises(UserError, match=r"--out .*cannot be written to \("):
            check_out(out, study)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(UserError, match=r"cannot be written to \(Permission denied\)"):
            check_out(tmp_path / "locked" / "run", study)


def test_a_second_study_does_not_touch_the_rows_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr("turncoat.persona.extract.TOKENS", 4)
    monkeypatch.setattr("turncoat.persona.extract.ROLLOUTS", 1)
    path = write_study(
        tmp_path / "s.yaml", save_tiny(tmp_path / "m", layers=2), ("base",), ("turncoat_choice",)
    )
    quiet = Console(file=io.StringIO())
    run_study(load_study(path), tmp_path / "out", console=quiet)
    rows = samples(tmp_path / "out" / "rows")
    assert rows.keys() == {"base/base/turncoat_choice"}
    content = yaml.safe_load(path.read_text())
    shutil.rmtree(tmp_path / "m")  # found before a model is loaded
    with pytest.raises(UserError, match="study: 'tiny' there, 'second' here"):
        run_study(Study.model_validate({**content, "study": "second"}), tmp_path / "out", console=quiet)
    assert samples(tmp_path / "out" / "rows") == rows
