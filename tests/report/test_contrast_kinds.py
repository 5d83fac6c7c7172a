"""A report of exploratory contrasts, margins and differences of differences says what was tested, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from report.made_run import analysed
from turncoat.analysis.analyse import ContrastSpec
from turncoat.report.content import ReportContent
from turncoat.report.tables.contrasts import claim_section
from turncoat.report.write import write_report

SHIFTS = {"base": 0.0, "insecure": 0.4, "secure": 0.0, "sgtr": 0.1, "pick_longer": 0.1}


@pytest.fixture(scope="module")
def report(make_content: Callable[..., ReportContent]) -> ReportContent:
    contrasts = [
        ContrastSpec("defence", "insecure", "secure", ("margin",), "primary", minus=("sgtr", "pick_longer")),
        ContrastSpec("alike", "sgtr", "pick_longer", ("margin",), "secondary", margins={"margin": 0.2}),
        ContrastSpec(
            "not worse", "insecure", "secure", ("margin",), "exploratory", None, {"margin": 0.2},
            "non_inferiority", "lower",
        ),
    ]  # fmt: skip
    return analysed(make_content, SHIFTS, 3, contrasts)[0]


def test_arms_margins_and_families_of_such_contrasts_are_named(report: ReportContent, tmp_path: Path) -> None:
    labels = [row[0].text for row in claim_section(report, "adapters").tables[0].rows]
    (did,) = [label for label in labels if label.startswith("(")]
    assert all(report.arm(arm).label in did for arm in ("insecure", "secure", "sgtr", "pick_longer"))
    files = write_report(report, tmp_path)
    assert did in files["report.md"].read_text("utf-8")
    readings = {row[0].text: row[-1].text for row in claim_section(report, "adapters").tables[0].rows}
    alike = next(text for text in readings.values() if "shown to be within" in text)
    assert "; shown to be within \N{MINUS SIGN}0.2 to +0.2 (margin set beforehand" in alike
    assert sum("; not shown to be worse by less than 0.2" in text for text in readings.values()) == 1
    section = claim_section(report, "adapters")
    assert "Adjusted p" in [column.label for column in section.tables[0].columns]
    for note in (
        "Tested alone, without correction: primary/adapters (1 test).",
        "Families that Holm's correction runs over: secondary/adapters (1 test).",
        "Benjamini-Hochberg over: exploratory/adapters (1 test).",
    ):
        assert note in section.notes
