"""The figures of a run, from its rows: forest plots, misalignment against coherence, persona by layer, doses,
four axes.

for figure in figures_of(run): print(figure.name, figure.frame is not None, figure.why)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from turncoat import formats
from turncoat.data.organisms import find_organism
from turncoat.evaluation.task_facts import BENIGN, NARROW
from turncoat.report.content import ADAPTERS, RECIPE
from turncoat.report.figures.frames import (
    REASONS,
    axis_points,
    coherence_points,
    contrast_points,
    dose_points,
    layer_points,
)
from turncoat.report.figures.style import (
    LIGHT,
    PNG,
    SVG,
    Look,
    arm_legend,
    contrast_lines,
    drawing,
    figure_bytes,
    label_rows,
    looks,
    new_figure,
    unit_and_direction,
    wrapped,
    zero_line,
)
from turncoat.report.run_rows import Run
from turncoat.report.tables.contrasts import DAGGER, is_significant, metric_label

SOFT, PAPER = LIGHT.soft, LIGHT.paper
_PANELS = 3  # in a row
_BANDS = 6  # arms; the bands of more hide one another


@dataclass(frozen=True, eq=False)
class RunFigure:
    """One figure: its data and its files by ending, or the reason why there is none."""

    name: str
    title: str
    frame: pd.DataFrame | None
    files: dict[str, bytes]
    why: str = ""


def figures_of(run: Run, kinds: Sequence[str] = (SVG, PNG)) -> list[RunFigure]:
    """Every figure that the run's rows allow, as files of these kinds, and why the others are missing."""
    made: list[tuple[str, str, pd.DataFrame, str, Callable[[Run, pd.DataFrame], Figure]]] = []
    for claim, words in ((ADAPTERS, "about these trained adapters"), (RECIPE, "about the recipe")):
        draw = partial(_forest, claim=claim)
        title, frame = f"Contrasts: {words}", contrast_points(run, claim)
        made.append((f"contrasts_{claim}", title, frame, "difference", draw))
    made += [
        ("misalignment_coherence", "Misalignment against coherence", coherence_points(run), "y", _coherence),
        ("persona_layers", "Persona activation by layer, arm minus base", layer_points(run),
         "difference", _layers),
        ("dose_response", "Response to the dose", dose_points(run), "value", _doses),
        ("four_axes", "The four axes", axis_points(run), "value", _axes_panels),
    ]  # fmt: skip
    figures = []
    for name, title, frame, column, plot in made:
        if all(formats.is_missing(value) for value in frame[column]):
            figures.append(RunFigure(name, title, None, {}, REASONS[name]))
            continue
        with drawing():
            figures.append(RunFigure(name, title, frame, figure_bytes(plot(run, frame), kinds)))
    return figures


def _looks(run: Run) -> dict[str, Look]:
    arms = ((arm.name, arm.organism) for arm in run.study.arms if arm.organism is not None)
    return looks(
        run.content, frozenset(name for name, organism in arms if find_organism(organism).is_control)
    )


def _forest(run: Run, frame: pd.DataFrame, claim: str) -> Figure:
    """Contrasts down, metrics across; filled where a contrast is marked as significant."""
    frame = frame.assign(_primary=[not str(family).startswith("primary") for family in frame["family"]])
    names = list(dict.fromkeys(frame.sort_values("_primary", kind="stable")["name"]))
    firsts = {name: next(frame[frame["name"] == name].itertuples()) for name in names}
    metrics = list(dict.fromkeys(frame["metric"]))
    across = min(_PANELS, len(metrics))
    down = -(-len(metrics) // across)
    figure = new_figure(2.6 + 2.3 * across, down * (1.0 + 0.42 * len(names)) + 0.4)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    style = _looks(run)
    for number, metric in enumerate(metrics):
        axes = panels[number // across][number % across]
        zero_line(axes, vertical=True)
        for place, name in enumerate(names):
            for row in frame[(frame["name"] == name) & (frame["metric"] == metric)].itertuples():
                look = style[str(row.treated)]
                ends = ([row.low, row.high], [place, place])
                axes.plot(*ends, color=look.colour, linewidth=2.6, solid_capstyle="butt")
                # taller than the dot, which would hide a narrow interval
                axes.plot(*ends, "|", color=look.colour, markersize=11, markeredgewidth=1.2)
                strong = is_significant(run.content, row)
                face = look.colour if strong else PAPER
                axes.plot([row.difference], [place], "o", markersize=5.5, markerfacecolor=face,
                          markeredgecolor=look.colour, markeredgewidth=1.4)  # fmt: skip
        facts = run.content.metric(metric)
        axes.set_title(wrapped(facts.label, 34))
        axes.set_xlabel(wrapped(unit_and_direction(facts), 36))
        label_rows(axes, [contrast_lines(run.content, firsts[name], 34) for name in names], above=0.6)
    for spare in range(len(metrics), down * across):
        panels[spare // across][spare % across].set_axis_off()
    sample = "These adapters." if claim == ADAPTERS else "The recipe."
    foot = f"{sample} 95% intervals. Filled: below {run.content.alpha:g} after correction, and marked."
    if any(run.content.spans_finetuning(first) for first in firsts.values()):
        foot += f"  {DAGGER} any finetuning makes such a change."
    figure.supxlabel(foot, fontsize=8, color=SOFT)
    return figure


def _coherence(run: Run, frame: pd.DataFrame) -> Figure:
    """The mean over seeds with both intervals, the seeds as small marks; a defence that breaks the model
    moves sideways."""
    figure = new_figure(7.6, 4.6)
    axes = figure.subplots()
    axes.grid()
    style = _looks(run)
    shown = []
    for arm in run.content.arms:
        look = style[arm.name]
        rows = frame[frame["arm"] == arm.name]
        means: list[Any] = list(rows[rows["seed"].isna()].itertuples())
        for row in means:
            shown.append(arm.name)
            for low, high, place, across in (
                (row.x_low, row.x_high, row.y, True),
                (row.y_low, row.y_high, row.x, False),
            ):
                if not (formats.is_missing(low) or formats.is_missing(high)):
                    ends = ([low, high], [place, place]) if across else ([place, place], [low, high])
                    axes.plot(*ends, color=look.colour, linewidth=1.1, alpha=0.55, zorder=2)
            axes.plot([row.x], [row.y], look.marker, color=look.colour, markersize=7.5, zorder=4)
        seeds = rows[rows["seed"].notna()]
        axes.plot(
            seeds["x"], seeds["y"], look.marker, color=look.colour, markersize=3, alpha=0.7, zorder=3,
            linestyle="",
        )  # fmt: skip
    facts = run.content.metric(str(frame["x_metric"].iloc[0]))
    axes.set_xlabel(f"{facts.label}: {unit_and_direction(facts)}")
    facts = run.content.metric(str(frame["y_metric"].iloc[0]))
    axes.set_ylabel(f"{metric_label(facts)}\n{facts.direction}")
    axes.text(
        0.0, 1.02, "mean over seeds, 95% intervals over questions; small: one seed",
        transform=axes.transAxes, fontsize=8, color=SOFT,
    )  # fmt: skip
    arm_legend(figure, run.content, style, shown, beside=True)
    return figure


def _layers(run: Run, frame: pd.DataFrame) -> Figure:
    titles = {"fixed": "Reading the base model's answers", "own": "While writing its own answers"}
    readings = [reading for reading in titles if reading in set(frame["reading"])]
    figure = new_figure(4.2 * len(readings) + 0.6, 4.4)
    panels = figure.subplots(1, len(readings), squeeze=False, sharey=True)[0]
    style = _looks(run)
    arms = list(dict.fromkeys(frame["arm"]))
    for axes, reading in zip(panels, readings, strict=True):
        part = frame[frame["reading"] == reading]
        zero_line(axes, vertical=False)
        axes.grid(axis="y")
        for layer in sorted(set(part.loc[part["chosen"], "layer"])):
            axes.axvline(layer, color=SOFT, linewidth=1.0, linestyle=":", zorder=1)
            axes.text(
                layer, 1.0, " chosen layer", transform=axes.get_xaxis_transform(), fontsize=7.5, color=SOFT,
                va="top",
            )  # fmt: skip
        for name in arms:
            rows, look = part[part["arm"] == name], style[name]
            columns = ("layer", "low", "high", "difference")
            layer, low, high, difference = (rows[name].astype(float) for name in columns)
            if len(arms) <= _BANDS:
                axes.fill_between(layer, low, high, color=look.colour, alpha=0.13, linewidth=0)
            axes.plot(layer, difference, look.line, color=look.colour, linewidth=1.7)
            every = slice(None, None, max(1, len(rows) // 6))
            at = (layer.iloc[every], difference.iloc[every])
            axes.plot(*at, look.marker, color=look.colour, markersize=4.5)
        axes.set_title(titles[reading])
        axes.set_xlabel("layer (0: embeddings)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel(
        "arm minus base (base SD)"
        + (", band: 95% over questions" if len(arms) <= _BANDS else "; intervals in the CSV")
    )
    arm_legend(figure, run.content, style, arms)
    return figure


def _doses(run: Run, frame: pd.DataFrame) -> Figure:
    tasks = list(dict.fromkeys(frame["task"]))
    across = min(_PANELS, len(tasks))
    figure = new_figure(max(6.4, 3.6 * across + 1.0), 4.4)
    panels = figure.subplots(1, across, squeeze=False)[0]
    style = _looks(run)
    arms = list(dict.fromkeys(frame["arm"]))
    for axes, task in zip(panels, tasks, strict=False):
        part = frame[frame["task"] == task]
        measure = str(part["measure"].iloc[0])
        doses = sorted(set(part["dose"]))
        apart = 0.035 * (doses[-1] - doses[0]) / max(1, len(arms))
        if measure == "margin":
            zero_line(axes, vertical=False)
        axes.grid(axis="y")
        for number, name in enumerate(arms):
            rows, look = part[part["arm"] == name], style[name]
            if rows.empty:
                continue
            x = rows["dose"] + apart * (number - (len(arms) - 1) / 2)
            low, high, value = (rows[column].astype(float) for column in ("low", "high", "value"))
            axes.vlines(x, low, high, color=look.colour, linewidth=1.1, alpha=0.6)
            axes.plot(x, value, look.line, color=look.colour, linewidth=1.5)
            axes.plot(x, value, look.marker, color=look.colour, markersize=4.5)
        axes.set_xticks(doses)
        axes.set_title(wrapped(task.removeprefix("turncoat_"), 40))
        axes.set_xlabel("dose")
        first = next(
            m for m in run.content.metrics if run.origin(m.name)[0] == task and f"{measure}_dose_" in m.name
        )
        axes.set_ylabel(f"{first.label.partition(',')[0]} ({first.unit})\n{first.direction}")
    arm_legend(figure, run.content, style, arms)
    return figure


def _axes_panels(run: Run, frame: pd.DataFrame) -> Figure:
    """One panel per axis, the arms down: a radar would put four units on one scale."""
    axes_names = list(dict.fromkeys(frame["axis"]))
    arms = [arm for arm in run.content.arms if arm.name in set(frame["arm"])]
    figure = new_figure(2.2 + 2.1 * len(axes_names), 1.2 + 0.36 * len(arms))
    panels = figure.subplots(1, len(axes_names), squeeze=False, sharey=True)[0]
    style = _looks(run)
    for axes, name in zip(panels, axes_names, strict=True):
        part = frame[frame["axis"] == name]
        for place, arm in enumerate(arms):
            look = style[arm.name]
            rows = [r for r in part[part["arm"] == arm.name].itertuples() if not formats.is_missing(r.value)]
            for row in rows:
                if not formats.is_missing(row.low):
                    axes.plot(
                        [row.low, row.high], [place, place], color=look.colour, linewidth=2.2, alpha=0.8
                    )
                axes.plot([row.value], [place], look.marker, color=look.colour, markersize=6.5)
            if not rows:
                status = next((text for text in part.loc[part["arm"] == arm.name, "status"] if text), "n/a")
                across = axes.get_yaxis_transform()
                where = {"transform": across, "ha": "center", "va": "center"}
                axes.text(0.5, place, status, fontsize=7.5, color=SOFT, **where)
        measured = part[part["value"].notna()].iloc[0]
        unit = f"{measured['label']}, {measured['unit']}" if measured["unit"] else str(measured["label"])
        if name in (NARROW, BENIGN):
            zero_line(axes, vertical=True)  # nothing learnt
        axes.set_title(str(name)[:1].upper() + str(name)[1:])
        axes.set_xlabel(wrapped(f"{unit}; {measured['better']}".rstrip("; "), 30))
        label_rows(axes, [wrapped(arm.label, 28) for arm in arms], above=0.5, below=0.5)
    return figure
