"""Tidy frames under the figures, written as CSV beside them: pure functions of a run's rows.

An empty frame means that the run has no such rows; `REASONS` says what it would take.
"""

import re
from typing import Any

import pandas as pd

from turncoat.evaluation.samples_file import sample_files, seed_of
from turncoat.evaluation.task_facts import BENIGN, BROAD, NARROW, PERSONA, metric_axes
from turncoat.judges.rates import RATES
from turncoat.report.run_rows import Run
from turncoat.stats.estimates import estimate_mean
from turncoat.stats.paired import pair_differences
from turncoat.stats.scores import Grid

REASONS = {
    "contrasts_adapters": "the study names no contrast",
    "contrasts_recipe": "no contrast has 3 training seeds",
    "misalignment_coherence": "no task measured both misalignment and coherence",
    "persona_layers": "no rows of a persona task with the base and a trained arm",
    "dose_response": "no task with doses (turncoat_latent_*)",
    "four_axes": "no arm besides the base",
}
_DOSE = re.compile(r"^(?P<measure>.+)_dose_(?P<dose>[0-9.]+)$")
_DOSE_MEASURES = ("em_rate_itt", "margin")
"""Measures drawn against the dose: the rate over all answers where there is one, else the margin."""
_MISALIGNMENT = ("em_rate_itt", "judge_aligned_mean")
_COHERENCE = ("judge_coherent_mean", "repetition")


def contrast_points(run: Run, claim: str) -> pd.DataFrame:
    """The study's contrasts under one claim, those with an interval."""
    frame = run.content.sorted_contrasts(claim)
    columns = ["metric", "name", "treated", "reference", "difference", "low", "high", "p_adjusted", "family"]
    columns.append("withheld")
    columns += [column for column in ("minus_treated", "minus_reference") if column in frame]
    return frame[frame["low"].notna()][columns].reset_index(drop=True)


def coherence_points(run: Run) -> pd.DataFrame:
    """Misalignment against coherence, arm by arm; a missing seed is the mean over seeds.

    Both come from one task's answers: the share misaligned among all answers where the judge may give it,
    else the mean alignment score, else (no judge) the first log-likelihood metric of the axis against
    repeated trigrams.
    """
    pairs = [(use.task, y, x) for use in run.study.tasks for y in _MISALIGNMENT for x in _COHERENCE]
    judged = ((run.metric(task, y), run.metric(task, x)) for task, y, x in pairs)
    names = next((names for names in judged if all(names)), None)
    if names is None:
        free = next((use.task for use in run.study.tasks if run.metric(use.task, "repetition")), "")
        names = (_unjudged(run), run.metric(free, "repetition"))
    columns = ["arm", "seed", *(f"{axis}{end}" for axis in "yx" for end in ("_metric", "", "_low", "_high"))]
    if names[0] is None or names[1] is None:
        return pd.DataFrame(columns=columns)
    parts = []
    for axis, name in zip("yx", names, strict=True):
        part = run.levels[run.levels["metric"] == name][["arm", "seed", "value", "low", "high"]]
        part = part.rename(columns={"value": axis, "low": f"{axis}_low", "high": f"{axis}_high"})
        parts.append(part.assign(**{f"{axis}_metric": name}))
    merged = parts[0].merge(parts[1], on=["arm", "seed"], how="inner", sort=False)
    return merged[merged["x"].notna() & merged["y"].notna()][columns].reset_index(drop=True)


def _unjudged(run: Run) -> str | None:
    """This run's name of the first metric of broad misalignment that is not a judge's rate."""
    pairs = [(use.task, m) for use in run.study.tasks for m, a in metric_axes(use.task).items() if a == BROAD]
    return next((name for task, m in pairs if m not in RATES and (name := run.metric(task, m))), None)


def layer_points(run: Run, confidence: float = 0.95) -> pd.DataFrame:
    """Persona activation at every layer, arm minus base on the same questions, with the interval over
    questions.

    Any finetuning makes such a change: read the organism against its control in the same picture. Rows of the
    first task that holds projections by layer.
    """
    from turncoat.analysis.persona_shift import values_by_layer  # imports torch

    columns = [
        "task", "reading", "layer", "arm", "difference", "low", "high", "n_questions", "n_seeds", "chosen",
    ]  # fmt: skip
    records: list[tuple[Any, ...]] = []
    base = next((arm for arm in run.study.arms if arm.is_base), None)
    tasks = [use.task for use in run.study.tasks if PERSONA in metric_axes(use.task).values()]
    if base is None or not tasks:
        return pd.DataFrame(columns=columns)
    task = tasks[0]
    tables = {}
    for arm in run.study.arms:
        there = sorted((run.folder / "rows" / arm.name).glob(f"*/{task}"))
        files = [path for folder in there for path in sample_files(folder, task)]
        if files:
            read = pd.concat(
                [values_by_layer(path, seed_of(path.parent.parent.name)) for path in files], ignore_index=True
            )
            tables[arm.name] = read
    if base.name not in tables:
        return pd.DataFrame(columns=columns)
    grids = {
        (name, str(reading), int(str(layer))): Grid(
            name, str(reading), rows.pivot(index="question", columns="seed", values="value"), {}
        )
        for name, table in tables.items()
        for (reading, layer), rows in table.groupby(["reading", "layer"])
    }
    chosen = set(tables[base.name].loc[tables[base.name]["chosen"], "layer"])
    for (name, reading, layer), values in grids.items():
        before = grids.get((base.name, reading, layer))
        if name == base.name or before is None:
            continue
        shift = estimate_mean(pair_differences(values, before).by_question, confidence)
        of_shift = (shift.value, shift.low, shift.high, shift.n_questions)
        records.append((task, reading, layer, name, *of_shift, values.values.shape[1], layer in chosen))
    return _sorted(pd.DataFrame.from_records(records, columns=columns), run, "reading", "layer")


def dose_points(run: Run) -> pd.DataFrame:
    """The response of every arm to every dose, the mean over its seeds."""
    columns = ["task", "measure", "dose", "arm", "value", "low", "high", "n_questions"]
    rows: dict[tuple[str, str], list[dict[Any, Any]]] = {}
    for row in run.levels[run.levels["seed"].isna()].to_dict("records"):
        task, metric = run.origin(str(row["metric"]))
        match = _DOSE.match(metric)
        if match is not None:
            record = {**row, "task": task, "measure": match["measure"], "dose": float(match["dose"])}
            rows.setdefault((task, match["measure"]), []).append(record)
    records = []
    for use in run.study.tasks:
        records += next((rows[use.task, m] for m in _DOSE_MEASURES if (use.task, m) in rows), [])
    return _sorted(pd.DataFrame.from_records(records, columns=columns), run, "task", "dose")


def _sorted(frame: pd.DataFrame, run: Run, first: str, last: str) -> pd.DataFrame:
    """Rows by one column, then by the study's order of arms, then by another column."""
    ranks = {arm.name: rank for rank, arm in enumerate(run.study.arms)}
    ordered = frame.assign(_rank=frame["arm"].map(ranks)).sort_values([first, "_rank", last], kind="stable")
    return ordered.drop(columns="_rank").reset_index(drop=True)


def axis_points(run: Run) -> pd.DataFrame:
    """The four axes, one metric each, as what is drawn: the level, or the share of the organism (or control)
    learnt.

    Narrow and benign learning are drawn as the gain; `reference` is the gain or level of the undefended arm.
    """
    axes = run.content.axes
    columns = ["axis", "metric", "label", "unit", "better", "arm", "value", "low", "high", "status"]
    if axes.empty:
        return pd.DataFrame(columns=columns)
    parts = []
    for axis in dict.fromkeys(axes["axis"]):
        part = axes[axes["axis"] == axis]
        measured = part[part["value"].notna()]
        if measured.empty:
            continue
        if axis in (NARROW, BENIGN):
            parts.append(part.assign(label="fall of the held-out loss"))
            continue
        first = measured.iloc[0]["metric"]
        parts.append(part[part["metric"].isna() | (part["metric"] == first)])
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]
