"""The report's one figure: levels of every arm beside the differences that carry the claims, as a byte-stable
PNG."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from turncoat import formats
from turncoat.report.content import ADAPTERS, MetricInfo, ReportContent
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
_ARM_WIDTH, _CONTRAST_WIDTH = 20, 31  # characters of a line of a label


def figure_png(content: ReportContent, theme: Theme = LIGHT) -> bytes:
    """The figure as PNG bytes, without date or software, so that equal content gives equal bytes."""
    figure = build_figure(content, theme)
    with drawing(theme, _TITLE_SIZE):
        return figure_bytes(figure, (PNG,), _DPI)[PNG]


def build_figure(content: ReportContent, theme: Theme = LIGHT) -> Figure:
    """One row of two panels per primary metric, laid out on an Agg canvas: arms left, differences right."""
    frame = content.sorted_contrasts(ADAPTERS)
    contrasts: dict[str, list[Any]] = {
        metric.name: list(frame[frame["metric"] == metric.name].itertuples())
        for metric in content.primary_metrics
    }
    heights = [_panel_inches(content, rows) for rows in contrasts.values()]
    total = sum(heights) + _FOOT_INCHES
    foot = _FOOT_INCHES / total
    with drawing(theme, _TITLE_SIZE):
        figure = new_figure(_WIDTH_INCHES, total, dpi=_DPI, w_pad=0.06, rect=(0, foot, 1, 1 - foot))
        panels = figure.subplots(len(contrasts), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
        for (left, right), metric in zip(panels, content.primary_metrics, strict=True):
            _draw_levels(left, content, metric, theme)
            _draw_differences(right, content, metric, contrasts[metric.name], theme)
        _legend(figure, content, [row for rows in contrasts.values() for row in rows], foot, theme)
    return figure


def _draw_levels(axes: Axes, content: ReportContent, metric: MetricInfo, theme: Theme) -> None:
    frame = content.sorted_estimates()
    frame = frame[frame["metric"] == metric.name]
    for place, arm in enumerate(content.arms):
        colour = arm_colour(content, arm, theme)
        of_arm = frame[frame["arm"] == arm.name]
        means: list[Any] = list(of_arm[of_arm["seed"].isna()].itertuples())
        for row in means:
            _draw_interval(axes, row, place, colour, width=2.2)
            axes.plot([row.value], [place], "o", color=colour, markersize=6.5, zorder=4)
            if arm.is_base and not formats.is_missing(row.value):
                axes.axvline(
                    float(row.value), color=theme.base, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1
                )
        if all(formats.is_missing(row.value) for row in means):
            across = axes.get_yaxis_transform()
            axes.text(
                0.02, place, "n/a: not measured", transform=across, va="center", color=theme.soft, fontsize=8
            )
        _draw_seeds(axes, of_arm[of_arm["seed"].notna()]["value"].tolist(), place, colour, theme)
    _label(axes, [wrapped(arm.label, _ARM_WIDTH) for arm in content.arms])
    axes.set_title(wrapped(metric.label, 44))
    axes.set_xlabel(wrapped(unit_and_direction(metric), 50))


def _draw_differences(
    axes: Axes, content: ReportContent, metric: MetricInfo, rows: list[Any], theme: Theme
) -> None:
    if not rows:
        axes.set_axis_off()
        axes.text(
            0.5, 0.5, "no differences for this metric", transform=axes.transAxes, ha="center",
            color=theme.soft,
        )  # fmt: skip
        return
    zero_line(axes, vertical=True, theme=theme, width=1.0)
    for place, row in enumerate(rows):
        colour = arm_colour(content, content.arm(row.treated), theme)
        _draw_interval(axes, row, place, colour, width=4.0)
        tested = not formats.is_missing(row.p_adjusted)  # a small circle where no corrected test was made
        axes.plot(
            [row.difference], [place], "D" if tested else "o", markersize=7.0 if tested else 6.0, zorder=4,
            markerfacecolor=colour if is_significant(content, row) else theme.paper,
            markeredgecolor=colour, markeredgewidth=1.8,
        )  # fmt: skip
        _draw_seeds(axes, list(content.seed_deltas(row)), place, colour, theme)
    _label(axes, [contrast_lines(content, row, _CONTRAST_WIDTH) for row in rows])
    axes.set_title("Differences, these adapters")
    axes.set_xlabel(wrapped(f"treated minus reference, {metric.unit}", 50))


def _draw_interval(axes: Axes, row: Any, place: float, colour: str, width: float) -> None:
    if not formats.is_missing(row.low) and not formats.is_missing(row.high):
        axes.plot(
            [row.low, row.high], [place, place], color=colour, linewidth=width, solid_capstyle="butt",
            zorder=3,
        )  # fmt: skip


def _draw_seeds(axes: Axes, values: list[Any], place: float, colour: str, theme: Theme) -> None:
    present = [float(value) for value in values if not formats.is_missing(value)]
    axes.plot(
        present, [place + _DOT_OFFSET] * len(present), "o", color=colour, markersize=3.6,
        markeredgecolor=theme.paper, markeredgewidth=0.5, alpha=0.9, zorder=5,
    )  # fmt: skip


def _label(axes: Axes, labels: list[str]) -> None:
    label_rows(axes, labels, above=0.55, ticks=5)
    axes.margins(x=0.06)


def _legend(figure: Figure, content: ReportContent, rows: list[Any], foot: float, theme: Theme) -> None:
    def handle(marker: str, size: float, filled: bool, label: str, width: float = 0) -> Line2D:
        return Line2D(
            [], [], marker=marker, markersize=size, markerfacecolor=theme.soft if filled else theme.paper,
            color=theme.soft, linestyle="-" if width else "none", linewidth=width, markeredgecolor=theme.soft,
            markeredgewidth=1.4, label=label,
        )  # fmt: skip

    handles = [
        handle("o", 6.0, True, f"mean over seeds, {ci_name(content)} by questions", 2.2),
        handle("o", 2.6, True, "one training seed"),
        handle("D", 6.0, True, f"{content.adjusted_name} < {formats.level(content.alpha)}"),
        handle("D", 6.0, False, "not marked"),
    ]
    if any(formats.is_missing(row.p_adjusted) for row in rows):
        handles.append(handle("o", 5.5, False, "no corrected test"))
    if any(arm.is_base for arm in content.arms):
        handles.append(
            Line2D([], [], color=theme.base, linestyle=(0, (4, 3)), linewidth=1.0, label="base model")
        )
    figure.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, foot * 0.38), ncols=len(handles),
        labelcolor=theme.soft, handletextpad=0.5, columnspacing=1.4,
    )  # fmt: skip
    if any(content.spans_finetuning(row) for row in rows):
        note = f"{DAGGER} change after finetuning; any finetuning moves this"
        figure.text(0.5, foot * 0.2, note, ha="center", va="center", color=theme.soft, fontsize=8)


def _panel_inches(content: ReportContent, rows: list[Any]) -> float:
    labels = [wrapped(arm.label, _ARM_WIDTH) for arm in content.arms]
    contrasts = [contrast_lines(content, row, _CONTRAST_WIDTH) for row in rows]
    needed = max(
        len(names) * max(0.36, _LINE_INCHES * max((name.count("\n") + 1 for name in names), default=1) + 0.10)
        for names in (labels, contrasts)
    )
    return needed + 0.85
