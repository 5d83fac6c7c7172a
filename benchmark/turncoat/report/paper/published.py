"""Published numbers beside what the rows give: recomputed to rounding, or the difference and its reason.

    frame = published_frame(spec, table_frame(spec, runs), runs)

A number counts as recomputed if it is within half of its last printed digit. Intervals and tests are ours.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.report.paper.spec import PublishedNumber, TableSpec
from turncoat.report.run_rows import Run
from turncoat.report.tables.table import Cell, Table, numbers, p_cell, words

HEADING = "Against the published numbers"
COLUMNS = (
    "table", "run", "row", "column", "published", "published_sd", "published_p", "source", "recomputed",
    "seed_sd", "low", "high", "p_value", "p_permutation", "n_questions", "n_seeds", "reading",
)  # fmt: skip
_EXACT = 1e-9  # of floating-point sums


def published_frame(spec: TableSpec, frame: pd.DataFrame, runs: Sequence[Run] | None) -> pd.DataFrame:
    """One line per published number, in the units that it is printed in; empty without `runs`."""
    if not spec.published:  # a table of another kind, without rows and columns of values
        return pd.DataFrame(columns=list(COLUMNS)).astype(object)
    by_label = {run.label: run for run in runs or ()}
    cells = {(row["study"], row["row"], row["column"]): row for row in frame.to_dict("records")}
    percent = {column.label or column.metric: column.percent for column in spec.columns}
    records = []
    for one in spec.published if runs is not None else ():
        cell: dict[Any, Any] = cells.get((one.run, one.row, one.column), {})
        if one.whole_set and one.run in by_label:
            values = by_label[one.run].whole_set(*one.whole_set)
            cell = {"value": next((value for (arm, _), value in values.items() if arm == one.row), None)}
        times = 100.0 if percent.get(one.column) else 1.0
        scaled = {
            name: None if formats.is_missing(cell.get(key)) else times * float(cell[key])
            for name, key in (
                ("recomputed", "value"),
                ("seed_sd", "seed_sd"),
                ("low", "low"),
                ("high", "high"),
            )
        }
        records.append({
            "table": spec.table, "run": one.run, "row": one.row, "column": one.column, "published": one.value,
            "published_sd": one.sd, "published_p": one.p, "source": one.source, **scaled,
            **{key: cell.get(key) for key in ("p_value", "p_permutation", "n_questions", "n_seeds")},
            "reading": _reading(one, scaled["recomputed"], scaled["seed_sd"]),
        })  # fmt: skip
    return pd.DataFrame(records, columns=list(COLUMNS)).astype(object)


def _reading(one: PublishedNumber, value: float | None, sd: float | None) -> str:
    if value is None:
        return f"not recomputed: {one.why or 'no such rows are here'}"
    off = [
        f"{what}{formats.number(again - float(printed), _decimals(printed) + 1, signed=True)}"
        for what, printed, again in (("", one.value, value), ("SD ", one.sd, sd))
        if printed and again is not None
        and abs(again - float(printed)) > 0.5 * 10.0 ** -_decimals(printed) + _EXACT
    ]  # fmt: skip
    words_ = "recomputed to rounding" if not off else f"differs by {', '.join(off)}"
    return f"{words_}: {one.why}" if one.why else words_


def _decimals(printed: str) -> int:
    return len(printed.partition(".")[2])


def published_table(frame: pd.DataFrame) -> Table:
    """The comparison as a table; one section of a page."""
    tests = any(frame["published_p"].astype(bool))
    rows = []
    for row in frame.to_dict("records"):
        places = max(_decimals(row["published"]), _decimals(row["published_sd"]))
        spread = [f" \N{PLUS-MINUS SIGN} {row['published_sd']}"] if row["published_sd"] else []
        again = formats.number(row["recomputed"], places)
        if row["published_sd"] and not formats.is_missing(row["seed_sd"]):
            again += f" \N{PLUS-MINUS SIGN} {formats.number(row['seed_sd'], places)}"
        again = formats.with_interval(again, formats.interval(row["low"], row["high"], places))
        cells = [
            Cell(f"{row['run']}: {row['row']}"),
            Cell(row["column"]),
            Cell("".join([row["published"], *spread])),
        ]
        cells += [Cell(again)]
        cells += [Cell(row["published_p"] or formats.NA), p_cell(row["p_value"])] if tests else []
        rows.append([*cells, Cell(row["reading"]), Cell(row["source"])])
    columns = [*words("Arm", "Number"), *numbers("Published", "Recomputed [95% CI]")]
    columns += numbers("Published p", "Our p") if tests else []
    sentence = (
        "Intervals and tests are ours: of levels over questions, about these trained models; of differences "
        "about the recipe, over training seeds and questions."
    )
    return Table(HEADING, sentence, [*columns, *words("Reading", "Source")], rows)
