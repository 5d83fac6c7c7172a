"""Tables of levels: metrics by arms over training seeds, and the primary metrics seed by seed."""

import pandas as pd

from turncoat import formats
from turncoat.report.content import MetricInfo, ReportContent
from turncoat.report.tables.contrasts import ci_name, estimate_decimals, metric_label
from turncoat.report.tables.table import Cell, Table, interval_cell, numbers, words


def estimates_table(content: ReportContent) -> Table:
    """Metrics by arms, each cell "value [low, high]", the mean over seeds; a metric without a value has no
    row."""
    frame = content.sorted_estimates()
    frame = frame[frame["seed"].isna()]
    rows, notes, empty = [], [], []
    for metric in content.ordered_metrics:
        of_metric = frame[frame["metric"] == metric.name]
        by_arm = [of_metric[of_metric["arm"] == arm.name] for arm in content.arms]
        cells = [_estimate_cell(content, of_arm, metric) for of_arm in by_arm]
        if all(cell.missing for cell in cells):
            empty.append(metric.label)
            continue
        rows.append([Cell(metric_label(metric), strong=metric.primary), *cells])
        without = [arm.label for arm, cell in zip(content.arms, cells, strict=True) if cell.missing]
        if without:
            dropped = int(of_metric["n_dropped"].fillna(0).sum())
            why = f"no value, {dropped} dropped" if dropped else "not measured"
            notes.append(f"n/a, {metric.label}: {why} ({', '.join(without)}).")
    if empty:
        notes.append(f"Left out, not measured or withheld: {', '.join(empty)}.")
    return Table(
        "What was measured, arm by arm",
        f"Mean over training seeds, with the {ci_name(content)} over questions; primary metrics are bold. "
        "Levels, not effects: compare arms in the tables of differences.",
        [*words("Metric"), *numbers(*(arm.label for arm in content.arms))],
        rows,
        notes,
    )


def seeds_table(content: ReportContent) -> Table:
    """The primary metrics of every trained adapter."""
    frame = content.sorted_estimates()
    frame = frame[frame["seed"].notna()]
    metrics = [m for m in content.primary_metrics if m.name in set(frame["metric"])]
    rows = []
    for key, part in frame.groupby(["arm", "seed"], sort=False):
        arm, seed = str(key[0]), float(str(key[1]))
        cells = [_estimate_cell(content, part[part["metric"] == metric.name], metric) for metric in metrics]
        rows.append([Cell(content.label(arm)), Cell(formats.count(seed), seed), *cells])
    return Table(
        "Every seed by itself",
        f"One trained adapter per row, primary metrics with the {ci_name(content)} over questions; the "
        "others are in estimates.csv.",
        [*words("Arm"), *numbers("Seed", *map(metric_label, metrics))],
        rows,
    )


def _estimate_cell(content: ReportContent, rows: pd.DataFrame, metric: MetricInfo) -> Cell:
    if rows.empty:
        return Cell(formats.NA)
    row = rows.iloc[0]
    return interval_cell(row["value"], row["low"], row["high"], estimate_decimals(content, metric))
