"""`turncoat run`: its exit code."""

from types import SimpleNamespace

import pytest
import turncoat.report.build
import turncoat.report.write
import turncoat.study.run
from turncoat.cli import app
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("failed", "judging_failed", "code"), [([], False, 0), ([], True, 1), (["insecure, seed 0"], False, 1)]
)
def test_a_run_whose_judge_or_training_failed_ends_with_1(monkeypatch, failed, judging_failed, code):
    content = SimpleNamespace(judging_failed=judging_failed)
    monkeypatch.setattr(turncoat.study.run, "run_study", lambda *_, **__: failed)
    monkeypatch.setattr(turncoat.report.build, "run_content", lambda _: content)
    monkeypatch.setattr(turncoat.report.write, "report_run", lambda *_: {})
    result = CliRunner().invoke(app, ["run", "demo", "--out", "a run"])
    assert result.exit_code == code
    assert ("turncoat judge 'a run' --judge embedded" in " ".join(result.output.split())) == judging_failed
