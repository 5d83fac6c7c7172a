"""The record of a run, run.json, with the fields that a report reads checked."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError

from turncoat.errors import UserError
from turncoat.report.content import Check
from turncoat.safe_files import read_object
from turncoat.strict_model import wrong_fields


class _Model(BaseModel):
    name: str
    parameters: int | None
    dtype: str
    weights: str


class _Unit(BaseModel):
    arm: str
    seed: int


class _Failed(_Unit):
    reason: str


class _HeldOut(BaseModel):
    auc: list[float]
    random_p95: list[float]
    shuffled_p95: list[float]


class _Persona(BaseModel):
    layer: int
    gap_by_layer: list[float]
    pairs_ranked_right: float
    n_selection_pairs: int
    split_half_cosine: list[float]
    held_out: _HeldOut | None = None
    made_from: str = "prompts"  # Or "texts"


class _Training(BaseModel):
    arm: str
    seed: int | None = None
    penalties: list[float] | None = None
    defence: dict[str, JsonValue] | None = None


class _Record(BaseModel):
    model: _Model
    persona: _Persona | None = None
    judge: dict[str, JsonValue] | None = None
    written_by: str | None = None
    read_by: str | None = None
    failed: list[_Failed] = []
    missing: list[_Unit] = []
    checks: list[Check]
    training: list[_Training]
    seconds: dict[str, float]
    provenance: dict[str, JsonValue]
    peak_memory_gb: float | None
    study: dict[str, str] | None = None


def read_run_record(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json.

    Raises:
        UserError: A field that a report reads is missing or of another kind; all of them at once.
    """
    record = read_object(folder / "run.json")
    try:
        checked = _Record.model_validate(record)
    except ValidationError as error:
        wrong = wrong_fields(error, _Record)
        lines = [f"{'.'.join(map(str, loc))}: {one.text}" for loc, one in wrong.items()]
        advice = f"{folder / 'run.json'} is not as `turncoat run` writes it; run the study again"
        raise UserError("\n".join([advice, *lines])) from error
    persona = checked.persona
    if persona is None:  # rows that were released by others
        return record
    layers = [persona.gap_by_layer, persona.split_half_cosine]
    layers += list(dict(persona.held_out).values()) if persona.held_out else []
    if not all(0 <= persona.layer < len(values) for values in layers):
        raise UserError(
            f"{folder / 'run.json'}, persona.layer: {persona.layer} is not among the layers given"
        )
    return record
