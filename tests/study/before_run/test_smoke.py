"""Smoke runs: cut down, marked in rows and report, and refused wherever a study's rows are wanted."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.analysis.planning_records import read_pilot
from turncoat.errors import UserError
from turncoat.report.build import run_content
from turncoat.report.run_rows import find_runs
from turncoat.report.write import report_run
from turncoat.study.before_run.out_folder import check_out
from turncoat.study.before_run.smoke import smoke_study
from turncoat.study.config import load_study
from turncoat.study.run import run_study
from turncoat.testing import save_tiny


def test_a_smoke_run_is_short_and_counts_as_nothing(tmp_path, monkeypatch, plain_lm_eval):
    monkeypatch.setattr("turncoat.persona.extract.TOKENS", 4)
    monkeypatch.setattr("turncoat.persona.extract.ROLLOUTS", 1)
    model = save_tiny(tmp_path / "model", layers=2)
    study = load_study(write_study(tmp_path / "tiny.yaml", model), {"training_seeds": [3, 4]})
    smoke, out = smoke_study(study, 2), tmp_path / "runs" / "tiny-smoke"
    assert [use.limit for use in smoke.tasks] == [2, 2, 2] and smoke.training.rows == 8
    smoke = smoke.model_copy(update={"arms": smoke.arms[:2]})
    run_study(smoke, out, console=Console(file=io.StringIO()))
    rows = samples(out / "rows")
    assert {place.split("/")[1] for place in rows} == {"base", "seed-3"}
    assert all(len(content.splitlines()) == 2 for content in rows.values())
    for results in (out / "rows").rglob("results_*.json"):
        assert json.loads(results.read_text())["config"]["turncoat"]["arm"]["smoke"] == 2
    files = report_run(out, Console(file=io.StringIO()))
    for name in ("report.md", "report.html"):
        assert "SMOKE RUN" in (text := files[name].read_text()) and "none of its numbers is the study" in text
    assert run_content(out).contrasts.empty
    assert "its contrasts are left out" in text and "add `contrasts:`" not in text
    for refused in (read_pilot, find_runs):
        with pytest.raises(UserError, match=r"a smoke run \(`turncoat run --limit 2`\), whose rows do not"):
            refused(out)
    with pytest.raises(UserError, match="study: 'tiny-smoke' there, 'tiny' here"):
        check_out(out, study)


def test_numbers_of_a_study_that_are_smaller_stay(tmp_path):
    study = load_study(write_study(tmp_path / "tiny.yaml", Path("m")))
    smoke = smoke_study(study, 40)
    assert [use.limit for use in smoke.tasks] == [3, 2, 2] and smoke.training.rows == study.training.rows
