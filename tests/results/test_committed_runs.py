"""Committed reports are what their rows give, byte for byte; results/README.md quotes what is printed."""

import io
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
    screen = io.StringIO()
    made = report_run(copy, Console(file=screen, width=80))
    shown = [path for path in run.iterdir() if path.suffix in (".md", ".csv")]
    assert {path.name for path in shown} >= {"report.md", "contrasts.csv", "estimates.csv", "four_axes.csv"}
    for path in shown:
        assert made[path.name].read_bytes() == path.read_bytes(), (
            f"run: TURNCOAT_EMBEDDER=off turncoat report results/{run.name}"
        )
    if run.name == "demo":
        printed = "\n".join(line.rstrip() for line in screen.getvalue().splitlines())
        for piece in quoted_output():
            assert piece in printed, f"results/README.md quotes\n{piece}"


def quoted_output() -> list[str]:
    """Blocks of output in results/README.md, in the pieces between the cuts."""
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert blocks
    return [piece.strip("\n") for block in blocks for piece in block.split("[...]")]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_no_machine_is_named(run):
    for path in [run / "run.json", run / "study.yaml", *run.rglob("results_*.json")]:
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r'["= ]/\w+/\w+', text), path  # an absolute path
