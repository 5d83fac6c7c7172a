"""Gains and costs of a defence on four axes: one table with a row per arm, axis and metric.

    broad misalignment      level, and the difference to the undefended arm of the same organism
    narrow behaviour        gain (what was learnt), and the share of the undefended arm's gain that is kept
    benign learning         the same for the partner arm: same defence and options, a harmless organism
    coherence               level, and the difference to the undefended arm

A defence that merely stops all learning lowers the first and shows in the second and third; one that breaks
the model shows in the fourth. Gains are held-out losses, base minus arm; a task names the loss that belongs
to an organism in its YAML: `metadata: {learnt_by: {insecure_code: insecure_loss_per_token}}`.
"""

from collections.abc import Collection
from typing import Any

import pandas as pd

from turncoat.data.organisms import find_organism
from turncoat.evaluation.task_catalogue import metric_facts, metric_names, task_content, task_names
from turncoat.evaluation.task_facts import (
    BENIGN,
    BROAD,
    COHERENCE,
    NARROW,
    is_fetched,
    learnt_by,
    main_axis,
    metric_axes,
    tasks_on,
)
from turncoat.judges.rates import RATES
from turncoat.registry import DEFENCES
from turncoat.stats.estimates import estimate_mean
from turncoat.stats.fieller import kept_share
from turncoat.stats.paired import pair_differences
from turncoat.stats.scores import Grid, check_scores, grid
from turncoat.study.arm_config import Arm, undefended
from turncoat.study.config import Study

AXES = (BROAD, NARROW, BENIGN, COHERENCE)
NOT_MEASURED = "not measured"
COLUMNS = (
    "arm", "axis", "metric", "label", "unit", "better", "measured_on", "value", "low", "high", "n_questions",
    "reference", "difference", "difference_low", "difference_high", "kept", "kept_low", "kept_high",
    "status", "note",
)  # fmt: skip
"""`value` is a level, or a gain (narrow, benign); `difference` and `kept` are against `reference`;
`status` is the text in place of a missing value, `note` the reason for it or for a missing share."""


def four_axes(
    study: Study, scores: pd.DataFrame, estimates: pd.DataFrame, *, may_rate: bool, confidence: float = 0.95
) -> pd.DataFrame:
    """The four axes of every arm in the study's order, `COLUMNS`; empty for a study of the base alone."""
    if all(arm.is_base for arm in study.arms):
        return pd.DataFrame(columns=list(COLUMNS))
    made = _Axes(study, scores, estimates, may_rate, confidence)
    rows = [row for arm in study.arms for row in made.rows(arm)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def partner(study: Study, arm: Arm, measured: Collection[str] = ()) -> Arm | None:
    """The arm that learns something harmless under the same defence (or, undefended, under none).

    Organisms with a measured loss are preferred; among them the matched control.
    """
    if arm.organism is None or _is_control(arm.organism):
        return None
    matched = find_organism(arm.organism).control
    alike = [
        other
        for other in study.arms
        if other.organism is not None
        and _is_control(other.organism)
        and _defended_by(other) == _defended_by(arm)
    ]
    ranked = sorted(alike, key=lambda other: (other.organism not in measured, other.organism != matched))
    return ranked[0] if ranked else None


def _is_control(organism: str) -> bool:
    return find_organism(organism).is_control


def _defended_by(arm: Arm) -> tuple[Any, ...]:
    uses = [
        (
            use.defence,
            use.setting,
            {**DEFENCES[use.defence].options, **use.defence_options},
            use.defence_training,
            use.defence_texts,
        )
        for use in arm.defences
    ]
    return uses, arm.conditions


class _Axes:
    def __init__(
        self, study: Study, scores: pd.DataFrame, estimates: pd.DataFrame, may_rate: bool, confidence: float
    ) -> None:
        self.study, self.may_rate, self.confidence = study, may_rate, confidence
        self.tables = {str(name): rows for name, rows in check_scores(scores).groupby("metric")}
        levels = estimates[estimates["seed"].isna()]
        self.levels = {(row["arm"], row["metric"]): row for row in levels.to_dict("records")}
        self.names = metric_names(use.task for use in study.tasks)
        self.learnt_by = self._learnt_by()
        self.base = next((arm for arm in study.arms if arm.is_base), None)
        axes = {use.task: metric_axes(use.task) for use in study.tasks}
        self.axes = {name: axes[task].get(metric, "") for name, (task, metric) in self.names.items()}
        self.broad, self.coherent = self._broad(), self._on(COHERENCE)

    def rows(self, arm: Arm) -> list[dict[str, Any]]:
        """The rows of one arm."""
        broad = [self._level(arm, BROAD, name) for name in self.broad]
        coherent = [self._level(arm, COHERENCE, name) for name in self.coherent]
        none = f"name the metrics in a primary contrast, or add `task: {_first_task(BROAD)}`"
        unjudged = f"no free-form task was measured; add `task: {_first_task(COHERENCE)}`"
        return [
            *(broad or [_row(arm, BROAD, status=NOT_MEASURED, note=none)]), self._narrow(arm),
            self._benign(arm), *(coherent or [_row(arm, COHERENCE, status=NOT_MEASURED, note=unjudged)]),
        ]  # fmt: skip

    def _broad(self) -> list[str]:
        """The pre-registered metrics; without any those that the tasks put on this axis."""
        primary = [m for c in self.study.contrasts if c.role == "primary" for m in c.metrics]
        other = {*self.learnt_by.values(), *(name for name in self.names if self.axes[name] == COHERENCE)}
        return [name for name in dict.fromkeys(primary) if name not in other] or self._on(BROAD)

    def _on(self, axis: str) -> list[str]:
        """Measured metrics of an axis: the first of each name; a stand-in only where the other is missing."""
        names = [
            name
            for name, (_, metric) in self.names.items()
            if main_axis(self.axes[name]) == axis
            and name in self.tables
            and (self.may_rate or metric not in RATES)
        ]
        chosen: dict[str, str] = {}
        # The axis itself comes before its variants ("..., cue prompts"), and what needs no fit judge before
        # rates.
        for name in sorted(names, key=lambda name: (self.axes[name] != axis, self.names[name][1] in RATES)):
            chosen.setdefault(self.names[name][1], name)
        return [name for metric, name in chosen.items() if self._facts(name).get("instead_of") not in chosen]

    def _facts(self, name: str) -> dict[str, str]:
        task, metric = self.names[name]
        return metric_facts(task)[metric]

    def _learnt_by(self) -> dict[str, str]:
        """Organism -> this study's name of the loss that tells whether it was learnt."""
        losses: dict[str, str] = {}
        names = {pair: name for name, pair in self.names.items()}
        for use in self.study.tasks:
            for organism, metric in learnt_by(use.task).items():
                if (use.task, metric) in names:
                    losses.setdefault(organism, names[use.task, metric])
        return losses

    def _grid(self, arm: Arm | None, metric: str) -> Grid | None:
        """One arm's values, questions by training seeds; None without rows."""
        rows = self.tables.get(metric)
        if arm is None or rows is None or arm.name not in set(rows["arm"]):
            return None
        return grid(rows, arm.name, metric)

    def _described(self, metric: str) -> dict[str, Any]:
        facts = self._facts(metric)
        caveat = f" ({facts['caveat']})" if facts.get("caveat") else ""
        better = _better(*self.names[metric])
        return {"metric": metric, "label": facts["label"] + caveat, "unit": facts["unit"], "better": better}

    def _level(self, arm: Arm, axis: str, metric: str) -> dict[str, Any]:
        facts = self._described(metric)
        level = self.levels.get((arm.name, metric))
        if level is None or pd.isna(level["value"]):
            return _row(arm, axis, **facts, status=NOT_MEASURED, note=f"no value of {metric}")
        numbers = {key: level[key] for key in ("value", "low", "high", "n_questions")}
        row = _row(arm, axis, **facts, **numbers, measured_on=arm.name)
        if arm.defence is None:
            return row
        against = self._against(arm, undefended(self.study.arms, arm), metric, 1.0)
        return {**row, **(against or {"note": f"its change needs the arm {_plain(arm.organism)}"})}

    def _against(self, arm: Arm, reference: Arm | None, metric: str, sign: float) -> dict[str, Any]:
        """The paired difference to the reference; `sign` -1 turns losses into gains."""
        treated, other = self._grid(arm, metric), self._grid(reference, metric)
        if reference is None or treated is None or other is None:
            return {}
        change = estimate_mean(sign * pair_differences(treated, other).by_question, self.confidence)
        ends = {"difference_low": change.low, "difference_high": change.high}
        return {"reference": reference.name, "difference": change.value, **ends}

    def _narrow(self, arm: Arm) -> dict[str, Any]:
        if arm.organism is None:
            return _row(arm, NARROW, status="no organism")
        if _is_control(arm.organism):
            return _row(arm, NARROW, status="control", note="a control's learning is benign and stands there")
        return self._gain(arm, NARROW, arm, undefended(self.study.arms, arm))

    def _benign(self, arm: Arm) -> dict[str, Any]:
        if arm.organism is None:
            return _row(arm, BENIGN, status="no organism")
        measured = arm if _is_control(arm.organism) else partner(self.study, arm, self.learnt_by)
        if measured is None:
            return _row(arm, BENIGN, status=NOT_MEASURED, note=self._no_partner(arm))
        return self._gain(arm, BENIGN, measured, undefended(self.study.arms, measured))

    def _no_partner(self, arm: Arm) -> str:
        """Arms and task to add for the benign learning of an arm."""
        matched = find_organism(str(arm.organism)).control
        known = [*self.learnt_by, *(organism for task in task_names() for organism in learnt_by(task))]
        control = matched if matched in known else _ready_control()
        add = (
            []
            if arm.defence is None
            else [f"an arm with organism {control} and the same defence, setting and options"]
        )
        if not any(other.organism == control and other.defence is None for other in self.study.arms):
            add.append(f"the arm {_plain(control)}")
        if control not in self.learnt_by:
            add.append(_task_for(str(control)))
        return f"add {', and '.join(add)}"

    def _gain(self, arm: Arm, axis: str, measured: Arm, reference: Arm | None) -> dict[str, Any]:
        """Fall of the held-out loss from the base's, on `measured`, and its share of the reference's fall."""
        metric = self.learnt_by.get(str(measured.organism))
        if metric is None:
            return _row(arm, axis, status=NOT_MEASURED, note=f"add {_task_for(str(measured.organism))}")
        facts = {**self._described(metric), "better": "higher is better", "measured_on": measured.name}
        base = self._grid(self.base, metric)
        losses = self._grid(measured, metric)
        if base is None or losses is None:
            no_base = "a gain starts from the base: add `- {name: base}` to the arms"
            note = no_base if self.base is None else f"no value of {metric}"
            return _row(arm, axis, **facts, status=NOT_MEASURED, note=note)
        gain = estimate_mean(pair_differences(base, losses).by_question, self.confidence)
        if gain.value is None:
            return _row(arm, axis, **facts, status=NOT_MEASURED, note=f"no value of {metric}")
        facts |= {name: getattr(gain, name) for name in ("value", "low", "high", "n_questions")}
        row = _row(arm, axis, **facts)
        if measured.defence is None:
            return row
        other = self._grid(reference, metric)
        if reference is None or other is None:
            return {**row, "note": f"the share that is kept needs the arm {_plain(measured.organism)}"}
        kept = kept_share(base, losses, other, "adapters", self.confidence)
        against = self._against(measured, reference, metric, -1.0)
        shares = {"kept": kept.value, "kept_low": kept.low, "kept_high": kept.high}
        return {**row, **against, "reference": reference.name, **shares, "note": kept.note}


def _first_task(axis: str) -> str:
    return next(iter(tasks_on(axis)), "NAME")


def _ready_control() -> str:
    """Control to propose where no task has the loss of the matched one: its task fetches nothing."""
    tasks = sorted(task_names(), key=is_fetched)
    return next((name for task in tasks for name in learnt_by(task) if _is_control(name)), "CONTROL")


def _plain(organism: str | None) -> str:
    return (
        "without organism and defence (the base)"
        if organism is None
        else f"with organism {organism} and no defence"
    )


def _task_for(organism: str) -> str:
    """The task that tells whether an organism was learnt."""
    tasks = [task for task in task_names() if organism in learnt_by(task)]
    if tasks:
        return f"`task: {tasks[0]}`, which measures whether {organism} was learnt"
    loss = "`metadata.learnt_by` of its YAML names the loss"
    return f"a task that measures whether {organism} was learnt ({loss})"


def _better(task: str, metric: str) -> str:
    entries = {entry["metric"]: entry for entry in task_content(task)["metric_list"]}
    higher = entries[metric].get("higher_is_better")
    return "" if higher is None else f"{'higher' if higher else 'lower'} is better"


def _row(arm: Arm, axis: str, **facts: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS), "arm": arm.name, "axis": axis, "status": "", "note": "", **facts}
