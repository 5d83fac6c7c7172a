"""What `results/` shows comes from the rows beside it: made again, it is the same byte for byte."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from turncoat.report.write import report_run

RESULTS = Path(__file__).parents[2] / "results"
RUNS = sorted(path.parent for path in RESULTS.glob("*/study.yaml"))


def test_there_are_runs():
    assert {run.name for run in RUNS} >= {"advice", "demo", "seeds"}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_report_is_what_its_rows_say(run, tmp_path):
    copy = tmp_path / run.name
    copy.mkdir()
    for name in ("study.yaml", "run.json"):
        shutil.copyfile(run / name, copy / name)
    shutil.copytree(run / "rows", copy / "rows")
    made = report_run(copy, Console(quiet=True))
    shown = [path for path in run.iterdir() if path.suffix in (".md", ".csv")]
    assert {path.name for path in shown} >= {"report.md", "contrasts.csv", "estimates.csv", "four_axes.csv"}
    for path in shown:
        assert made[path.name].read_bytes() == path.read_bytes(), f"run: turncoat report results/{run.name}"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_no_machine_is_named(run):
    for path in [run / "run.json", run / "study.yaml", *run.rglob("results_*.json")]:
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r'["= ]/\w+/\w+', text), path  # an absolute path
