"""The figure: there, stable, with nothing printed over anything else and the right marks filled."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from turncoat.report.content import CONTRAST_COLUMNS, ReportContent
from turncoat.report.figures.overview import build_figure, figure_png
from turncoat.report.figures.style import DARK, LIGHT

MakeContent = Callable[..., ReportContent]


@pytest.fixture(scope="module")
def figure(content: ReportContent) -> Figure:
    built = build_figure(content)
    built.canvas.draw()
    return built


def test_the_png_is_twice_900_pixels_wide_whatever_the_users_settings(content: ReportContent) -> None:
    data = figure_png(content)
    assert len(data) > 20_000 and imread(io.BytesIO(data)).shape[1] == 1800
    assert b"matplotlib" not in data.lower() and figure_png(content, DARK) != data
    usual = figure_png(content)
    with mpl.rc_context({"font.size": 30, "savefig.bbox": "tight", "lines.linewidth": 9, "axes.grid": True}):
        assert figure_png(content) == usual and mpl.rcParams["font.size"] == 30


def test_one_panel_per_primary_metric(figure: Figure, content: ReportContent) -> None:
    assert len(content.primary_metrics) == 2
    assert [axes.get_title("left") or axes.get_title() for axes in figure.axes] == [
        metric.label for metric in content.primary_metrics
    ]


def test_no_text_overlaps_another_or_leaves_the_page(figure: Figure) -> None:
    boxes = []
    for axes in figure.axes:
        both = (axes.title, axes._left_title)  # type: ignore[attr-defined]
        titles = [title for title in both if title.get_text()]
        for text in [*axes.get_yticklabels(), axes.xaxis.label, *titles]:
            boxes.append((text.get_text(), text.get_window_extent()))
    boxes += [
        (text.get_text(), text.get_window_extent())
        for text in [*figure.texts, *figure.legends[0].get_texts()]
    ]
    assert len(boxes) > 12
    for (first, one), (second, other) in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), f"{first!r} overlaps {second!r}"
    width, height = figure.get_size_inches() * figure.dpi
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name


def test_marks_and_seed_dots_are_those_of_the_contrasts(content: ReportContent) -> None:
    built = build_figure(content)
    rows = content.sorted_contrasts("adapters").query("metric == 'margin'")
    marks = [
        line for line in built.axes[0].lines if line.get_markersize() >= 6 and len(line.get_xdata()) == 1
    ]
    filled = [line.get_markerfacecolor() != LIGHT.paper for line in marks]
    assert filled == [p < 0.05 for p in rows["p_adjusted"].fillna(1.0)] and set(filled) == {True, False}
    shapes = [line.get_marker() for line in marks]
    assert shapes == ["o" if missing else "D" for missing in rows["p_adjusted"].isna()]
    rows = content.sorted_contrasts("adapters").query("metric == 'evil_fixed'")
    dots = [line for line in built.axes[1].lines if line.get_marker() == "o" and line.get_markersize() < 5]
    expected = [list(content.seed_deltas(row)) for row in rows.itertuples()]
    assert [list(line.get_xdata()) for line in dots] == expected


def test_a_study_without_contrasts_still_has_a_figure(
    content: ReportContent, make_content: MakeContent
) -> None:
    empty = make_content(contrasts=content.contrasts.iloc[:0][list(CONTRAST_COLUMNS)])
    assert "no differences" in build_figure(empty).axes[0].texts[0].get_text()
