"""Tables over base models (`show: models`): a line for each model, and their random-effects mean.

    frame = models_frame(spec, find_runs(Path("runs")))      # -> the CSV
    models_table(spec, frame)                                # -> Markdown, LaTeX

Runs belong together where organism, defences and system prompt of both sides and the metric are the same,
whatever their arms and contrasts are called. A base model counts once: of several runs that measured it, the
one with most training seeds (then the first by name) is pooled.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.report.paper.frames import table_frame
from turncoat.report.paper.spec import TableSpec
from turncoat.report.run_rows import Run
from turncoat.report.tables.contrasts import CLAIM_TEXTS, DAGGER
from turncoat.report.tables.table import Cell, Table, count_cell, interval_cell, number_cell, numbers, words
from turncoat.stats.meta_analysis.random_effects import random_effects
from turncoat.study.arm_config import Arm

COLUMNS = (
    "contrast", "task", "metric", "column", "unit", "model", "study", "arm", "reference", "dose", "claim",
    "value", "low", "high", "se", "tau", "n_seeds", "n_questions", "pooled", "note",
)  # fmt: skip
POOLED = "random effects"
"""`model` of a line that pools the models above it."""
METHOD = (
    "Random effects: the mean over models like these, with Paule and Mandel's variance between models and t "
    "with one degree of freedom less than models. Hartung and Knapp's factor is 1 with that variance, and is "
    "not let below 1."
)
FEW = {
    2: "2 models leave 1 degree of freedom: their interval reaches 12.7 standard errors either way and "
    "hardly says more than the lines above it.",
    3: "3 models leave 2 degrees of freedom: their interval reaches 4.3 standard errors either way and "
    "shows only what is large and even.",
}
LIMITS = (
    "All models answer the same questions, so the mean is about other models asked these. Base SD and nats "
    "per token are each model's own units. Nothing in this table is marked as significant."
)
NOT_POOLED = (
    f"{DAGGER} Not pooled: another run of this base model has more seeds, or as many and an earlier name; or "
    "there is no interval."
)


def models_frame(spec: TableSpec, runs: Sequence[Run]) -> pd.DataFrame:
    """Lines of the table (`COLUMNS`) in the order of the runs, without what one model alone measures."""
    by_label = {run.label: run for run in runs}
    groups: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for cell in table_frame(spec, runs).to_dict("records"):
        run = by_label[cell["study"]]
        arms = {arm.name: arm for arm in run.study.arms}
        treated = arms[cell["arm"]]
        recipe = treated.recipe(run.study.training)
        contrast = f"{_what(treated)} - {_what(arms[cell['reference']])}"
        line = {str(key): cell.get(key) for key in COLUMNS} | {
            "contrast": contrast,
            "dose": f"{recipe.rows or 'all'} rows x {recipe.epochs}, {recipe.learning_rate:g}",
            "note": "; ".join(filter(None, (cell["note"], cell["withheld"]))),
            "weights": run.content.model["weights"],
        }  # fmt: skip
        groups.setdefault(contrast, {}).setdefault((cell["task"], cell["metric"]), []).append(line)
    parts = [lines for by_metric in groups.values() for lines in by_metric.values()]
    records = [line for part in parts for line in _with_mean(part)]
    frame = pd.DataFrame(records, columns=list(COLUMNS), dtype=object)
    return frame.where(frame.notna(), None)


def models_table(spec: TableSpec, frame: pd.DataFrame) -> Table:
    """The table as printed."""
    lines, sizes = [], set()
    for _, part in frame.groupby(["contrast", "task", "metric"], sort=False):
        rows = part.to_dict("records")
        ends = formats.half_widths((row["low"], row["high"]) for row in rows if row["model"] != POOLED)
        places = formats.decimals_for(ends, [row["value"] for row in rows])
        lines += [_line(row, places, first=number == 0) for number, row in enumerate(rows)]
        sizes.add(sum(bool(row["pooled"]) for row in rows))
    columns = [*words("Treated minus reference", "Metric", "Base model", "Run", "Rows and rate")]
    columns += numbers("Seeds", "Difference [95% CI]", "SD between models")
    notes = [". ".join(CLAIM_TEXTS[spec.claim]), METHOD, *(FEW[n] for n in sorted(sizes) if n in FEW), LIMITS]
    notes += [NOT_POOLED] * bool((~frame["pooled"].astype(bool) & (frame["model"] != POOLED)).any())
    for note, part in frame[frame["note"].astype(bool)].groupby("note", sort=False):
        notes.append(f"{str(note)[:1].upper()}{str(note)[1:]} ({', '.join(dict.fromkeys(part['study']))}).")
    return Table(spec.title, spec.caption, columns, lines, notes)


def _what(arm: Arm) -> str:
    """An arm by what was done to it, in names that all studies share."""
    parts = [arm.organism or "base", *(f"{use.defence} ({use.setting})" for use in arm.defences)]
    return " + ".join(parts) + ("" if arm.system == "default" else f", system prompt {arm.system}")


def _with_mean(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of one contrast and metric with their mean; none of what one model alone was to measure."""
    if len({line["weights"] for line in lines}) < 2 or all(line["value"] is None for line in lines):
        return []
    best: dict[str, dict[str, Any]] = {}
    for line in lines:
        line["pooled"] = False
        there = best.get(line["weights"])
        if line["se"] and (there is None or line["n_seeds"] > there["n_seeds"]):
            best[line["weights"]] = line
    lines = sorted(lines, key=lambda line: (line["model"], line["study"]))
    if len(best) < 2:
        return lines
    for line in best.values():
        line["pooled"] = True
    mean = random_effects([line["value"] for line in best.values()], [line["se"] for line in best.values()])
    shared = {key: lines[0][key] for key in ("contrast", "task", "metric", "column", "unit", "claim")}
    numbers_of = {"value": mean.mean, **{key: getattr(mean, key) for key in ("low", "high", "se", "tau")}}
    empty: dict[str, Any] = dict.fromkeys(COLUMNS)
    return [*lines, empty | shared | numbers_of | {"model": POOLED, "pooled": False, "note": ""}]


def _line(row: dict[Any, Any], places: int, *, first: bool) -> list[Cell]:
    mean = row["model"] == POOLED
    unit = f" ({row['unit']})" if row["unit"] and f"({row['unit']})" not in row["column"] else ""
    mark = "" if mean or row["pooled"] else f" {DAGGER}"
    names = [row["contrast"], f"{row['column']}{unit}"] if first else ["", ""]
    return [
        *map(Cell, [*names, f"{row['model']}{mark}", row["study"] or "", row["dose"] or ""]),
        Cell("") if mean else count_cell(row["n_seeds"]),
        interval_cell(row["value"], row["low"], row["high"], places, signed=True),
        number_cell(row["tau"], places) if mean else Cell(""),
    ]
