"""The questions a persona vector is made from: contrastive system prompts and texts to choose its layer by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from turncoat.errors import UserError
from turncoat.paths import tasks_dir


@dataclass(frozen=True)
class TraitQuestions:
    """What `tasks/persona/traits/<trait>.yaml` and `layer_selection.jsonl` say.

    Attributes:
        trait: Name of the trait.
        instructions: (positive, negative) system prompts.
        questions: Asked under every system prompt, and under none for the base model's own spread.
        selection: (question, aligned answer, misaligned answer) texts; the layer is chosen by them, no result uses them.
    """

    trait: str
    instructions: tuple[tuple[str, str], ...]
    questions: tuple[str, ...]
    selection: tuple[tuple[str, str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """For a stage's specification."""
        return {
            "trait": self.trait,
            "instructions": [list(pair) for pair in self.instructions],
            "questions": list(self.questions),
            "selection": [list(item) for item in self.selection],
        }


def trait_names() -> dict[str, str]:
    """Every trait there are questions for, with its one-line description."""
    folder = tasks_dir() / "persona" / "traits"
    return {path.stem: _read(path)["description"] for path in sorted(folder.glob("*.yaml"))}


def trait_questions(trait: str) -> TraitQuestions:
    """The questions for `trait`.

    Raises:
        UserError: There is no such trait.
    """
    folder = tasks_dir() / "persona"
    path = folder / "traits" / f"{trait}.yaml"
    if not path.is_file():
        raise UserError(f"persona trait '{trait}' is not known; accepted: {', '.join(trait_names())}")
    content = _read(path)
    with (folder / "layer_selection.jsonl").open(encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle if line.strip()]
    return TraitQuestions(
        trait,
        tuple((pair["positive"], pair["negative"]) for pair in content["instructions"]),
        tuple(content["extraction_questions"]),
        tuple((row["question"], row["aligned"], row["misaligned"]) for row in rows),
    )


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = [key for key in ("description", "instructions", "extraction_questions") if key not in content]
    if missing:
        raise UserError(f"{path}: {', '.join(missing)} missing")
    return content
