"""Export to one flat JSON object for leaderboard templates: plain numbers, null where not measured.

files(exported)     # {"sgtr.json": '{"entry": "sgtr", "persona_fixed": -0.41, "persona_fixed_low": ..., ...}'}

Per column of the board: `<name>` the change against the undefended organism (or the share of learning that is kept), `_low` and
`_high` its 95% interval for new training seeds and questions, `_level` the arm's own mean. In names "@" reads "_of_".
"""

from __future__ import annotations

from typing import Any

from turncoat.leaderboard.exports.parts import Exported, strict_json


def files(exported: Exported) -> dict[str, str]:
    """Path -> content."""
    return {f"{exported.facts.slug}.json": strict_json(flat(exported))}


def flat(exported: Exported) -> dict[str, str | float | int | None]:
    """The object."""
    facts, track = exported.facts, exported.entry.track
    told: dict[str, Any] = {
        "entry": facts.slug,
        "model": exported.arm(exported.measured.own_role),
        "board": facts.board,
        "track": track.track,
        "base_model": facts.model.name,
        "base_revision": facts.model.revision,
        "precision": facts.model.dtype,
        "parameters": facts.model.parameters,
        "organism": facts.organism.name,
        "control": facts.control.name,
        "defence": facts.defence.name,
        "setting": facts.defence.setting,
        "training_seeds": len(facts.seeds),
        "judge": facts.judge.id,
        "rubric": facts.judge.rubric,
        "ranked_by": track.ranked_by,
        "rates_withheld": exported.withheld or None,
        "training_seconds": facts.wall_seconds,
    }
    for column in exported.columns:
        cell, key = exported.cells[column.key], column.key.replace("@", "_of_")
        told[key] = cell.value
        told[f"{key}_low"], told[f"{key}_high"] = cell.low, cell.high
        if column.kind == "change":
            told[f"{key}_level"] = cell.level
    return told
