"""The statistics layer's own tables go into a report as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from turncoat.analysis.analyse import Analysis, ContrastSpec, analyse
from turncoat.report.content import ReportContent
from turncoat.report.tables.contrasts import claim_section
from turncoat.report.write import write_report
from turncoat.stats.scores import BASE_SEED, SCORE_COLUMNS

MakeContent = Callable[..., ReportContent]
SHIFTS = {"base": 0.0, "insecure": 0.4, "secure": 0.0, "sgtr": 0.38, "pick_longer": 0.38}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Made-up scores of the five arms on one metric, 30 questions, 2 seeds."""
    rng = np.random.default_rng(7)
    levels = rng.normal(0, 1, 30)
    rows = [
        (arm, seed, "task", "margin", f"q{index:02d}", level + shift + rng.normal(0, 0.1), 1)
        for arm, shift in SHIFTS.items()
        for seed in ((BASE_SEED,) if arm == "base" else (1, 2))
        for index, level in enumerate(levels)
    ]
    contrasts = [
        ContrastSpec("organism", "insecure", "secure", ("margin",), "primary"),
        ContrastSpec("defence", "sgtr", "pick_longer", ("margin",), "primary"),
        ContrastSpec("before and after", "secure", "base", ("margin",), "secondary"),
    ]
    return analyse(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), contrasts)


@pytest.fixture(scope="module")
def report(analysis: Analysis, make_content: MakeContent) -> ReportContent:
    return make_content(
        estimates=analysis.estimates,
        contrasts=analysis.contrasts,
        seed_noise=analysis.seed_noise,
    )


def test_an_analysis_becomes_a_report(report: ReportContent, analysis: Analysis, tmp_path: Path) -> None:
    files = write_report(report, tmp_path)
    written = pd.read_csv(files["contrasts.csv"])
    assert written["difference"].sum() == pytest.approx(analysis.contrasts["difference"].sum(), rel=1e-9)
    assert {"role", "p_adjusted"} <= set(written.columns)
    for family in analysis.contrasts.query("claim == 'adapters'")["family"]:
        assert family in files["report.md"].read_text("utf-8")


def test_readings_recipes_and_sentences(report: ReportContent) -> None:
    rows = claim_section(report, "adapters").tables[0].rows
    readings = [row[-1].text for row in rows]
    assert readings[0] == "higher: more misaligned"
    assert readings[1].startswith("not significant")
    recipe = claim_section(report, "recipe")
    assert not recipe.tables and recipe.notes[0].startswith("n/a: 2 training seeds allow no claim")
    section = claim_section(report, "adapters")
    shown = [column.label for column in section.tables[0].columns].index("All at once")
    first = report.sorted_contrasts("adapters").iloc[0]
    own, together = (rows[0][place].text.partition("[")[2].rstrip("]") for place in (shown - 1, shown))
    low, high = (float(end) for end in together.split(", "))
    assert low == pytest.approx(first["simultaneous_low"], abs=0.01)
    assert low < float(own.split(", ")[0]) < float(own.split(", ")[1]) < high
    assert any(note.startswith("All at once: ") for note in section.notes)
