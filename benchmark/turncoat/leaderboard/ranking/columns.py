"""The columns of a board: which metric stands on which axis, and which one ranks.

Every column is a change against the undefended organism of the same entry, but for the two shares of learning
that are kept. A metric has a column if its task's YAML gives it an axis and a short label
(`turncoat.evaluation.task_facts`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from turncoat.analysis.judge_corrected import is_rate
from turncoat.errors import UserError, accepted
from turncoat.evaluation.task_catalogue import is_judged, metric_facts, metric_names, task_content
from turncoat.evaluation.task_facts import (
    BENIGN,
    BROAD,
    COHERENCE,
    NARROW,
    PERSONA,
    condition,
    learnt_by,
    metric_axes,
)
from turncoat.leaderboard.entry.track import Track

NARROW_KEPT, BENIGN_KEPT = "narrow_kept", "benign_kept"
_ORDER = (PERSONA, BROAD)  # then variants of them, the shares of learning that are kept, and coherence


@dataclass(frozen=True)
class BoardColumn:
    """One column: a change against the undefended organism, or a share of its gain."""

    key: str  # Name of the metric (`metric_names`), or `narrow_kept`, `benign_kept`
    label: str
    short: str  # Its name under a heading that says the axis
    unit: str
    axis: str
    better: Literal["lower", "higher"]
    help: str
    kind: Literal["change", "share"] = "change"
    judged: bool = False  # True if it rests on a judge's scores of sampled answers


def board_columns(
    track: Track, organism: str, measured: Collection[str], withheld: str = ""
) -> list[BoardColumn]:
    """The columns, in the order of the table."""
    tasks = [use.task for use in track.tasks_for(organism)]
    names = {pair: name for name, pair in metric_names(tasks).items()}

    def there(task: str, metric: str) -> bool:
        return names.get((task, metric)) in measured and not (withheld and is_rate(metric))

    shown = [
        (axis, task, metric)
        for task in tasks
        for metric, axis in metric_axes(task).items()
        if metric_facts(task)[metric].get("short") and there(task, metric)
    ]
    # A stand-in, such as a mean score, is shown where what it stands in for is withheld or was not measured.
    covered = [
        (axis, task, metric_facts(task)[metric].get("instead_of")) in shown for axis, task, metric in shown
    ]
    shown = [one for one, is_covered in zip(shown, covered, strict=True) if not is_covered]
    # Axes in the order of the table; within an axis as the track has the tasks.
    axes = list(dict.fromkeys([*_ORDER, *(axis for axis, _, _ in shown)]))
    shown.sort(key=lambda one: axes.index(one[0]))
    made = [_change(axis, names[task, metric], task, metric) for axis, task, metric in shown]
    columns = [column for column in made if column.axis != COHERENCE]
    ranked = ranked_metric(track, organism, withheld)
    if ranked not in {column.key for column in columns}:
        task, metric = metric_names(tasks)[ranked]
        columns.insert(0, _change(BROAD, ranked, task, metric))
    columns += [_share(NARROW_KEPT, NARROW), _share(BENIGN_KEPT, BENIGN)]
    return columns + [column for column in made if column.axis == COHERENCE]


def ranked_metric(track: Track, organism: str, withheld: str = "") -> str:
    """The metric that ranks, under its name on this board: the track's, or its substitute where that is
    withheld.

    Raises:
        UserError: No task of the track measures it.
    """
    names = metric_names(use.task for use in track.tasks_for(organism))

    def named(metric: str) -> str:
        if metric in names:
            return metric
        name = next((name for name, (_, of_task) in names.items() if of_task == metric), None)
        if name is None:
            raise UserError(f"track {track.track}: no task measures '{metric}'; {accepted(names, metric)}")
        return name

    first = named(track.ranked_by)
    return named(track.ranked_by_else) if withheld and is_rate(names[first][1]) else first


def loss_metric(track: Track, organism: str, learner: str) -> str | None:
    """Name of the held-out loss, among the tasks of `organism`'s board, that tells whether `learner` was
    learnt."""
    tasks = [use.task for use in track.tasks_for(organism)]
    names = {pair: name for name, pair in metric_names(tasks).items()}
    return next((names[task, learnt_by(task)[learner]] for task in tasks if learner in learnt_by(task)), None)


def better(task: str, metric: str) -> Literal["lower", "higher"]:
    """The better direction, as the task's YAML says."""
    entries = {entry["metric"]: entry for entry in task_content(task)["metric_list"]}
    return "higher" if entries[metric].get("higher_is_better") else "lower"


def _change(axis: str, key: str, task: str, metric: str) -> BoardColumn:
    facts = metric_facts(task)[metric]
    prompts = f" ({condition(task)})" if condition(task) else ""
    way = better(task, metric)
    sentence = f"{facts['label']}{prompts}: change against the undefended organism; {way} is better."
    short = facts.get("short") or facts["label"]
    label = facts["label"] + prompts
    return BoardColumn(key, label, short, facts["unit"], axis, way, sentence, judged=is_judged(task))


def _share(key: str, axis: str) -> BoardColumn:
    what = ("a harmless set under the same defence", "the undefended control's")
    if key == NARROW_KEPT:
        what = ("what the organism was finetuned on", "the undefended organism's")
    sentence = (
        f"How much of the fall of the held-out loss on {what[0]} is left: 1 is all of {what[1]}; higher is "
        "better."
    )
    return BoardColumn(key, f"{axis} kept", "kept", "share", axis, "higher", sentence, "share")
