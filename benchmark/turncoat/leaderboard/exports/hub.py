"""Export to the Hugging Face Hub's `.eval_results/*.yaml`: metrics of the own arm, a file per task.

files(exported, "OWNER/turncoat")     # {".eval_results/turncoat_em.yaml": "- dataset: ...", ...}

Put the folder into the repository of the arm's adapters, not into the base model's. `dataset_id` is the benchmark's data set on
the Hub, whose own `eval.yaml` has to list the task ids ("turncoat_em.em_rate_itt"). Values are means over training seeds.
The Hub dates them by the commit: an entry does not say when it was measured.
"""

from __future__ import annotations

import yaml

from turncoat.errors import UserError
from turncoat.leaderboard.exports.parts import Exported, Level


def files(exported: Exported, dataset_id: str) -> dict[str, str]:
    """Path -> content of every file.

    Raises:
        UserError: `dataset_id` is not OWNER/NAME.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    if dataset_id.count("/") != 1 or not all(dataset_id.split("/")):
        raise UserError(f"--dataset-id {dataset_id}: a data set on the Hub is expected, as OWNER/NAME")
    role = exported.measured.own_role
    by_task: dict[str, list[EvalResultEntry]] = {}
    for column in exported.columns:
        found = exported.level(role, column.key) if column.kind == "change" else None
        if found is None:
            continue
        task, metric = exported.metrics[column.key]
        result = EvalResultEntry(
            dataset_id=dataset_id,
            task_id=f"{task}.{metric}",
            value=found.value,
            notes=_notes(exported, role, column.key, found, column.unit),
        )
        by_task.setdefault(task, []).append(result)
    return {
        f".eval_results/{task}.yaml": yaml.safe_dump(
            eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, width=120
        )
        for task, entries in by_task.items()
    }


def _notes(exported: Exported, role: str, metric: str, found: Level, unit: str) -> str:
    facts = exported.facts
    told = f"arm {exported.arm(role)}; {unit}; mean over training seeds {', '.join(map(str, facts.seeds))}"
    if found.low is not None and found.high is not None:
        told += f"; 95% CI {found.low:.4g} to {found.high:.4g} (new seeds and questions)"
    change = exported.cells[metric]
    if not change.is_reference and change.value is not None:
        told += f"; {change.value:+.4g} against the undefended {exported.arm('organism')}"
        told += "" if change.low is None or change.high is None else f" [{change.low:+.4g}, {change.high:+.4g}]"
    return f"{told}; track {facts.track}; judge {facts.judge.id} ({facts.judge.rubric})"
