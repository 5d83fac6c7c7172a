"""Export to the schema of Every Eval Ever 0.3.0 (package `every-eval-ever`): one log per arm, seeds pooled.

The model's id is the arm's, so that no finetune is filed under its base; the base model, the defence, the
training seeds and the adapters' hashes are in its additional details. Every score has an interval for new
training seeds and new questions.
"""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import is_judged, metric_facts, task_content, task_summary
from turncoat.leaderboard.exports.parts import CONFIDENCE, INTERVAL, Exported, Level, strict_json
from turncoat.leaderboard.ranking.columns import better

SCHEMA_VERSION = "0.3.0"
COLLECTION = DEVELOPER = "turncoat"
_BOUNDS: dict[str, tuple[float | str, float | str]] = {"share": (0.0, 1.0), "0 to 100": (0.0, 100.0)}
_UNBOUNDED = ("-Infinity", "Infinity")
_JUDGED = ("em_", "judge_", "misaligned_at_k", "worst_question", "incoherent", "unscored")


def files(exported: Exported, date: str) -> dict[str, str]:
    """Path -> content of one log per role."""
    logs = {}
    for role in exported.facts.own_roles:
        log = evaluation_log(exported, role, date)
        # From what it is about, so that the same entry and day give the same file.
        name = uuid.UUID(bytes=hashlib.sha256(log["evaluation_id"].encode()).digest()[:16], version=4)
        logs[f"data/{COLLECTION}/{DEVELOPER}/{exported.arm(role)}/{name}.json"] = strict_json(log)
    return logs


def evaluation_log(exported: Exported, role: str, date: str) -> dict[str, Any]:
    """One log; `date` is the day of the export, YYYY-MM-DD, else UserError."""
    facts = exported.facts
    model = f"{DEVELOPER}/{exported.arm(role)}"
    seconds = _seconds(date)
    levels = {name: exported.level(role, name) for name in exported.metrics}
    withheld = {"misalignment_rates": f"withheld: {exported.withheld}"} if exported.withheld else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{facts.track}/{facts.slug}/{model}/{seconds}",
        "retrieved_timestamp": seconds,
        "source_metadata": {
            "source_name": "Turncoat leaderboard",
            "source_type": "evaluation_run",
            "source_organization_name": facts.contact,
            "evaluator_relationship": "first_party",
            "additional_details": {
                "entry": facts.slug, "board": facts.board, "track": exported.entry.track.summary,
                "command": facts.command, **withheld,
            },
        },
        "eval_library": {
            "name": "turncoat", "version": facts.versions.get("turncoat", "unknown"),
            "additional_details": {f"{name}_version": text for name, text in sorted(facts.versions.items())},
        },
        "model_info": {
            "name": exported.arm(role), "id": model, "developer": DEVELOPER, "inference_platform": "local",
            "inference_engine": {
                "name": "transformers", "version": facts.versions.get("transformers", "unknown"),
            },
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "open_weights" if role == "base" else "unknown", **exported.about(role),
                "num_parameters": str(facts.model.parameters),
            },
        },
        "evaluation_results": [_result(exported, name, level) for name, level in levels.items() if level],
    }  # fmt: skip


def _result(exported: Exported, name: str, level: Level) -> dict[str, Any]:
    task, metric = exported.metrics[name]
    facts, description = exported.facts, metric_facts(task)[metric]
    low, high = _BOUNDS.get(description["unit"], _UNBOUNDED)
    details = {"direction": description["direction"]} if description["direction"] else {}
    if is_judged(task) and metric.startswith(_JUDGED):
        details |= {"judge": facts.judge.id, "rubric": facts.judge.rubric}
    uncertainty: dict[str, Any] = {"num_samples": level.n_questions}
    if level.low is not None and level.high is not None:
        ends = {"lower": level.low, "upper": level.high}
        uncertainty["confidence_interval"] = {**ends, "confidence_level": CONFIDENCE, "method": INTERVAL}
    if level.se is not None:
        uncertainty["standard_error"] = {"value": level.se, "method": "analytic"}
    result: dict[str, Any] = {
        "evaluation_result_id": name, "evaluation_name": task,
        "source_data": {
            "dataset_name": task, "source_type": "other", "additional_details": {
                "task_version": str(facts.tasks.get(task, "unknown")), "questions": str(level.n_questions),
            },
        },
        "metric_config": {
            "evaluation_description": f"{task_summary(task)} Metric: {description['label']}.",
            "metric_id": f"turncoat.{metric}", "metric_name": description["label"],
            "metric_unit": description["unit"], "lower_is_better": better(task, metric) == "lower",
            "score_type": "continuous", "min_score": low, "max_score": high, "additional_details": details,
        },
        "score_details": {"score": level.value, "uncertainty": uncertainty},
    }  # fmt: skip
    return result | _generation(exported, task)


def _generation(exported: Exported, task: str) -> dict[str, Any]:
    uses = exported.entry.track.tasks_for(exported.facts.organism.name)
    use = next(use for use in uses if use.task == task)
    if use.samples is None or use.max_gen_toks is None:
        return {}
    options = task_content(task).get("generation_kwargs") or {}
    settings = {name: options[name] for name in ("temperature", "top_p", "top_k") if name in options}
    arguments = {**settings, "max_tokens": use.max_gen_toks}
    details = {"samples_per_question": str(use.samples), "num_fewshot": "0"}
    return {"generation_config": {"generation_args": arguments, "additional_details": details}}


def _seconds(date: str) -> str:
    """Seconds since 1970 of a day's beginning in UTC."""
    try:
        return str(int(datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()))
    except ValueError as error:
        raise UserError(f"--date {date}: a day is expected, as 2026-01-31") from error
