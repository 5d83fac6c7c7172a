"""Committed tables and figures are what `turncoat tables` writes from the committed rows, and nothing
else."""

import difflib
from pathlib import Path

from turncoat.report.paper.files import paper_files
from turncoat.report.paper.spec import load_specs
from turncoat.report.run_rows import find_runs

ROOT = Path(__file__).parents[2]
REFRESH = "turncoat tables results --out results/paper --no-png"


def test_tables_and_figures_are_what_the_rows_say_and_stay_small():
    runs = find_runs(ROOT / "results")
    made = paper_files(runs, load_specs(), png=False)
    there = {path.name: path.read_bytes() for path in (ROOT / "results" / "paper").iterdir()}
    assert sorted(there) == sorted(made), f"run: {REFRESH} (and remove what it says no row gives)"
    for name, data in made.items():
        if there[name] != data:
            lines = [text.decode().splitlines() for text in (there[name], data)]
            differs = "\n".join(list(difflib.unified_diff(*lines, lineterm="", n=0))[:8])
            raise AssertionError(f"{name} is not what the rows give; run: {REFRESH}\n{differs}")
    assert sum(path.stat().st_size for path in (ROOT / "results" / "paper").iterdir()) < 2.5e5 * len(runs)
    assert REFRESH in (ROOT / "results" / "README.md").read_text(encoding="utf-8")
