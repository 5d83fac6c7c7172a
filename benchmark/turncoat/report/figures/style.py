"""Style of every figure: themes, one palette, one font, and bytes that depend on nothing but the content.

with drawing():
    figure = new_figure(7.0, 4.0)
    ...
    files = figure_bytes(figure)      # {"svg": ..., "png": ...}
"""

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from turncoat.report.content import ArmInfo, MetricInfo, ReportContent
from turncoat.report.tables.contrasts import DAGGER, MINUS
from turncoat.shown_text import visible

# Okabe and Ito's palette, told apart by people with any common colour blindness; the base model is grey.
_PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # seven, against six colours: a pair says which arm
_DPI = 160
_SALT = "turncoat"  # matplotlib names the parts of an SVG by it instead of by chance
_FONT = b"'DejaVu Sans'"
_FONTS = b"'DejaVu Sans', Verdana, sans-serif"  # Verdana is as wide, and there where DejaVu is not
SVG, PNG = "svg", "png"


@dataclass(frozen=True)
class Theme:
    """The colours that differ between light and dark figures."""

    paper: str
    ink: str
    soft: str
    grid: str
    base: str


LIGHT = Theme("#ffffff", "#1c1f23", "#5b636d", "#e4e7ea", "#6b7280")
DARK = Theme("#15181c", "#e6e8ea", "#a3abb5", "#2b3037", "#9aa3ad")


_Line = Literal["-", "--", "-."]


@dataclass(frozen=True)
class Look:
    """Colour, marker and line style of one arm, in every figure of a run."""

    colour: str
    marker: str
    line: _Line


def looks(content: ReportContent, controls: frozenset[str] = frozenset()) -> dict[str, Look]:
    """The look of every arm; `controls` (arms with a harmless organism) have dashed lines.

    Where the colours begin again, lines are dash-dotted: nine arms in one picture stay apart.
    """
    styles = {}
    trained = [arm.name for arm in content.arms if not arm.is_base]
    for arm in content.arms:
        place = 0 if arm.is_base else trained.index(arm.name)
        line: _Line = "--" if arm.name in controls else "-." if place >= len(_PALETTE) else "-"
        styles[arm.name] = Look(arm_colour(content, arm), _MARKERS[place % len(_MARKERS)], line)
    return styles


def arm_colour(content: ReportContent, arm: ArmInfo, theme: Theme = LIGHT) -> str:
    """The arm's colour, the same in every picture and on the page."""
    if arm.is_base:
        return theme.base
    others = [other.name for other in content.arms if not other.is_base]
    return _PALETTE[others.index(arm.name) % len(_PALETTE)]


@contextmanager
def drawing(theme: Theme = LIGHT, title_size: float = 9.0) -> Iterator[None]:
    """Matplotlib's own defaults, whatever the user's matplotlibrc says, with our font and colours on top."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
                "font.size": 8.5,
                "axes.titlesize": title_size,
                "axes.titleweight": "bold",
                "axes.titlelocation": "left",
                "axes.labelsize": 8.5,
                "axes.labelcolor": theme.soft,
                "axes.facecolor": theme.paper,
                "axes.edgecolor": theme.soft,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "figure.facecolor": theme.paper,
                "grid.color": theme.grid,
                "grid.linewidth": 0.8,
                "text.parse_math": False,  # a dollar sign in a label is a dollar sign
                "text.color": theme.ink,
                "xtick.color": theme.soft,
                "ytick.color": theme.soft,
                "ytick.labelcolor": theme.ink,
                "legend.frameon": False,
                "legend.fontsize": 8,
                "svg.hashsalt": _SALT,
                # text stays text: a third of the size, and it can be searched and read aloud
                "svg.fonttype": "none",
            }
        )
        yield


def new_figure(width: float, height: float, *, dpi: int | None = None, **layout: Any) -> Figure:
    """An empty figure in inches, on a canvas that needs no screen; `layout` goes to the layout engine."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    figure.set_layout_engine(ConstrainedLayoutEngine(**{"w_pad": 0.08, "h_pad": 0.08, **layout}))
    return figure


def figure_bytes(figure: Figure, kinds: Sequence[str] = (SVG, PNG), dpi: int = _DPI) -> dict[str, bytes]:
    """The figure by ending, without date or software; call it inside `drawing`."""
    metadata: dict[str, dict[str, str | None]] = {
        SVG: {"Date": None, "Creator": None},
        PNG: {"Software": None},
    }
    files = {}
    for kind in kinds:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata[kind])
        files[kind] = buffer.getvalue().replace(_FONT, _FONTS) if kind == SVG else buffer.getvalue()
    return files


def arm_legend(
    figure: Figure, content: ReportContent, style: dict[str, Look], names: list[str], *, beside: bool = False
) -> None:
    """The arms below the panels, as many to a line as fit, or beside them."""
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, markersize=5,
               label=wrapped(content.arm(name).label, 30))
        for name, look in ((name, style[name]) for name in names)
    ]  # fmt: skip
    if not handles:
        return
    columns = 1 if beside else max(1, min(len(handles), int(figure.get_figwidth() / 2.0)))
    place: Literal["outside right upper", "outside lower center"]
    place = "outside right upper" if beside else "outside lower center"
    figure.legend(handles=handles, loc=place, ncols=columns, handlelength=3.0)


def label_rows(axes: Axes, labels: list[str], above: float, below: float = 0.4, ticks: int = 4) -> None:
    """Name the rows of a panel, first row on top, with a grid along the other axis."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - below, -above)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def zero_line(axes: Axes, *, vertical: bool, theme: Theme = LIGHT, width: float = 0.9) -> None:
    """Draw the line where nothing differs."""
    (axes.axvline if vertical else axes.axhline)(0, color=theme.ink, linewidth=width, zorder=1)


def contrast_lines(content: ReportContent, row: Any, width: int) -> str:
    """A contrast on two lines or more: the treated arm, then minus the reference."""
    mark = f" {DAGGER}" if content.spans_finetuning(row) else ""
    minus = content.minus(row)
    if minus is not None:
        mark = f" {MINUS} ({minus[0].label} {MINUS} {minus[1].label}){mark}"
    treated, reference = content.arm(row.treated).label, content.arm(row.reference).label
    return f"{wrapped(treated, width)}\n{wrapped(f'{MINUS} {reference}{mark}', width + 2)}"


def unit_and_direction(metric: MetricInfo) -> str:
    """The unit and which way is worse; "up means" becomes an arrow to the right along the axis."""
    way = metric.direction.strip()
    match = re.fullmatch(r"(up|down) means (.+)", way)
    if match is not None:
        up, down = f"{match[2]} \N{RIGHTWARDS ARROW}", f"\N{LEFTWARDS ARROW} {match[2]}"
        way = up if match[1] == "up" else down
    return ", ".join(filter(None, (metric.unit, way)))


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most so many characters."""
    text = visible(text)
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text
