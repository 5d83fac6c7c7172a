"""`turncoat run`: its exit code."""

from types import SimpleNamespace

import pytest
import turncoat.report.build
import turncoat.report.write
import turncoat.study.run
from turncoat.cli import app
from typer.testing import CliRunner


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
