"""Columns and notes of persona differences: standardised, as cosines, and what the vector's error is in."""

from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.report.content import ADAPTERS, MetricInfo, ReportContent
from turncoat.report.tables.table import Cell, Column, interval_cell, numbers


def unit_columns(content: ReportContent, metric: MetricInfo, ci_name: str) -> list[Column]:
    """Two more columns of a persona metric's table; none for other metrics."""
    return numbers(f"Standardised [{ci_name}]", f"Cosine [{ci_name}]") if len(_of(content, metric)) else []


def unit_cells(content: ReportContent, metric: MetricInfo, row: Any) -> list[Cell]:
    """Their cells in the row of a contrast."""
    of_metric = _of(content, metric)
    if not len(of_metric):
        return []
    one = of_metric[(of_metric["name"] == row.name) & (of_metric["claim"] == row.claim)].iloc[0]
    cells = []
    for column in ("effect", "cosine"):
        ends = zip(of_metric[f"{column}_low"], of_metric[f"{column}_high"], strict=True)
        places = formats.decimals_for(formats.half_widths(ends), of_metric[column])
        values = (one[column], one[f"{column}_low"], one[f"{column}_high"])
        cells.append(interval_cell(*values, places, signed=True))
    return cells


def base_note(content: ReportContent, metric: MetricInfo) -> tuple[str, ...]:
    """Mean and spread of the base on the questions of the table, in the metric's unit."""
    of_metric = _of(content, metric)
    if not len(of_metric) or formats.is_missing(of_metric.iloc[0]["base_sd"]):
        return ()
    one = of_metric.iloc[0]
    ends = formats.interval(one["base_sd_low"], one["base_sd_high"], 2)
    return (
        f"The base on these {one['n_questions']} questions, in {metric.unit}: mean "
        f"{formats.number(one['base_mean'], 2)}, SD {formats.number(one['base_sd'], 2)} {ends}.",
    )


def vector_notes(content: ReportContent, claim: str) -> tuple[str, ...]:
    """Meaning of the two columns, and whether the vector's own error is in the intervals."""
    if not len(content.persona_units):
        return ()
    meaning = (
        "Standardised: the difference in SD of the base on these questions, with the error of both. The "
        "metric's own unit is the base's SD on the questions that the vector was extracted with. Cosine: the "
        "same difference as cosines with the vector, without a unit."
    )
    again = sorted({int(n) for n in content.persona_units["n_again"]})
    if claim == ADAPTERS:
        error = "The persona vector is taken as it is, like the adapters: its own error is in no interval."
    elif again == [0]:
        error = (
            "The persona vector's own sampling error is not in these intervals: the rows hold no "
            "re-extractions."
        )
    else:
        some = " where the rows hold them" if 0 in again else ""
        error = (
            f"Intervals and p of persona metrics hold the vector's sampling error, from {again[-1]} "
            f"re-extractions{some}; those of cosines do not."
        )
    return meaning, error


def _of(content: ReportContent, metric: MetricInfo) -> pd.DataFrame:
    units = content.persona_units
    return units[units["metric"] == metric.name] if len(units) else units
