"""How every figure from rows looks and is written: one palette, one font, and bytes that depend on nothing but the content.

with drawing():
    figure = new_figure(7.0, 4.0)
    ...
    files = figure_bytes(figure)      # {"svg": ..., "png": ...}
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from turncoat.report.content import ArmInfo, ReportContent
from turncoat.report.figures.overview import LIGHT, arm_colour

INK, SOFT, GRID, PAPER = LIGHT.ink, LIGHT.soft, LIGHT.grid, LIGHT.paper
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # seven, against six colours: a pair says which arm
_DPI = 160
_SALT = "turncoat"  # matplotlib names the parts of an SVG by it instead of by chance
_FONT = b"'DejaVu Sans'"
_FONTS = b"'DejaVu Sans', Verdana, sans-serif"  # Verdana is as wide, and there where DejaVu is not
SVG, PNG = "svg", "png"


@dataclass(frozen=True)
class Look:
    """How one arm is drawn, in every figure of a run."""

    colour: str
    marker: str
    line: Literal["-", "--", "-."]


def looks(content: ReportContent, controls: frozenset[str] = frozenset()) -> dict[str, Look]:
    """The look of every arm; `controls` (arms with a harmless organism) have dashed lines.

    Where the colours begin again, lines are dash-dotted: nine arms in one picture stay apart.
    """
    others = [arm.name for arm in content.arms if not arm.is_base]
    return {arm.name: _look(content, arm, others, controls) for arm in content.arms}


def _look(content: ReportContent, arm: ArmInfo, others: list[str], controls: frozenset[str]) -> Look:
    marker = "o" if arm.is_base else _MARKERS[others.index(arm.name) % len(_MARKERS)]
    colour = arm_colour(content, arm, LIGHT)
    again = not arm.is_base and any(
        arm_colour(content, other, LIGHT) == colour
        for other in content.arms
        if not other.is_base and others.index(other.name) < others.index(arm.name)
    )
    return Look(colour, marker, "--" if arm.name in controls else "-." if again else "-")


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's own defaults, whatever the user's matplotlibrc says, with our font and colours on top."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
                "font.size": 8.5,
                "axes.titlesize": 9,
                "axes.titleweight": "bold",
                "axes.titlelocation": "left",
                "axes.labelsize": 8.5,
                "axes.labelcolor": SOFT,
                "axes.edgecolor": SOFT,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "grid.color": GRID,
                "grid.linewidth": 0.8,
                "text.parse_math": False,  # a dollar sign in a label is a dollar sign
                "text.color": INK,
                "xtick.color": SOFT,
                "ytick.color": SOFT,
                "ytick.labelcolor": INK,
                "legend.frameon": False,
                "legend.fontsize": 8,
                "svg.hashsalt": _SALT,
                "svg.fonttype": "none",  # text stays text: a third of the size, and it can be searched and read aloud
            }
        )
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, on a canvas that needs no screen."""
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    return figure


def figure_bytes(figure: Figure, kinds: Sequence[str] = (SVG, PNG)) -> dict[str, bytes]:
    """The figure by ending, without date or software; call it inside `drawing`."""
    metadata: dict[str, dict[str, str | None]] = {SVG: {"Date": None, "Creator": None}, PNG: {"Software": None}}
    files = {}
    for kind in kinds:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata[kind])
        files[kind] = buffer.getvalue().replace(_FONT, _FONTS) if kind == SVG else buffer.getvalue()
    return files


def arm_legend(
    figure: Figure, content: ReportContent, style: dict[str, Look], names: list[str], *, beside: bool = False
) -> None:
    """The arms below the panels, as many to a line as fit, or beside them."""
    handles = [
        Line2D(
            [],
            [],
            color=style[name].colour,
            marker=style[name].marker,
            linestyle=style[name].line,
            markersize=5,
            label=wrapped(content.arm(name).label, 30),
        )
        for name in names
    ]
    if not handles:
        return
    columns = 1 if beside else max(1, min(len(handles), int(figure.get_figwidth() / 2.0)))
    place: Literal["outside right upper", "outside lower center"]
    place = "outside right upper" if beside else "outside lower center"
    figure.legend(handles=handles, loc=place, ncols=columns, handlelength=3.0)


def zero_line(axes: Axes, *, vertical: bool) -> None:
    """Where nothing differs."""
    (axes.axvline if vertical else axes.axhline)(0, color=INK, linewidth=0.9, zorder=1)


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most so many characters."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text
