"""The first screen in a terminal: fits, breaks no number, reads nothing as markup."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from turncoat.report.content import MetricInfo, ReportContent
from turncoat.report.overview import overview
from turncoat.report.render.terminal import print_report

MakeContent = Callable[..., ReportContent]

FILES = {name: Path("results/demo") / name for name in ("report.html", "report.md", "contrasts.csv")}


def _printed(content: ReportContent, width: int, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\n")
    print_report(content, Console(width=width, file=stream), FILES)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_and_no_number_of_the_first_screen_is_broken(judged: ReportContent, width: int) -> None:
    text = _printed(judged, width)
    assert max(len(line) for line in text.splitlines()) <= width and "\N{HORIZONTAL ELLIPSIS}" not in text
    first = overview(judged)
    for table in (first.levels, first.claims):
        for row in table.rows:
            assert all(cell.text in text for cell in row if cell.value is not None), row
    assert "results/demo report.html, report.md, contrasts.csv" in " ".join(text.split())


def test_verdict_checks_and_withheld_numbers_stand_before_the_answers(judged: ReportContent) -> None:
    text = " ".join(_printed(judged, 100).split())
    order = [
        *overview(judged).verdict, "The arms", "Claims, and what they rest on",
        "Check: Self-recognition, then insecure: Defence took hold, 1 of 2 passed",
        "Withheld: EM rate: ", "One question, two answers", "Files",
    ]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_answers_are_inert_and_an_ascii_console_gets_ascii(judged: ReportContent) -> None:
    text = _printed(judged, 100)
    assert "[red]markup[/red]" in " ".join(text.split()) and "\x1b" not in text and "\u202e" not in text
    assert "Insecure code ? Secure code" in _printed(judged, 100, encoding="ascii")


def test_many_metrics_go_below_one_another(make_content: MakeContent, content: ReportContent) -> None:
    extra = [MetricInfo(f"m{i}", f"Extra {i}", "points", "up means more", "Made up.", True) for i in range(6)]
    rows = content.estimates[content.estimates["metric"] == "margin"]
    frames = [content.estimates, *(rows.assign(metric=metric.name) for metric in extra)]
    more = make_content(metrics=[*content.metrics, *extra], estimates=pd.concat(frames, ignore_index=True))
    text = _printed(more, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(f"Extra {i}" in " ".join(text.split()) for i in range(6)) and text.count("Base model") >= 3
