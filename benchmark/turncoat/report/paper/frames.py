"""Tidy frames of paper tables: a line for every cell, with everything about its number.

    frame = table_frame(spec, find_runs(Path("runs/demo")))      # -> the CSV
    table_of(spec, frame, run)                                   # -> Markdown, LaTeX (`report.paper.cells`)

Values are in the metric's own unit, shares as fractions. All cells of a table make one kind of claim.
"""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import pandas as pd

from turncoat import formats
from turncoat.analysis.analyse import ContrastSpec
from turncoat.analysis.judge_corrected import is_rate
from turncoat.report.build import RATE
from turncoat.report.paper.spec import ARM_FIELDS, MODELS, Column, Row, TableSpec, fits
from turncoat.report.run_rows import Run
from turncoat.report.tables.contrasts import reading
from turncoat.stats.corrections import benjamini_hochberg, holm
from turncoat.stats.families import withheld
from turncoat.study.arm_config import Arm

COLUMNS = (
    "table", "study", "model", "row", "column", "arm", "reference", "task", "metric", "unit", "claim",
    "value", "low", "high", "se", "seed_sd", "n_questions", "n_seeds", "seed_deltas", "p_value",
    "p_permutation", "p_adjusted", "correction", "family", "minus_treated", "minus_reference", "withheld",
    "reading", "note",
)  # fmt: skip
REFERENCE = "the reference itself"
NOT_MEASURED = "not measured"
NO_ARM = "no such arm in this study"


def table_frame(spec: TableSpec, runs: Sequence[Run]) -> pd.DataFrame:
    """The cells of a table in the order of its lines; for `four_axes` the columns of
    `turncoat.analysis.four_axes`.

    A cell without a number has an empty value and a `note` that says why. A run with no number at all is left
    out.
    """
    parts = [_of_run(spec, run) for run in runs if spec.speaks_of(run.study.study)]
    parts = [part for part in parts if len(part) and part["value"].notna().any()]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    whole = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    return whole.where(whole.notna(), None)


def why_empty(spec: TableSpec, runs: Sequence[Run]) -> str:
    """Reason why no run has a number for a table."""
    meant = [run for run in runs if spec.speaks_of(run.study.study)]
    if not meant:
        return f"no run of the studies {', '.join(spec.studies)}"
    if spec.show == MODELS:
        return "no two runs of different base models have such a contrast and a metric in common"
    parts = [_of_run(spec, run) for run in meant]
    notes = dict.fromkeys(note for part in parts for note in part.get("note", []) if note)
    if notes:
        return "; ".join(list(notes)[:3]) + (" ..." if len(notes) > 3 else "")
    if spec.show == "contrasts" and spec.reference is None:
        return "no study names such a contrast"
    return "no run has such arms"


def _of_run(spec: TableSpec, run: Run) -> pd.DataFrame:
    if spec.show == "four_axes":
        axes = run.content.axes
        arms = {arm.name for arm in run.study.arms if any(row.matches(arm) for row in spec.rows)}
        axes = axes[axes["arm"].isin(arms)] if len(axes) else axes
        about = {"table": spec.table, "study": run.label, "model": run.study.model}
        return axes.assign(**about)[[*about, *axes.columns]] if len(axes) else pd.DataFrame(columns=["value"])
    if spec.show == "contrasts" and spec.reference is None:
        records = _study_contrasts(spec, run)
    elif spec.show == "levels":
        records = [_level(spec, run, cell) for cell in _cells(spec, run)]
    else:
        records = _differences(spec, run)
    return pd.DataFrame(records, columns=list(COLUMNS))


class _Cell(NamedTuple):
    """A row crossed with a column: the one arm that both select, or a note on why there is none."""

    row: str
    column: Column
    arm: Arm | None
    note: str = ""


def _cells(spec: TableSpec, run: Run) -> list[_Cell]:
    columns = columns_of(spec, run)
    if any(column.given for column in columns):
        lines = [[_crossing(row, column, run) for column in columns] for row in spec.rows]
        return [cell for line in lines if any(c.arm or c.note != NO_ARM for c in line) for cell in line]
    cells = []
    for row in spec.rows:
        arms = [arm for arm in run.study.arms if row.matches(arm)]
        for arm in arms:
            whose = run.content.arm(arm.name).label
            label = row.label if row.label and len(arms) == 1 else ": ".join(filter(None, (row.label, whose)))
            cells += [_Cell(label, column, arm) for column in columns]
    return cells


def _crossing(row: Row, column: Column, run: Run) -> _Cell:
    """A cell of a table whose columns choose arms too: what the row says wins over what the column says."""
    arms = [arm for arm in run.study.arms if fits({**column.given, **row.given}, arm)]
    label = (
        row.label
        or ", ".join("/".join(row.given[field]) for field in ARM_FIELDS if field in row.given)
        or "all"
    )
    if len(arms) == 1:
        return _Cell(label, column, arms[0])
    if not arms:
        return _Cell(label, column, None, NO_ARM)
    names = ", ".join(arm.name for arm in arms)
    why = f"{len(arms)} arms fit ({names}): the specification must tell them apart"
    return _Cell(label, column, None, why)


def columns_of(spec: TableSpec, run: Run) -> list[Column]:
    """The specification's columns, or those that the study's contrasts name, or all metrics."""
    if spec.columns:
        return [_measured_by(column, run) for column in spec.columns]
    named = list(dict.fromkeys(metric for contrast in run.study.contrasts for metric in contrast.metrics))
    measured = set(run.scores["metric"])
    names = [name for name in named if name in measured] or [m.name for m in run.content.metrics]
    columns = []
    for name in names:
        facts = run.content.metric(name)
        task, metric = run.origin(name)
        label = f"{facts.label} ({facts.unit})" if facts.unit else facts.label
        columns.append(Column(task=task, metric=metric, label=label))
    return columns


def _measured_by(column: Column, run: Run) -> Column:
    """The column with the first of its metrics that the run has."""
    names = [column.metric, *column.also]
    metric = next((name for name in names if run.metric(column.task, name)), column.metric)
    return column.model_copy(update={"metric": metric})


def _record(spec: TableSpec, run: Run, cell: _Cell) -> dict[str, Any]:
    column = cell.column
    name = run.metric(column.task, column.metric)
    record: dict[str, Any] = dict.fromkeys(COLUMNS)
    record |= {
        "table": spec.table, "study": run.label, "model": run.study.model, "row": cell.row,
        "column": column.label or column.metric, "arm": cell.arm.name if cell.arm else None,
        "task": column.task, "metric": column.metric, "unit": run.content.metric(name).unit if name else None,
        "claim": spec.claim, "note": cell.note,
    }  # fmt: skip
    if cell.arm is not None and name is None:
        record["note"] = _why_not_measured(run, column)
    return record


def _why_not_measured(run: Run, column: Column) -> str:
    if column.task not in {use.task for use in run.study.tasks}:
        return f"{column.task} is not a task of this study"
    withheld = [item.why for item in run.content.withheld if item.what == RATE]
    if withheld and is_rate(column.metric):
        return f"{column.metric} is withheld: {withheld[0]}"
    return f"the rows have no {column.metric}"


def _level(spec: TableSpec, run: Run, cell: _Cell) -> dict[str, Any]:
    record = _record(spec, run, cell)
    name = run.metric(cell.column.task, cell.column.metric)
    if cell.arm is None:
        return record
    if name is None:
        return record | _whole_set(run, cell.column, cell.arm)
    frame = run.levels
    frame = frame[(frame["arm"] == cell.arm.name) & (frame["metric"] == name)]
    over = frame[frame["seed"].isna()].to_dict("records")
    if not over or formats.is_missing(over[0]["value"]):
        return record | {"note": NOT_MEASURED if not over else str(over[0]["method"])}
    seeds = [float(value) for value in frame[frame["seed"].notna()]["value"] if not formats.is_missing(value)]
    level = over[0]
    record |= {key: level[key] for key in ("value", "low", "high", "se", "n_questions")}
    record |= {"n_seeds": len(seeds), "seed_sd": stdev(seeds) if len(seeds) > 1 else None}
    if spec.spread == "seed_sd":
        record["note"] = f"{len(seeds) or 'no'} training seed(s), so no SD over seeds" * (len(seeds) < 2)
    elif formats.is_missing(level["low"]):
        record["note"] = str(level["method"])
    return record


def _whole_set(run: Run, column: Column, arm: Arm) -> dict[str, Any]:
    """A level that no single question has: the mean over seeds and their SD; {} where there is none
    either."""
    if is_rate(column.metric):  # what is withheld stays so
        return {}
    values = [v for (name, _), v in run.whole_set(column.task, column.metric).items() if name == arm.name]
    if not values:
        return {}
    return {
        "value": fmean(values),
        "n_seeds": len(values) if arm.is_trained else 0,
        "seed_sd": stdev(values) if len(values) > 1 else None,
        "note": "a number of all answers together: no interval over questions",
    }


def _differences(spec: TableSpec, run: Run) -> list[dict[str, Any]]:
    """Every cell minus its reference, one family of tests for the whole table."""
    made: list[tuple[dict[str, Any], tuple[str, str, str] | None]] = []
    for cell in _cells(spec, run):
        record = _record(spec, run, cell)
        name = run.metric(cell.column.task, cell.column.metric)
        if cell.arm is None or name is None:
            made.append((record, None))
            continue
        reference, why = _reference(spec, run, cell.arm)
        if reference is None:
            made.append((record | {"note": why}, None))
        else:
            made.append((record | {"reference": reference.name}, (cell.arm.name, reference.name, name)))
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for _, key in made:
        if key is not None:
            wanted.setdefault(key[:2], {})[key[2]] = None
    specs = [
        ContrastSpec(f"{treated} minus {reference}", treated, reference, tuple(metrics), "secondary")
        for (treated, reference), metrics in wanted.items()
    ]
    frame = run.contrasts(specs)
    rows: dict[tuple[str, str, str], dict[Any, Any]] = {
        (row["treated"], row["reference"], row["metric"]): row
        for row in frame.to_dict("records")
        if row["claim"] == spec.claim
    }
    adjusted, family = _corrected(spec, {key: row["p_value"] for key, row in rows.items()})
    marked, _ = _corrected(spec, {key: row["p_mark"] for key, row in rows.items()})
    for key, row in rows.items():
        row["withheld"] = withheld(
            adjusted.get(key), marked.get(key), formats.text_or_empty(row["barred"]), run.content.alpha
        )
    records = [
        record if key is None else record | _tested(rows[key], adjusted.get(key), spec, family)
        for record, key in made
    ]
    if spec.show in ("contrasts", MODELS):
        return [record for record in records if record["reference"] is not None]
    # no line for an arm that has nothing to subtract, unless it is what others are compared with
    width = len(columns_of(spec, run))
    lines = [records[start : start + width] for start in range(0, len(records), width)]
    return [c for line in lines if any(c["reference"] or c["note"] == REFERENCE for c in line) for c in line]


def _reference(spec: TableSpec, run: Run, treated: Arm) -> tuple[Arm | None, str]:
    assert spec.reference is not None
    arms = [arm for arm in run.study.arms if spec.reference.matches(arm, treated)]
    if treated in arms:
        return None, REFERENCE
    if len(arms) == 1:
        return arms[0], ""
    if not arms:
        given = ", ".join(f"{field}: {' or '.join(words)}" for field, words in spec.reference.given.items())
        return None, f"this study has no reference ({given})"
    return None, f"{len(arms)} arms fit as its reference ({', '.join(arm.name for arm in arms)}); name one"


def _corrected(
    spec: TableSpec, p_values: dict[tuple[str, str, str], Any]
) -> tuple[dict[tuple[str, str, str], float | None], str]:
    known = {key: None if formats.is_missing(p) else float(p) for key, p in p_values.items()}
    size = sum(p is not None for p in known.values())
    if spec.correction == "none":
        return {}, ""
    adjust = holm if spec.correction == "holm" else benjamini_hochberg
    return adjust(known), f"table {spec.table}/{spec.claim} ({size} test{'' if size == 1 else 's'})"


def _tested(row: dict[Any, Any], p_adjusted: float | None, spec: TableSpec, family: str) -> dict[str, Any]:
    return {
        "value": row["difference"],
        **{
            key: row[key] for key in ("low", "high", "se", "seed_sd", "n_questions", "n_seeds", "seed_deltas")
        },
        **{key: row[key] for key in ("p_value", "p_permutation", "withheld", "note")},
        "p_adjusted": p_adjusted,
        "correction": spec.correction,
        "family": family,
    }


def _study_contrasts(spec: TableSpec, run: Run) -> list[dict[str, Any]]:
    """The study's own contrasts, in their pre-registered families."""
    frame = run.content.sorted_contrasts(spec.claim)
    if spec.role is not None and len(frame):
        frame = frame[frame["role"] == spec.role]
    wanted = {run.metric(column.task, column.metric): column.label for column in spec.columns}
    arms = {arm.name: arm for arm in run.study.arms}
    records = []
    contrasts: list[Any] = list(frame.itertuples())
    for contrast in contrasts:
        row: dict[str, Any] = contrast._asdict()
        if wanted and row["metric"] not in wanted:
            continue
        task, metric = run.origin(row["metric"])
        label = wanted.get(row["metric"]) or run.content.metric(row["metric"]).label
        cell = _Cell(row["name"], Column(task=task, metric=metric, label=label), arms[row["treated"]])
        record = _record(spec, run, cell) | {"reference": row["reference"]}
        record |= _tested(row, row["p_adjusted"], spec, row["family"])
        record |= {key: row[key] for key in ("correction", "minus_treated", "minus_reference") if key in row}
        record["reading"] = reading(run.content, contrast)
        records.append(record)
    return records
