"""Everything that can be named, with one line each: what `turncoat list` shows."""

from __future__ import annotations

from pathlib import Path

import yaml

from turncoat.data.registry_models import REGISTRY_EMBEDDERS, REGISTRY_MODELS
from turncoat.evaluation.task_catalogue import task_names, task_summary
from turncoat.paths import studies_dir
from turncoat.persona.traits import trait_names
from turncoat.registry import DEFENCES, JUDGES, ORGANISMS, discover


def everything(include: tuple[Path, ...] = ()) -> dict[str, dict[str, str]]:
    """Names and summaries by kind.

    Args:
        include: Folders with the user's own defences.
    """
    discover(include)
    return {
        "tasks": {name: task_summary(name) for name in task_names()},
        "defences": {
            name: f"{entry.summary} ({', '.join(entry.settings)})" for name, entry in sorted(DEFENCES.items())
        },
        "organisms": {
            name: entry.summary + (f"; control: {entry.control}" if entry.control else "")
            for name, entry in ORGANISMS.items()
        },
        "judges": {name: entry.summary for name, entry in sorted(JUDGES.items())},
        "personas": trait_names(),
        "models": {name: model.summary for name, model in REGISTRY_MODELS.items()},
        "embedders": {name: model.summary for name, model in REGISTRY_EMBEDDERS.items()},
        "studies": {
            path.stem: str(yaml.safe_load(path.read_text(encoding="utf-8")).get("question", ""))
            for path in sorted(studies_dir().glob("*.yaml"))
        },
    }
