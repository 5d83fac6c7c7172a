"""Charts of a run as data that view.js draws: training curves, persona shift by layer.

A chart is {"title", "note", "x", "y", "mark" (an x, or None), "lines"}; a line has a name, the class of its
colour, points [x, y] and, where it has an interval, its band [x, low, high].
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from turncoat.analysis.persona_shift import shift_by_layer
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.evaluation.task_facts import PERSONA, tasks_on
from turncoat.report.render.html import arm_looks
from turncoat.study.arm_config import Arm
from turncoat.study.config import Study

Json = dict[str, Any]
_READINGS = {"fixed": "on fixed texts that every model reads", "own": "on each model's own answers"}
_ENDS_ONLY = "This run recorded the loss of the first step and the mean over the last quarter, no curve."


def training_charts(entries: Iterable[Mapping[str, Any]], study: Study) -> list[Json]:
    """One chart of losses, and one of penalties where there are any, for each kind of finetune.

    Args:
        entries: `training` of a run.json.
    """
    charts: dict[tuple[str, str], Json] = {}
    looks = {name: (label, look) for name, label, look in arm_looks(study.arms)}
    for entry in entries:
        arm, step = str(entry["arm"]).rpartition(", seed ")[0], str(entry["step"])
        label, look = looks.get(arm, (arm, "base"))
        for kind, points, whole in _curves(entry):
            chart = charts.setdefault((kind, step), {
                "title": f"{kind.capitalize()} while training on {step}", "note": "", "x": "step",
                "y": "nats per answer token", "mark": None, "lines": [],
            })  # fmt: skip
            chart["note"] = chart["note"] if whole else _ENDS_ONLY
            name = f"{label}, seed {entry.get('seed')}"
            chart["lines"].append({"name": name, "arm": label, "look": look, "points": points, "band": []})
    return list(charts.values())


def _curves(entry: Mapping[str, Any]) -> Iterable[tuple[str, list[list[float]], bool]]:
    """Kind, points, and whether they are a whole curve."""
    curve = entry.get("curve") or {}
    if "loss" in curve:
        yield from ((kind, curve[kind], True) for kind in ("loss", "penalty") if curve.get(kind))
        return
    if "first_loss" not in entry:  # an adapter that was edited, not trained
        return
    last = int(entry["steps"])
    yield "loss", [[1, float(entry["first_loss"])], [last, float(entry["last_loss"])]], False
    if penalties := entry.get("penalties"):
        yield "penalty", [[1, float(penalties[0])], [last, float(penalties[-1])]], False


def control_pairs(study: Study) -> list[tuple[Arm, Arm]]:
    """(organism, its control) of every contrast between two trained arms that differ in their data alone."""
    pairs = {(c.treated, c.reference): None for c in study.contrasts if c.minus is None}
    arms = {arm.name: arm for arm in study.arms}
    found = [(arms[treated], arms[reference]) for treated, reference in pairs]
    return [
        (arm, other)
        for arm, other in found
        if arm.organism and other.organism and arm.organism != other.organism
        and (arm.defences, arm.conditions) == (other.defences, other.conditions)
        and not find_organism(arm.organism).is_control
    ]  # fmt: skip


def layer_charts(folder: Path, study: Study) -> list[Json]:
    """Persona shift at every layer, organism minus control, with intervals over questions: a chart a reading.

    Nothing where the study reads no persona vector, or has no organism beside its control. A pair without
    rows (a training failed) is left out.
    """
    if not {use.task for use in study.tasks} & set(tasks_on(PERSONA)):
        return []
    looks = {name: look for name, _, look in arm_looks(study.arms)}
    charts: dict[str, Json] = {}
    for arm, other in control_pairs(study):
        try:
            shifts = shift_by_layer(folder, arm.name, other.name)
        except UserError:
            continue
        for reading, part in shifts.groupby("reading", sort=True):
            chart = charts.setdefault(str(reading), {
                "title": f"Persona by layer, {_READINGS[str(reading)]}", "x": "layer", "y": "base SD",
                "note": "Organism minus its control; bands are 95% intervals over questions, about these "
                "adapters. The marked layer was fixed before any finetuning; claims rest on it alone.",
                "mark": int(part.loc[part["chosen"], "layer"].iloc[0]), "lines": [],
            })  # fmt: skip
            numbers = part[["layer", "difference", "low", "high"]].astype(float).round(4).values.tolist()
            name = f"{arm.label or arm.name} minus {other.label or other.name}"
            chart["lines"].append({
                "name": name, "arm": name, "look": looks[arm.name],
                "points": [[x, y] for x, y, _, _ in numbers if y == y],
                "band": [[x, low, high] for x, _, low, high in numbers if low == low],
            })  # fmt: skip
    return list(charts.values())
