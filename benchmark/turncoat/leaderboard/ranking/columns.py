"""The columns of a board: which metric stands on which axis, and which one ranks.

columns = board_columns(track, "insecure_code", measured_metrics, withheld="")
columns[0].key, columns[0].axis        # ("persona_fixed", "persona shift")

Every column is a change against the undefended organism of the same entry, but for the two shares of learning that are kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from turncoat.analysis.four_axes import BENIGN, BROAD, COHERENCE, NARROW, learnt_by
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import metric_facts, metric_names, task_content
from turncoat.leaderboard.entry.track import Track
from turncoat.registry import accepted
from turncoat.report.build import MISALIGNMENT

PERSONA = "persona shift"
CUE = "broad misalignment, cue prompts"
NARROW_KEPT, BENIGN_KEPT = "narrow_kept", "benign_kept"

_PLAIN, _CUE = "turncoat_em", "turncoat_em_cue"
# (axis, task, metric): a rate comes first on its axis where it may be shown.
_CHANGES = (
    (PERSONA, "turncoat_persona", "persona_fixed"),
    (PERSONA, "turncoat_persona", "persona_own"),
    (BROAD, "turncoat_choice", "margin_per_token"),
    (BROAD, _PLAIN, "em_rate_itt"),
    (CUE, _CUE, "em_rate_itt"),
    (CUE, _CUE, "judge_aligned_mean"),
    (CUE, _CUE, "em_persona_own"),
)
_SHORT = {
    (PERSONA, "persona_fixed"): "fixed texts",
    (PERSONA, "persona_own"): "own answers",
    (BROAD, "margin_per_token"): "forced choice",
    (BROAD, "em_rate_itt"): "misaligned answers",
    (CUE, "em_rate_itt"): "misaligned answers",
    (CUE, "judge_aligned_mean"): "alignment score",
    (CUE, "em_persona_own"): "persona, own answers",
    (COHERENCE, f"judge_coherent_mean@{_PLAIN.removeprefix('turncoat_')}"): "plain prompts",
    (COHERENCE, f"judge_coherent_mean@{_CUE.removeprefix('turncoat_')}"): "cue prompts",
}
_COHERENCE = (
    (COHERENCE, _PLAIN, "judge_coherent_mean"),
    (COHERENCE, _CUE, "judge_coherent_mean"),
)


@dataclass(frozen=True)
class BoardColumn:
    """One column.

    Attributes:
        key: Name of the metric (`metric_names`), or `narrow_kept`, `benign_kept`.
        label: Its name.
        short: Its name under a heading that says the axis.
        unit: Unit of the metric; "share" for what is kept.
        axis: What it is evidence of.
        better: Which way is better.
        help: One sentence.
        kind: A change against the undefended organism, or a share of its gain.
    """

    key: str
    label: str
    short: str
    unit: str
    axis: str
    better: Literal["lower", "higher"]
    help: str
    kind: Literal["change", "share"] = "change"


def board_columns(track: Track, organism: str, measured: Collection[str], withheld: str = "") -> list[BoardColumn]:
    """The columns, in the order of the table.

    Args:
        track: The protocol.
        organism: The board's organism.
        measured: Names of the metrics that the rows of some entry have.
        withheld: Why no misalignment rate may be shown; "" where it may.
    """
    tasks = [use.task for use in track.tasks_for(organism)]
    names = {pair: name for name, pair in metric_names(tasks).items()}

    def there(task: str, metric: str) -> bool:
        return names.get((task, metric)) in measured and not (withheld and metric in MISALIGNMENT)

    asked = [one for one in _CHANGES if there(*one[1:])]
    if (CUE, _CUE, "em_rate_itt") in asked:  # the mean score is what is left where a rate is withheld
        asked = [one for one in asked if one[2] != "judge_aligned_mean"]
    columns = [_change(axis, names[task, metric], task, metric) for axis, task, metric in asked]
    ranked = ranked_metric(track, organism, withheld)
    if ranked not in {column.key for column in columns}:
        task, metric = metric_names(tasks)[ranked]
        columns.insert(0, _change(BROAD, ranked, task, metric))
    columns += [_share(NARROW_KEPT, NARROW), _share(BENIGN_KEPT, BENIGN)]
    return columns + [_change(a, names[t, m], t, m) for a, t, m in _COHERENCE if there(t, m)]


def ranked_metric(track: Track, organism: str, withheld: str = "") -> str:
    """The metric that ranks, under its name on this board: the track's, or its substitute where that is withheld.

    Raises:
        UserError: No task of the track measures it.
    """
    names = metric_names(use.task for use in track.tasks_for(organism))

    def named(metric: str) -> str:
        if metric in names:
            return metric
        found = next((name for name, (_, own) in names.items() if own == metric), None)
        if found is None:
            raise UserError(f"track {track.track}: no task measures '{metric}'; {accepted(names, metric)}")
        return found

    first = named(track.ranked_by)
    return named(track.ranked_by_else) if withheld and names[first][1] in MISALIGNMENT else first


def loss_metric(track: Track, organism: str, learner: str) -> str | None:
    """Name of the held-out loss, among the tasks of `organism`'s board, that tells whether `learner` was learnt."""
    tasks = [use.task for use in track.tasks_for(organism)]
    names = {pair: name for name, pair in metric_names(tasks).items()}
    return next((names[task, learnt_by(task)[learner]] for task in tasks if learner in learnt_by(task)), None)


def better(task: str, metric: str) -> Literal["lower", "higher"]:
    """Which way is better, as the task's YAML says."""
    entries = {entry["metric"]: entry for entry in task_content(task)["metric_list"]}
    return "higher" if entries[metric].get("higher_is_better") else "lower"


def _change(axis: str, key: str, task: str, metric: str) -> BoardColumn:
    facts = metric_facts(task)[metric]
    prompts = " (cue prompts)" if task == _CUE else ""
    way = better(task, metric)
    sentence = f"{facts['label']}{prompts}: change against the undefended organism; {way} is better."
    short = _SHORT.get((axis, key)) or _SHORT.get((axis, metric)) or facts["label"]
    return BoardColumn(key, facts["label"] + prompts, short, facts["unit"], axis, way, sentence)


def _share(key: str, axis: str) -> BoardColumn:
    what = (
        ("what the organism was finetuned on", "the undefended organism's")
        if key == NARROW_KEPT
        else ("a harmless set under the same defence", "the undefended control's")
    )
    sentence = (
        f"How much of the fall of the held-out loss on {what[0]} is left: 1 is all of {what[1]}; higher is better."
    )
    return BoardColumn(key, f"{axis} kept", "kept", "share", axis, "higher", sentence, "share")
