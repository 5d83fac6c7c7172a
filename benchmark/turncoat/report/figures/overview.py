"""The report's one figure: levels of every arm beside the differences that carry the claims, as a byte-stable PNG."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from turncoat import formats
from turncoat.report.content import ADAPTERS, ArmInfo, MetricInfo, ReportContent
from turncoat.report.tables.contrasts import DAGGER, MINUS, ci_name, is_significant

# Okabe and Ito's palette, told apart by people with any common colour blindness; the base model is grey.
_PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WIDTH_INCHES = 9.0
_DPI = 200  # 1800 pixels: twice the 900 that the page shows
_FOOT_INCHES = 0.62  # the legend and the footnote
_LINE_INCHES = 0.15
_DOT_OFFSET = 0.24  # rows; the seeds' dots sit this far under their mean


@dataclass(frozen=True)
class Theme:
    """The colours that differ between the light and the dark figure."""

    paper: str
    ink: str
    soft: str
    grid: str
    base: str


LIGHT = Theme("#ffffff", "#1c1f23", "#5b636d", "#e4e7ea", "#6b7280")
DARK = Theme("#15181c", "#e6e8ea", "#a3abb5", "#2b3037", "#9aa3ad")


def figure_png(content: ReportContent, theme: Theme = LIGHT) -> bytes:
    """The figure as PNG bytes, without date or software, so that equal content gives equal bytes."""
    figure = build_figure(content, theme)
    with _style(theme):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None}, facecolor=theme.paper)
    return buffer.getvalue()


def build_figure(content: ReportContent, theme: Theme = LIGHT) -> Figure:
    """One row of panels per primary metric: arms on the left, differences on the right.

    Returns:
        A figure with 2 axes per primary metric, already laid out, on an Agg canvas.
    """
    with _style(theme):
        return _build(content, theme)


def _build(content: ReportContent, theme: Theme) -> Figure:
    metrics = content.primary_metrics
    contrasts = {metric.name: _contrast_rows(content, metric) for metric in metrics}
    heights = [_panel_inches(content, contrasts[metric.name]) for metric in metrics]
    total = sum(heights) + _FOOT_INCHES
    foot = _FOOT_INCHES / total
    figure = Figure(figsize=(_WIDTH_INCHES, total), dpi=_DPI)
    FigureCanvasAgg(figure)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08, rect=(0, foot, 1, 1 - foot)))
    panels = figure.subplots(len(metrics), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    for (left, right), metric in zip(panels, metrics, strict=True):
        _draw_levels(left, content, metric, theme)
        _draw_differences(right, content, metric, contrasts[metric.name], theme)
    shown = [row for rows in contrasts.values() for row in rows]
    _legend(figure, content, shown, foot, theme)
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
                axes.axvline(float(row.value), color=theme.base, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        if all(formats.is_missing(row.value) for row in means):
            across = axes.get_yaxis_transform()
            axes.text(0.02, place, "n/a: not measured", transform=across, va="center", color=theme.soft, fontsize=8)
        singles = of_arm[of_arm["seed"].notna()]["value"].tolist()
        _draw_seeds(axes, singles, place, colour, theme)
    _finish(axes, [_wrap(arm.label, 20) for arm in content.arms], theme)
    axes.set_title(_wrap(metric.label, 44), color=theme.ink)
    axes.set_xlabel(_axis_text(metric), color=theme.soft)


def _draw_differences(axes: Axes, content: ReportContent, metric: MetricInfo, rows: list[Any], theme: Theme) -> None:
    if not rows:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no differences for this metric", transform=axes.transAxes, ha="center", color=theme.soft)
        return
    axes.axvline(0, color=theme.ink, linewidth=1.0, zorder=1)
    for place, row in enumerate(rows):
        colour = arm_colour(content, content.arm(row.treated), theme)
        _draw_interval(axes, row, place, colour, width=4.0)
        marker, size, filled = _contrast_marker(content, row)
        axes.plot(
            [row.difference], [place], marker, markersize=size, zorder=4,
            markerfacecolor=colour if filled else theme.paper, markeredgecolor=colour, markeredgewidth=1.8,
        )  # fmt: skip
        _draw_seeds(axes, list(content.seed_deltas(row)), place, colour, theme)
    _finish(axes, [_contrast_text(content, row) for row in rows], theme)
    axes.set_title("Differences, these adapters", color=theme.ink)
    axes.set_xlabel(_wrap(f"treated minus reference, {metric.unit}", 50), color=theme.soft)


def _draw_interval(axes: Axes, row: Any, place: float, colour: str, width: float) -> None:
    if not formats.is_missing(row.low) and not formats.is_missing(row.high):
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=width, solid_capstyle="butt", zorder=3)


def _draw_seeds(axes: Axes, values: list[Any], place: float, colour: str, theme: Theme) -> None:
    present = [float(value) for value in values if not formats.is_missing(value)]
    axes.plot(
        present, [place + _DOT_OFFSET] * len(present), "o", color=colour, markersize=3.6,
        markeredgecolor=theme.paper, markeredgewidth=0.5, alpha=0.9, zorder=5,
    )  # fmt: skip


def _finish(axes: Axes, labels: list[str], theme: Theme) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.55)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.06)
    axes.grid(axis="x", color=theme.grid, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _contrast_marker(content: ReportContent, row: Any) -> tuple[str, float, bool]:
    """Marker, size in points and whether it is filled: a small circle where no corrected test was made."""
    if formats.is_missing(row.p_adjusted):
        return "o", 6.0, False
    return "D", 7.0, is_significant(content, row)


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
        handle("D", 6.0, False, "not significant"),
    ]
    if any(formats.is_missing(row.p_adjusted) for row in rows):
        handles.append(handle("o", 5.5, False, "no corrected test"))
    if any(arm.is_base for arm in content.arms):
        handles.append(Line2D([], [], color=theme.base, linestyle=(0, (4, 3)), linewidth=1.0, label="base model"))
    figure.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, foot * 0.38), ncols=len(handles), frameon=False,
        labelcolor=theme.soft, handletextpad=0.5, columnspacing=1.4, fontsize=8,
    )  # fmt: skip
    if any(content.spans_finetuning(row) for row in rows):
        note = f"{DAGGER} change after finetuning; any finetuning moves this"
        figure.text(0.5, foot * 0.2, note, ha="center", va="center", color=theme.soft, fontsize=8)


def _contrast_rows(content: ReportContent, metric: MetricInfo) -> list[Any]:
    frame = content.sorted_contrasts(ADAPTERS)
    return list(frame[frame["metric"] == metric.name].itertuples())


def _contrast_text(content: ReportContent, row: Any) -> str:
    reference = content.arm(row.reference)
    mark = f" {DAGGER}" if content.spans_finetuning(row) else ""
    minus = content.minus(row)
    if minus is not None:
        mark = f" {MINUS} ({minus[0].label} {MINUS} {minus[1].label}){mark}"
    return f"{_wrap(content.arm(row.treated).label, 31)}\n{_wrap(f'{MINUS} {reference.label}{mark}', 33)}"


def _panel_inches(content: ReportContent, rows: list[Any]) -> float:
    labels = [_wrap(arm.label, 20) for arm in content.arms]
    contrast_labels = [_contrast_text(content, row) for row in rows]
    needed = max(
        len(names) * max(0.36, _LINE_INCHES * max((name.count("\n") + 1 for name in names), default=1) + 0.10)
        for names in (labels, contrast_labels)
    )
    return needed + 0.85


def arm_colour(content: ReportContent, arm: ArmInfo, theme: Theme) -> str:
    """The arm's colour, the same in every picture and on the page."""
    if arm.is_base:
        return theme.base
    others = [other.name for other in content.arms if not other.is_base]
    return _PALETTE[others.index(arm.name) % len(_PALETTE)]


def _axis_text(metric: MetricInfo) -> str:
    """The unit and which way is worse; the axes are horizontal, so "up means" becomes an arrow to the right."""
    match = re.fullmatch(r"(up|down) means (.+)", metric.direction.strip())
    if match is None:
        way = metric.direction.strip()
    else:
        way = f"{match[2]} \N{RIGHTWARDS ARROW}" if match[1] == "up" else f"\N{LEFTWARDS ARROW} {match[2]}"
    return _wrap(", ".join(part for part in (metric.unit, way) if part), 50)


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    """Matplotlib's own defaults, whatever the user's matplotlibrc says, with the figure's fonts and colours on top."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
                "font.size": 8.5,
                "axes.titlesize": 9.5,
                "axes.titleweight": "bold",
                "axes.titlelocation": "left",
                "axes.labelsize": 8.5,
                "axes.facecolor": theme.paper,
                "axes.edgecolor": theme.soft,
                "figure.facecolor": theme.paper,
                "text.parse_math": False,  # a dollar sign in a label is a dollar sign
                "xtick.color": theme.soft,
                "ytick.labelcolor": theme.ink,
                "ytick.color": theme.soft,
                "text.color": theme.ink,
            }
        )
        yield
