"""The report on a screen: fits, breaks no number, reads nothing as markup."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from turncoat import formats
from turncoat.report.content import ADAPTERS, RECIPE, Check, MetricInfo, ReportContent
from turncoat.report.render.terminal import print_report
from turncoat.report.tables.contrasts import AGAINST_BASE, CLAIM_TEXTS, contrast_decimals, estimates_table
from turncoat.report.write import write_report

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
    assert max(len(line) for line in text.splitlines()) <= width and "..." not in text
    tested = len(content.contrasts["metric"].unique())
    for row in estimates_table(content).rows:
        for cell in row[
            1 : 1 + tested
        ]:  # primary metrics come first; here they are those that contrasts test
            assert cell.text in text
    adapters = text.split(CLAIM_TEXTS[ADAPTERS][0])[1].split(CLAIM_TEXTS[RECIPE][0])[0]
    for row in content.sorted_contrasts(ADAPTERS).itertuples():
        places = contrast_decimals(content, content.metric(str(row.metric)))
        line = next(
            line for line in adapters.splitlines() if formats.interval(row.low, row.high, places) in line
        )
        shown = line.split("]")[-1].split()
        assert shown == [formats.p_value(row.p_value), formats.p_value(row.p_adjusted)]


def test_claims_withheld_numbers_and_files_are_named_and_answers_are_few_and_inert(
    content: ReportContent,
) -> None:
    text = " ".join(_printed(content, 100).split())
    for heading, sentence in CLAIM_TEXTS.values():
        assert f"{heading} {sentence}" in text
    assert text.count(AGAINST_BASE) == 2 and text.count("n/a: 2 seeds allow no claim") == 10
    assert f"{content.withheld[0].what}: {content.withheld[0].why}" in text
    assert all(sentence in text for sentence in content.plain_words)
    assert "results/demo report.html, report.md, contrasts.csv" in text
    text = _printed(content, 100)
    answers = text.split("Some answers")[1].split("Files")[0]
    assert 1 <= answers.count("Secure code (control)") <= 3
    assert "[red]markup[/red]" in " ".join(answers.split())[:2000] and "\x1b" not in text
    assert "\u202e" not in text and "Insecure code ? Secure code" in _printed(content, 100, encoding="ascii")


def test_levels_are_those_of_the_metrics_that_contrasts_test(
    content: ReportContent, make_content: MakeContent, tmp_path: Path
) -> None:
    assert content.ordered_metrics[-1].name not in set(content.contrasts["metric"])
    rows = estimates_table(content).rows
    said = "Metrics that no contrast tests (1) are in report.md and report.html."
    levels = _printed(content, 120).split(CLAIM_TEXTS[ADAPTERS][0])[0]
    assert said in levels and all(cell.text in levels for row in rows for cell in row[1:-1])
    assert not any(row[-1].text in levels for row in rows)
    files = write_report(content, tmp_path)
    for name in ("report.md", "report.html"):
        whole = files[name].read_text("utf-8")
        assert all(row[-1].text in whole for row in rows)
    everything = make_content(contrasts=content.contrasts.iloc[:0])
    levels = _printed(everything, 120).split(CLAIM_TEXTS[ADAPTERS][0])[0]
    assert said not in levels
    assert all(cell.text in levels for row in estimates_table(everything).rows for cell in row[1:])


def test_plain_words_are_about_the_primary_families_where_there_are_any(
    make_content: MakeContent, tmp_path: Path
) -> None:
    primary = [
        "About A, primary/adapters (2 tests):",
        "First thing.",
        "About B, primary/recipe (0 tests):",
        "Second.",
    ]
    secondary = ["About A, secondary/adapters (1 test):", "Third thing."]
    said = "Sentences about secondary contrasts are in report.md and report.html."
    both = make_content(plain_words=primary + secondary)
    text = _printed(both, 100)
    assert all(line in text for line in [*primary, said]) and not any(line in text for line in secondary)
    files = write_report(both, tmp_path)
    assert all("Third thing." in files[name].read_text("utf-8") for name in ("report.md", "report.html"))
    for words in (primary, secondary):
        text = _printed(make_content(plain_words=words), 100)
        assert all(line in text for line in words) and said not in text


def test_checks_have_a_line_each_failed_ones_first_and_shared_words_once(
    content: ReportContent, make_content: MakeContent
) -> None:
    checks = _printed(content, 100).split("Checks: ")[1].split("Withheld, and why")[0]
    assert [line.rstrip() for line in checks.strip().splitlines()] == [
        "1 passed, 1 failed, 1 without a threshold", "Defence took hold",
        "- FAILED (Self-recognition, then insecure, seed 2): 0.580 [0.490, 0.660]; Seed 2 is barely above",
        "  chance.",
        "- passed (Self-recognition, then insecure, seed 1): 0.830 [0.750, 0.900]; It must recognise its own",
        "  text.", "Final training loss: No threshold is set.", "- no threshold (Insecure code): 1.23",
    ]  # fmt: skip
    tails = {"insecure": "sees 1; ends so", "sgtr": "sees 2; ends so", "secure": "sees 1; ends so"}
    checks = [
        Check("Hears", arm, 1, 0.5, None, None, arm != "secure", f"of 24 texts; chance 0.5; {tail}")
        for arm, tail in tails.items()
    ]
    text = _printed(make_content(checks=checks), 100).split("Checks: ")[1].split("Withheld, and why")[0]
    assert [line.rstrip() for line in text.strip().splitlines()[1:]] == [
        "Hears: of 24 texts; chance 0.5",
        "- FAILED (Secure code (control), seed 1): 0.5; sees 1; ends so",
        "- passed (Insecure code, seed 1): 0.5; sees 1; ends so",
        "- passed (Self-recognition, then insecure, seed 1): 0.5; sees 2; ends so",
    ]


def test_a_recipe_with_enough_seeds_shows_estimate_interval_and_p(
    content: ReportContent, make_content: MakeContent
) -> None:
    frame = content.contrasts.copy()
    rows = frame["claim"] == RECIPE
    for column, value in {
        "low": -0.111,
        "high": 0.333,
        "p_value": 0.2345,
        "p_adjusted": 0.4321,
        "n_seeds": 3,
    }.items():
        frame.loc[rows, column] = value
    recipe = _printed(make_content(contrasts=frame), 80).split(CLAIM_TEXTS[RECIPE][0])[1]
    assert recipe.count("[-0.111, 0.333]  .234  .432") == 10


def test_many_metrics_go_below_one_another(content: ReportContent, make_content: MakeContent) -> None:
    extra = [
        MetricInfo(f"m{i}", f"Extra metric {i}", "points", "up means more", "Made up.") for i in range(6)
    ]
    row = content.contrasts.iloc[[0]]
    tested = pd.concat(
        [content.contrasts, *(row.assign(metric=metric.name) for metric in extra)], ignore_index=True
    )
    text = _printed(make_content(metrics=[*content.metrics, *extra], contrasts=tested), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    labels = ", ".join(arm.label for arm in content.arms)
    assert all(f"n/a, {metric.label}: withheld ({labels})." in " ".join(text.split()) for metric in extra)
