"""Exports of the board's columns: one flat JSON object, and the Hugging Face Hub's `.eval_results/*.yaml`.

Flat: per column of the board `<name>`, the change against the undefended organism (or the share of learning
that is kept), `_low` and `_high`, its 95% interval for new training seeds and questions, and `_level`, the
arm's own mean. In names "@" reads "_of_".

Hub: put the folder into the repository of the arm's adapters, not into the base model's. `dataset_id` is the
benchmark's data set on the Hub, whose own `eval.yaml` has to list the task ids ("turncoat_em.em_rate_itt").
Values are means over training seeds. The Hub dates them by the commit: an entry does not say when it was
measured.
"""

from typing import Any

import yaml

from turncoat.errors import UserError
from turncoat.leaderboard.exports.parts import Exported, Level, strict_json


def flat_files(exported: Exported) -> dict[str, str]:
    """Path -> content of the one flat file: plain numbers, null where not measured."""
    facts, track = exported.facts, exported.entry.track
    content: dict[str, Any] = {
        "entry": facts.slug, "model": exported.arm(exported.measured.own_role), "board": facts.board,
        "track": track.track, "base_model": facts.model.name, "base_revision": facts.model.revision,
        "precision": facts.model.dtype, "parameters": facts.model.parameters, "organism": facts.organism.name,
        "control": facts.control.name, "defence": facts.defence.name, "setting": facts.defence.setting,
        "prompt": exported.prompt or None,
        "training_seeds": len(facts.seeds), "judge": facts.judge.id, "rubric": facts.judge.rubric,
        "ranked_by": track.ranked_by, "rates_withheld": exported.withheld or None,
        "training_seconds": facts.wall_seconds,
    }  # fmt: skip
    for column in exported.columns:
        cell, key = exported.cells[column.key], column.key.replace("@", "_of_")
        content |= {key: cell.value, f"{key}_low": cell.low, f"{key}_high": cell.high}
        if column.kind == "change":
            content[f"{key}_level"] = cell.level
    return {f"{facts.slug}.json": strict_json(content)}


def hub_files(exported: Exported, dataset_id: str) -> dict[str, str]:
    """Path -> content of the Hub's files, one a task.

    Raises:
        UserError: `dataset_id` is not OWNER/NAME.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    if dataset_id.count("/") != 1 or not all(dataset_id.split("/")):
        raise UserError(f"--dataset-id {dataset_id}: a data set on the Hub is expected, as OWNER/NAME")
    by_task: dict[str, list[EvalResultEntry]] = {}
    for column in exported.columns:
        level = exported.level(exported.measured.own_role, column.key) if column.kind == "change" else None
        if level is None:
            continue
        task, metric = exported.metrics[column.key]
        about = {"task_id": f"{task}.{metric}", "notes": _notes(exported, column.key, level, column.unit)}
        result = EvalResultEntry(dataset_id=dataset_id, value=level.value, **about)
        by_task.setdefault(task, []).append(result)
    style: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120}
    return {
        f".eval_results/{task}.yaml": yaml.safe_dump(eval_result_entries_to_yaml(entries), **style)
        for task, entries in by_task.items()
    }


def _notes(exported: Exported, metric: str, level: Level, unit: str) -> str:
    facts, change = exported.facts, exported.cells[metric]
    seeds = ", ".join(map(str, facts.seeds))
    text = f"arm {exported.arm(exported.measured.own_role)}; {unit}; mean over training seeds {seeds}"
    if level.low is not None and level.high is not None:
        text += f"; 95% CI {level.low:.4g} to {level.high:.4g} (new seeds and questions)"
    if not change.is_reference and change.value is not None:
        text += f"; {change.value:+.4g} against the undefended {exported.arm('organism')}"
        ends = (change.low, change.high)
        text += "" if None in ends else " [{:+.4g}, {:+.4g}]".format(*ends)
    text += f"; the prompt: {exported.prompt}" if exported.prompt else ""
    return f"{text}; track {facts.track}; judge {facts.judge.id} ({facts.judge.rubric})"
