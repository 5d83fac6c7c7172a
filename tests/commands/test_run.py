"""`turncoat run`: its exit code."""

from types import SimpleNamespace

import pytest
import turncoat.report.build
import turncoat.report.write
import turncoat.study.run
from turncoat.cli import app
from turncoat.paths import studies_dir
from turncoat.study.config import load_study
from turncoat.study.problems import Problem
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def no_problems(monkeypatch):
    monkeypatch.setattr("turncoat.study.problems.find_problems", lambda *_, **__: [])


@pytest.mark.parametrize(
    ("failed", "lost", "code"),
    [([], 0, 0), ([], 1, 0), ([], 2, 0), ([], 3, 1), (["insecure, seed 0"], 0, 1)],
)
def test_a_run_whose_training_or_most_of_its_judging_failed_ends_with_1(monkeypatch, failed, lost, code):
    content = SimpleNamespace(lost_verdicts=lost, answers=[0] * 4)
    monkeypatch.setattr(turncoat.study.run, "run_study", lambda *_, **__: failed)
    monkeypatch.setattr(turncoat.report.build, "run_content", lambda _: content)
    monkeypatch.setattr(turncoat.report.write, "report_run", lambda *_: {})
    result = CliRunner().invoke(app, ["run", "demo", "--out", "a run"])
    assert result.exit_code == code
    shown = " ".join(result.output.split())
    assert (f"{lost} of 4 answers; the same command asks for these verdicts" in shown) == bool(lost)


def test_a_dry_run_makes_nothing_and_errors_stop_a_run_before_its_model(monkeypatch, tmp_path):
    study = load_study(studies_dir() / "demo.yaml")
    seen = SimpleNamespace(lines=lambda: ["insecure/0: 3 min"])
    monkeypatch.setattr(
        "turncoat.study.units.outlook.outlook", lambda of, *_, **__: seen if of == study else None
    )
    monkeypatch.setattr(turncoat.study.run, "run_study", None)
    arguments = ["run", "demo", "--dry-run", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "insecure/0: 3 min" in result.stdout and not list(tmp_path.iterdir())
    problems = [Problem(level, "demo.yaml", 3, "model", "x", f"is {level}") for level in ("error", "warning")]
    monkeypatch.setattr("turncoat.study.problems.find_problems", lambda *_, **__: problems)
    for more in ((), ("--dry-run",)):
        result = CliRunner().invoke(app, ["run", "demo", *more])
        assert str(result.exception) == "demo.yaml, line 3, model: is error"
        assert "warning: demo.yaml, line 3, model: is warning" in result.output


@pytest.mark.parametrize(
    ("model", "name"), [("smollm2-135m", "demo-smollm2-135m"), ("Qwen/Q-1.5B", "demo-Qwen-Q-1.5B")]
)
def test_another_base_model_has_a_folder_of_its_own(monkeypatch, model, name):
    seen = []
    monkeypatch.setattr(turncoat.study.run, "run_study", lambda study, folder, **_: seen.append(folder) or [])
    monkeypatch.setattr(
        turncoat.report.build, "run_content", lambda _: SimpleNamespace(lost_verdicts=0, answers=[])
    )
    monkeypatch.setattr(turncoat.report.write, "report_run", lambda *_: {})
    assert CliRunner().invoke(app, ["run", "demo", "--model", model]).exit_code == 0
    assert [folder.as_posix() for folder in seen] == [f"runs/{name}"]
