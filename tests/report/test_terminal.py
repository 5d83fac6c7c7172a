"""The report on a screen: fits, breaks no number, reads nothing as markup."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from turncoat.report import formats, print_report
from turncoat.report.content import ADAPTERS, RECIPE, MetricInfo, ReportContent
from turncoat.report.tables import AGAINST_BASE, CLAIM_TEXTS, contrast_decimals, estimates_table

MakeContent = Callable[..., ReportContent]

FILES = {name: Path("results/demo") / name for name in ("report.html", "report.md", "contrasts.csv")}


def _printed(content: ReportContent, width: int, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\n")
    print_report(content, Console(width=width, file=stream), FILES)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_lines_fit_and_no_number_is_broken(content: ReportContent, width: int) -> None:
    text = _printed(content, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "..." not in text
    for row in estimates_table(content).rows:
        for cell in row[1:]:
            assert cell.text in text
    adapters = text.split(CLAIM_TEXTS[ADAPTERS][0])[1].split(CLAIM_TEXTS[RECIPE][0])[0]
    for row in content.sorted_contrasts(ADAPTERS).itertuples():
        places = contrast_decimals(content, content.metric(str(row.metric)))
        line = next(line for line in adapters.splitlines() if formats.interval(row.low, row.high, places) in line)
        shown = line.split("]")[-1].split()
        assert shown == [
            formats.p_value(row.p_value), formats.p_value(row.p_adjusted), formats.number(row.detectable, places)
        ]  # fmt: skip


def test_both_claims_say_their_sample_and_the_base_is_marked(content: ReportContent) -> None:
    text = " ".join(_printed(content, 100).split())
    for heading, sentence in CLAIM_TEXTS.values():
        assert f"{heading} {sentence}" in text
    assert text.count(AGAINST_BASE) == 2
    assert text.count("n/a: 2 seeds allow no claim") == 10


def test_failed_checks_withheld_numbers_and_files_are_named(content: ReportContent) -> None:
    text = " ".join(_printed(content, 100).split())
    assert "Checks: 1 passed, 1 failed, 1 without a threshold" in text
    assert "FAILED Defence took hold (Self-recognition, then insecure, seed 2): 0.580 [0.490, 0.660]" in text
    assert f"{content.withheld[0].what}: {content.withheld[0].why}" in text
    assert all(sentence in text for sentence in content.plain_words)
    assert "results/demo report.html, report.md, contrasts.csv" in text


def test_answers_are_few_and_inert(content: ReportContent) -> None:
    text = _printed(content, 100)
    answers = text.split("Some answers")[1].split("Files")[0]
    assert 1 <= answers.count("Secure code (control)") <= 3
    assert "[red]markup[/red]" in " ".join(answers.split())[:2000]
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_recipe_with_enough_seeds_shows_estimate_interval_and_p(
    content: ReportContent, make_content: MakeContent
) -> None:
    frame = content.contrasts.copy()
    rows = frame["claim"] == RECIPE
    for column, value in {"low": -0.111, "high": 0.333, "p_value": 0.2345, "p_adjusted": 0.4321, "n_seeds": 3}.items():
        frame.loc[rows, column] = value
    recipe = _printed(make_content(contrasts=frame), 80).split(CLAIM_TEXTS[RECIPE][0])[1]
    assert recipe.count("[-0.111, 0.333]  .234  .432         n/a") == 10


def test_many_metrics_go_below_one_another(content: ReportContent, make_content: MakeContent) -> None:
    extra = [MetricInfo(f"m{i}", f"Extra metric {i}", "points", "up means more", "Made up.") for i in range(6)]
    text = _printed(make_content(metrics=[*content.metrics, *extra]), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    labels = ", ".join(arm.label for arm in content.arms)
    assert all(f"n/a, {metric.label}: not measured ({labels})." in " ".join(text.split()) for metric in extra)


def test_a_console_without_unicode_still_prints(content: ReportContent) -> None:
    assert "Insecure code ? Secure code" in _printed(content, 100, encoding="ascii")
