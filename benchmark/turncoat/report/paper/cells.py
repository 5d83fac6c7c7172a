"""Printed tables of a paper, made of tidy frames (`turncoat.report.paper.frames`), with their footnotes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.report.content import RECIPE
from turncoat.report.paper.frames import REFERENCE, columns_of
from turncoat.report.paper.spec import Column as SpecColumn, TableSpec
from turncoat.report.render.markdown import escape, grid
from turncoat.report.run_rows import Run
from turncoat.report.tables.contrasts import AGAINST_BASE, CLAIM_TEXTS, MINUS, NOT_SIGNIFICANT, contrast_label
from turncoat.report.tables.four_axes import four_axes_table
from turncoat.report.tables.table import (
    Cell,
    Table,
    count_cell,
    interval_cell,
    number_cell,
    numbers,
    p_cell,
    words,
)

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
_CORRECTIONS = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg"}
_NAMED = 6  # cells that a footnote names


def table_of(spec: TableSpec, frame: pd.DataFrame, run: Run) -> Table:
    """The part of a table that one run has."""
    if spec.show == "four_axes":
        content, names = run.content, set(frame.loc[frame["study"] == run.label, "arm"])
        shown = four_axes_table(replace(content, axes=content.axes[content.axes["arm"].isin(names)]))
        lines = [row for row, arm in zip(shown.rows, content.arms, strict=True) if arm.name in names]
        return replace(shown, heading=spec.title, rows=lines)
    rows = frame[frame["study"] == run.label].to_dict("records")
    if spec.show == "contrasts":
        return _list(spec, rows, run)
    return _grid(spec, rows, run)


def markdown_table(table: Table) -> str:
    """A table with its sentence and notes; the heading is the page's."""
    notes = "\n".join(f"- {escape(note)}" for note in table.notes)
    return "\n\n".join(filter(None, (escape(table.sentence), grid(table.columns, table.rows), notes)))


def _grid(spec: TableSpec, rows: Sequence[Mapping[Any, Any]], run: Run) -> Table:
    columns = columns_of(spec, run)
    width = len(columns)
    places = [_places(column, spec, rows[number::width]) for number, column in enumerate(columns)]
    alpha = run.content.alpha
    show = _difference if spec.show == "differences" else _level
    lines = []
    for start in range(0, len(rows), width):
        line = rows[start : start + width]
        cells = [show(spec, row, c, n, alpha) for row, c, n in zip(line, columns, places, strict=True)]
        lines.append([Cell(line[0]["row"]), *cells])
    headings = [*words("Arm"), *numbers(*(f"{c.label or c.metric}{' (%)' * c.percent}" for c in columns))]
    there = {row["row"].partition(": ")[0] for row in rows} | {row["row"] for row in rows}
    absent = [row.label for row in spec.rows if row.label and row.label not in there]
    left_out = [f"Not in this study: {', '.join(absent)}."] if absent else []
    notes = [*_meaning(spec, rows, run), *_missing(rows), *left_out]
    return Table(spec.title, spec.caption, headings, lines, notes)


def _places(column: SpecColumn, spec: TableSpec, rows: Sequence[Mapping[Any, Any]]) -> int:
    if column.decimals is not None:
        return column.decimals
    times = _times(column)
    if spec.show == "levels" and spec.spread == "seed_sd":
        widths = [times * row["seed_sd"] for row in rows if not formats.is_missing(row["seed_sd"])]
    else:
        widths = [times * width for width in formats.half_widths((row["low"], row["high"]) for row in rows)]
    values = [times * row["value"] for row in rows if not formats.is_missing(row["value"])]
    return formats.decimals_for(widths, values)


def _times(column: SpecColumn) -> float:
    return 100.0 if column.percent else 1.0


def _level(spec: TableSpec, row: Mapping[Any, Any], column: SpecColumn, places: int, alpha: float) -> Cell:
    if spec.spread == "interval":
        return _interval_cell(row, column, places)
    cell = number_cell(_scaled(row["value"], column), places)
    sd = _scaled(row["seed_sd"], column)
    return (
        cell
        if cell.missing or sd is None
        else replace(cell, text=f"{cell.text} {PLUS_MINUS} {formats.number(sd, places)}")
    )


def _difference(
    spec: TableSpec, row: Mapping[Any, Any], column: SpecColumn, places: int, alpha: float
) -> Cell:
    if formats.is_missing(row["value"]):
        return Cell(MINUS if row["note"] == REFERENCE else formats.NA)
    return _interval_cell(row, column, places, signed=True, strong=_is_significant(row, alpha))


def _scaled(value: Any, column: SpecColumn) -> float | None:
    return None if formats.is_missing(value) else _times(column) * float(value)


def _interval_cell(row: Mapping[Any, Any], column: SpecColumn, places: int, **style: bool) -> Cell:
    value, low, high = (_scaled(row[key], column) for key in ("value", "low", "high"))
    return interval_cell(value, low, high, places, **style)


def _is_significant(row: Mapping[Any, Any], alpha: float) -> bool:
    p_value = row["p_adjusted"]
    return (
        not formats.is_missing(p_value)
        and float(p_value) < alpha
        and not formats.text_or_empty(row["withheld"])
    )


def _list(spec: TableSpec, rows: Sequence[Mapping[Any, Any]], run: Run) -> Table:
    recipe = spec.claim == RECIPE
    own_contrasts = spec.reference is None
    corrected = spec.correction != "none"
    adjusted = run.content.adjusted_name if own_contrasts else f"{_CORRECTIONS.get(spec.correction, '')} p"
    columns = words("Treated minus reference", "Metric")
    columns += numbers(*("Seeds", "Per seed") if recipe else ("Questions",))
    columns += numbers("Difference [95% CI]", "p", "Permutation p", *[adjusted] * corrected)
    columns += words(*["Reading"] * own_contrasts)
    by_metric: dict[tuple[str, str], list[Mapping[Any, Any]]] = {}
    for row in rows:
        by_metric.setdefault((row["task"], row["metric"]), []).append(row)
    chosen = {
        (column.task, column.metric): column for column in (columns_of(spec, run) if spec.columns else ())
    }
    shared, reasons = _shared(rows), list(dict.fromkeys(row["withheld"] for row in rows if row["withheld"]))
    lines = []
    for row in rows:
        key = (row["task"], row["metric"])
        column = chosen.get(key) or SpecColumn(task=row["task"], metric=row["metric"])
        places = _places(column, spec, by_metric[key])
        strong = _is_significant(row, run.content.alpha)
        unit = "%" if column.percent else row["unit"]
        cells = [
            Cell(contrast_label(run.content, _as_contrast(row)), strong=strong),
            # A column named by its metric says its unit already.
            Cell(f"{row['column']} ({unit})" if unit and f"({unit})" not in row["column"] else row["column"]),
            count_cell(row["n_seeds"] if recipe else row["n_questions"]),
        ]
        if recipe:
            scaled = [_scaled(delta, column) for delta in row["seed_deltas"] or ()]
            deltas = [formats.number(delta, places, signed=True) for delta in scaled]
            cells.append(Cell(", ".join(deltas) or formats.NA))
        cells.append(_interval_cell(row, column, places, signed=True, strong=strong))
        cells += [p_cell(row["p_value"]), p_cell(row["p_permutation"])]
        cells += [p_cell(row["p_adjusted"], strong)] if corrected else []
        reading = row["reading"] or ""
        reading = reading.removesuffix(f" ({row['note']})") if row["note"] in shared else reading
        reading = reading.replace(f": {row['withheld']}", "") if row["withheld"] in reasons else reading
        lines.append([*cells, *[Cell(reading)] * own_contrasts])
    notes = _meaning(spec, rows, run)
    if own_contrasts:
        notes += [f"{note[:1].upper()}{note[1:]}." for note in shared]
        notes += [f"Not marked: {reason}." for reason in reasons]
    else:
        notes += _missing(rows)
    return Table(spec.title, spec.caption, columns, lines, notes)


def _shared(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Notes that end several readings; they stand once below the table."""
    ends = [r["note"] for r in rows if r["note"] and (r["reading"] or "").endswith(f" ({r['note']})")]
    return [note for note in dict.fromkeys(ends) if ends.count(note) > 1]


def _as_contrast(row: Mapping[Any, Any]) -> SimpleNamespace:
    """A row of the frame in the form of a contrast of the report."""
    minus = {key: formats.text_or_empty(row[key]) for key in ("minus_treated", "minus_reference")}
    return SimpleNamespace(treated=row["arm"], reference=row["reference"], **minus)


def _meaning(spec: TableSpec, rows: Sequence[Mapping[Any, Any]], run: Run) -> list[str]:
    """Footnotes about the numbers: sample and correction."""
    seeds = sorted({int(row["n_seeds"]) for row in rows if not formats.is_missing(row["n_seeds"])} - {0})
    noun = "training seed" if seeds == [1] else "training seeds"
    several = f"{' or '.join(map(str, seeds))} {noun}" if seeds else "no training seed"
    if spec.show == "levels":
        if spec.spread == "seed_sd":
            return [
                f"Mean over questions {PLUS_MINUS} SD over training seeds ({several}). Levels, not effects."
            ]
        return [
            f"Mean over questions and seeds ({several}) with the 95% interval over questions: about these "
            "trained adapters, not about the recipe. Levels, not effects."
        ]
    heading, sentence = CLAIM_TEXTS[spec.claim]
    notes = [f"{heading} ({several}). {sentence}"]
    families = list(dict.fromkeys(row["family"] for row in rows if row["family"]))
    if spec.correction == "none":
        notes.append("No correction for the number of tests: nothing here may be called significant.")
    else:
        how = "its family's" if spec.reference is None else f"{_CORRECTIONS[spec.correction]}'s"
        notes.append(
            f"Bold: below {formats.level(run.content.alpha)} after {how} correction, unless the mark is "
            f"withheld; families: {', '.join(families) or 'none'}."
        )
    if spec.reference is not None:
        notes.append("These differences were declared by this table; the study's own are in its report.")
    if spec.show == "contrasts":
        notes.append(NOT_SIGNIFICANT)
    spans = any(row["reference"] and run.content.spans_finetuning(_as_contrast(row)) for row in rows)
    return [*notes, AGAINST_BASE] if spans else notes


def _missing(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Each reason for an empty cell (or a limited claim) once, with the cells it is about."""
    about: dict[str, list[str]] = {}
    for row in rows:
        note, reason = formats.text_or_empty(row["note"]), formats.text_or_empty(row["withheld"])
        for text in (note, f"not marked: {reason}" if reason else ""):
            if text and text != REFERENCE:
                about.setdefault(text, []).append(f"{row['row']}, {row['column']}")
    sentences = []
    for note, cells in about.items():
        sentences.append(f"{note[:1].upper()}{note[1:]} ({formats.first_of(cells, _NAMED, '; ')}).")
    return sentences
