"""The report's one figure: the differences that carry the claims, as a byte-stable PNG."""

from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from turncoat import formats
from turncoat.report.content import ADAPTERS, RECIPE, SHARE, MetricInfo, ReportContent
from turncoat.report.figures.style import (
    LIGHT,
    PNG,
    Theme,
    arm_colour,
    contrast_lines,
    drawing,
    figure_bytes,
    label_rows,
    new_figure,
    unit_and_direction,
    wrapped,
    zero_line,
)
from turncoat.report.tables.contrasts import DAGGER, ci_name, is_significant

_WIDTH_INCHES = 9.0
_DPI = 200  # 1800 pixels: twice the 900 that the page shows
_FOOT_INCHES = 0.62  # the legend and the footnote
_LINE_INCHES = 0.15
_DOT_OFFSET = 0.24  # rows; the seeds' dots sit this far under their mean
_TITLE_SIZE = 9.5
_LABEL_WIDTH = 38  # characters of a line of a label


def figure_png(content: ReportContent, theme: Theme = LIGHT) -> bytes:
    """The figure as PNG bytes, without date or software, so that equal content gives equal bytes."""
    figure = build_figure(content, theme)
    with drawing(theme, _TITLE_SIZE):
        return figure_bytes(figure, (PNG,), _DPI)[PNG]


def build_figure(content: ReportContent, theme: Theme = LIGHT) -> Figure:
    """One panel of differences per primary metric, laid out on an Agg canvas.

    The thick line is the interval of these adapters, the thin one that of training again. Levels are left to
    the tables: two levels whose intervals overlap may still differ.
    """
    frames = {claim: content.sorted_contrasts(claim) for claim in (ADAPTERS, RECIPE)}
    metrics = [m for m in content.primary_metrics if m.name in set(frames[ADAPTERS]["metric"])]
    rows = {m.name: list(frames[ADAPTERS].query("metric == @m.name").itertuples()) for m in metrics}
    heights = [_panel_inches(content, rows[metric.name]) for metric in metrics] or [1.0]
    total = sum(heights) + _FOOT_INCHES
    foot = _FOOT_INCHES / total
    with drawing(theme, _TITLE_SIZE):
        figure = new_figure(_WIDTH_INCHES, total, dpi=_DPI, w_pad=0.06, rect=(0, foot, 1, 1 - foot))
        panels = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axes, metric in zip(panels[:, 0], metrics, strict=False):
            again = frames[RECIPE].query("metric == @metric.name")
            _draw_differences(axes, content, metric, rows[metric.name], again.itertuples(), theme)
        if not metrics:
            panels[0, 0].set_axis_off()
            text = "no differences: no contrast"
            panels[0, 0].text(0.5, 0.5, text, ha="center", color=theme.soft)
        _legend(figure, content, [row for some in rows.values() for row in some], foot, theme)
    return figure


def _draw_differences(
    axes: Axes, content: ReportContent, metric: MetricInfo, rows: list[Any], again: Any, theme: Theme
) -> None:
    zero_line(axes, vertical=True, theme=theme, width=1.0)
    scale = 100 if metric.unit == SHARE else 1
    of_recipe = {row.name: row for row in again}
    for place, row in enumerate(rows):
        colour = arm_colour(content, content.arm(row.treated), theme)
        if row.name in of_recipe:
            _draw_interval(axes, of_recipe[row.name], place, colour, scale, width=1.0)
        _draw_interval(axes, row, place, colour, scale, width=4.0)
        tested = not formats.is_missing(row.p_adjusted)  # a small circle where no corrected test was made
        axes.plot(
            [scale * row.difference], [place], "D" if tested else "o", markersize=7.0 if tested else 6.0,
            zorder=4,
            markerfacecolor=colour if is_significant(content, row) else theme.paper,
            markeredgecolor=colour, markeredgewidth=1.8,
        )  # fmt: skip
        _draw_seeds(axes, [scale * delta for delta in content.seed_deltas(row)], place, colour, theme)
    label_rows(axes, [contrast_lines(content, row, _LABEL_WIDTH) for row in rows], above=0.55, ticks=7)
    axes.margins(x=0.04)
    shown = replace(metric, unit="percentage points") if metric.unit == SHARE else metric
    axes.set_title(wrapped(metric.label, 70))
    axes.set_xlabel(wrapped(f"difference in {unit_and_direction(shown)}", 90))


def _draw_interval(axes: Axes, row: Any, place: float, colour: str, scale: int, width: float) -> None:
    if not formats.is_missing(row.low) and not formats.is_missing(row.high):
        axes.plot(
            [scale * row.low, scale * row.high], [place, place], color=colour, linewidth=width,
            solid_capstyle="butt", zorder=3,
        )  # fmt: skip


def _draw_seeds(axes: Axes, values: list[Any], place: float, colour: str, theme: Theme) -> None:
    present = [float(value) for value in values if not formats.is_missing(value)]
    axes.plot(
        present, [place + _DOT_OFFSET] * len(present), "o", color=colour, markersize=3.6,
        markeredgecolor=theme.paper, markeredgewidth=0.5, alpha=0.9, zorder=5,
    )  # fmt: skip


def _legend(figure: Figure, content: ReportContent, rows: list[Any], foot: float, theme: Theme) -> None:
    def handle(marker: str, size: float, filled: bool, label: str, width: float = 0) -> Line2D:
        return Line2D(
            [], [], marker=marker, markersize=size, markerfacecolor=theme.soft if filled else theme.paper,
            color=theme.soft, linestyle="-" if width else "none", linewidth=width, markeredgecolor=theme.soft,
            markeredgewidth=1.4, label=label,
        )  # fmt: skip

    handles = [
        handle("D", 6.0, True, "marked"),
        handle("D", 6.0, False, "not marked"),
        handle("", 0, True, f"{ci_name(content)}, these adapters", 4.0),
        handle("", 0, True, "training again", 1.0),
        handle("o", 2.6, True, "one training seed"),
    ]
    if any(formats.is_missing(row.p_adjusted) for row in rows):
        handles.append(handle("o", 5.5, False, "no corrected test"))
    figure.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, foot * 0.38), ncols=len(handles),
        labelcolor=theme.soft, handletextpad=0.5, columnspacing=1.4,
    )  # fmt: skip
    if any(content.spans_finetuning(row) for row in rows):
        note = f"{DAGGER} change after finetuning; any finetuning moves this"
        figure.text(0.5, foot * 0.2, note, ha="center", va="center", color=theme.soft, fontsize=8)


def _panel_inches(content: ReportContent, rows: list[Any]) -> float:
    lines = max(contrast_lines(content, row, _LABEL_WIDTH).count("\n") + 1 for row in rows)
    return len(rows) * max(0.36, _LINE_INCHES * lines + 0.10) + 0.85
