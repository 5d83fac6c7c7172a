"""The statistics layer's own tables go into a report as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from report.made_run import analysed
from turncoat.analysis.analyse import Analysis, ContrastSpec
from turncoat.report.content import ReportContent
from turncoat.report.tables.contrasts import claim_section
from turncoat.report.write import write_report

MakeContent = Callable[..., ReportContent]
SHIFTS = {"base": 0.0, "insecure": 0.4, "secure": 0.0, "sgtr": 0.38, "pick_longer": 0.38}


@pytest.fixture(scope="module")
def made(make_content: MakeContent) -> tuple[ReportContent, Analysis]:
    contrasts = [
        ContrastSpec("organism", "insecure", "secure", ("margin",), "primary"),
        ContrastSpec("defence", "sgtr", "pick_longer", ("margin",), "primary"),
        ContrastSpec("before and after", "secure", "base", ("margin",), "secondary"),
    ]
    return analysed(make_content, SHIFTS, 2, contrasts)


@pytest.fixture(scope="module")
def report(made: tuple[ReportContent, Analysis]) -> ReportContent:
    return made[0]


@pytest.fixture(scope="module")
def analysis(made: tuple[ReportContent, Analysis]) -> Analysis:
    return made[1]


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
