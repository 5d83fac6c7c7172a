"""Table of the four axes: a row per arm; two columns per axis, level (or gain) and change by the defence."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.analysis.four_axes import AXES, NOT_MEASURED
from turncoat.analysis.judge_corrected import is_rate
from turncoat.evaluation.task_facts import BENIGN, BROAD, COHERENCE, NARROW
from turncoat.report.content import ReportContent
from turncoat.report.tables.contrasts import ci_name
from turncoat.report.tables.table import Cell, Column, Table, interval_cell, words

HEADING = "The four axes"
UNDEFINED = "undefined"
_NAMED = 4  # arms in a note
_LEVELS = {
    BROAD: "Broad misalignment: {what}", COHERENCE: "Coherence: {what}", NARROW: "Narrow behaviour learnt",
    BENIGN: "Benign learning",
}  # fmt: skip
_AGAINST = {
    BROAD: "Change by the defence", COHERENCE: "Change by the defence", NARROW: "Narrow behaviour kept",
    BENIGN: "Benign learning kept",
}  # fmt: skip
_AS_JUDGED = (
    "Misaligned answers are as the judge has them: its errors shrink every change. Rates without them: "
    "Judged answers."
)


def four_axes_table(content: ReportContent) -> Table:
    """The table, without the axes that were measured in no arm: the notes name them."""
    frame = content.axes
    columns, cells = words("Arm"), [[Cell(arm.label)] for arm in content.arms]
    for axis, metric in _pairs_of(frame):
        part = frame[frame["axis"] == axis]
        if metric is not None:
            part = part[part["metric"] == metric]
        rows = {row["arm"]: row for row in part.to_dict("records")}
        columns += _columns(axis, part)
        levels = _places(part, "value", "low", "high")
        places = _places(part, "difference", "difference_low", "difference_high")
        for line, arm in zip(cells, content.arms, strict=True):
            row = rows.get(arm.name, {"status": NOT_MEASURED})
            line.append(_level(row, levels))
            line.append(_kept(row) if axis in (NARROW, BENIGN) else _change(row, places))
    return Table(HEADING, _sentence(content), columns, cells, (*_metric_notes(frame), *_notes(content)))


def _sentence(content: ReportContent) -> str:
    return (
        "What a defence gives, and what it costs: each arm's level, then its change or the share kept "
        "against the undefended arm of the same organism, paired by question. Every value with its "
        f"{ci_name(content)} over questions, about these adapters and not corrected for their number: the "
        "claims are in the tables of differences."
    )


def _pairs_of(frame: pd.DataFrame) -> Iterable[tuple[str, str | None]]:
    """The axes, those of levels metric by metric; None = whatever metric an arm's organism has."""
    for axis in AXES:
        part = frame[frame["axis"] == axis]
        if part["value"].isna().all():
            continue
        metrics: list[str | None] = [None]
        if axis in (BROAD, COHERENCE):
            metrics = list(dict.fromkeys(part["metric"].dropna())) or [None]
        for metric in metrics:
            yield axis, metric


def _columns(axis: str, part: pd.DataFrame) -> list[Column]:
    labels, units = list(dict.fromkeys(part["label"].dropna())), list(dict.fromkeys(part["unit"].dropna()))
    better = next(iter(part["better"].dropna()), "")
    what = _LEVELS[axis].format(what=labels[0] if labels else NOT_MEASURED)
    unit = f" ({units[0]})" if units and units[0] else ""
    against = _AGAINST[axis] + (", higher is better" if axis in (NARROW, BENIGN) else "")
    return [Column(f"{what}{unit}" + (f", {better}" if better else "")), Column(against)]


def _level(row: dict[Any, Any], places: int) -> Cell:
    if formats.is_missing(row.get("value")):
        return Cell(formats.text_or_empty(row.get("status")) or formats.NA)
    return interval_cell(row["value"], row["low"], row["high"], places)


def _change(row: dict[Any, Any], places: int) -> Cell:
    if formats.is_missing(row.get("difference")):
        return _why_missing(row)
    return interval_cell(
        row["difference"], row["difference_low"], row["difference_high"], places, signed=True
    )


def _kept(row: dict[Any, Any]) -> Cell:
    if formats.is_missing(row.get("kept")):
        return _why_missing(row)
    ends = formats.NA
    if not formats.is_missing(row["kept_low"]):
        ends = f"[{_percent(row['kept_low'])}, {_percent(row['kept_high'])}]"
    return Cell(formats.with_interval(_percent(row["kept"]), ends), float(row["kept"]))


def _why_missing(row: dict[Any, Any]) -> Cell:
    """An empty cell, or "undefined" where a note gives the reason."""
    return Cell(UNDEFINED if not formats.is_missing(row.get("value")) and row.get("note") else "")


def _percent(share: float) -> str:
    return f"{formats.percent(share, 0)}%"


def _places(part: pd.DataFrame, value: str, low: str, high: str) -> int:
    return formats.decimals_for(formats.half_widths(zip(part[low], part[high], strict=True)), part[value])


def _metric_notes(frame: pd.DataFrame) -> list[str]:
    """Losses that the gains are measured by; the judge's error in levels and changes of misalignment."""
    rates = frame[(frame["axis"] == BROAD) & frame["value"].notna()]["metric"].fillna("").map(is_rate)
    judged = [_AS_JUDGED] if rates.any() else []
    gains = frame[frame["axis"].isin((NARROW, BENIGN)) & frame["value"].notna()]
    if gains.empty:
        return judged
    labels = ", ".join(dict.fromkeys(f"{row.label} ({row.metric})" for row in gains.itertuples()))
    return [
        *judged,
        f"Learnt: how far the loss fell from the base's ({labels}). Kept: the share of the undefended arm's "
        "fall, with Fieller's interval; undefined where that fall is not above 0. Benign learning is that of "
        "the arm with the same defence on a harmless organism.",
    ]


def _notes(content: ReportContent) -> list[str]:
    """Reasons for missing cells, each once for all arms that share it."""
    arms: dict[tuple[str, str], list[str]] = {}
    for row in content.axes.to_dict("records"):
        note = formats.text_or_empty(row["note"])
        if not note:
            continue
        status = formats.text_or_empty(row["status"])
        if status == "control":
            continue  # the cell says it
        shown = row["kept"] if row["axis"] in (NARROW, BENIGN) else row["difference"]
        what = status or (UNDEFINED if formats.is_missing(shown) else "kept")
        arms.setdefault((f"{what}, {row['axis']}", note), []).append(content.arm(row["arm"]).label)
    return [
        f"{what[:1].upper()}{what[1:]}: {note} ({formats.first_of(them, _NAMED)})."
        for (what, note), them in arms.items()
    ]
