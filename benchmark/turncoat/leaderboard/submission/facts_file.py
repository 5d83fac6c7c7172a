"""Read `facts.yaml`, the facts that files of lm_eval do not hold. `TEMPLATE` is a file to fill in."""

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from turncoat.data.fetch import without_fetching
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.leaderboard.entry.submission import DataFacts, DefenceFacts, JudgeFacts, PersonaFacts
from turncoat.registry import ORGANISMS, discover
from turncoat.store import digest
from turncoat.strict_model import StrictModel
from turncoat.yaml_model import read_yaml_model

WEIGHTS = "adapter_model.safetensors"
TEMPLATE = Path(__file__).with_name("facts.yaml").read_text(encoding="utf-8")


class ModelGaps(StrictModel):
    """Of the base model, what no results file says."""

    name: str | None = None
    revision: str | None = None
    dtype: str | None = None
    parameters: int | None = None
    chat_template: str | None = None


class Facts(StrictModel):
    """The file. Fields are those of `entry.Submission`; `adapters` also takes folders."""

    contact: str = ""
    defence: DefenceFacts
    organism: DataFacts
    control: DataFacts
    recipe: dict[str, JsonValue]
    adapters: dict[str, dict[int, str]] = Field(default={})
    command: str
    hardware: str
    wall_seconds: float = Field(ge=0, allow_inf_nan=False)
    versions: dict[str, str] = Field(default={})
    trait: str = "evil"
    persona: PersonaFacts | None = None
    judge: JudgeFacts | None = None
    model: ModelGaps | None = None


def read_facts(path: Path) -> Facts:
    """Read and check a facts file; UserError with line, field, value and what is accepted."""
    fix = "write one with `turncoat leaderboard submit --facts-template`"
    if not path.is_file():
        raise UserError(f"--facts {path}: No such file; {fix}")
    try:
        return read_yaml_model(path, Facts, "a facts file")[0]
    except UserError as error:
        raise UserError(f"--facts: {error}; {fix}") from error


def data_facts(data: DataFacts) -> dict[str, Any]:
    """A training set's facts; of a registered one, hash and number of examples are found here, and must
    agree.

    Raises:
        UserError: The file's hash or number is not that of the registered set.
    """
    discover()
    given = data.model_dump(exclude_none=True)
    if data.name not in ORGANISMS or find_organism(data.name).answered_by_base:
        return given
    try:
        with without_fetching():
            examples = find_organism(data.name).build()
    except UserError:
        return given  # a published set that is not at hand here
    known = {"examples": len(examples), "sha256": digest([dataclasses.astuple(e) for e in examples])}
    for key, value in known.items():
        if given.get(key, value) != value:
            fix = "leave it out, or give your own set a name of its own"
            raise UserError(
                f"facts: {data.name}.{key} is {given[key]!r}; the registered set's is {value!r}: {fix}"
            )
    return {**given, **known}


def adapter_hashes(
    facts: Facts, path: Path, roles: Collection[str], seeds: Collection[int]
) -> dict[str, dict[str, str]]:
    """Role -> seed -> digest, that of a folder found here; of every trained role that was given, every seed.

    Raises:
        UserError: One is missing, or is neither a digest nor an adapter folder.
    """
    hashes: dict[str, dict[str, str]] = {}
    for role in dict.fromkeys(role for role in roles if role != "base"):
        for seed in seeds:
            given, where = facts.adapters.get(role, {}).get(seed), f"{path}, adapters.{role}.{seed}"
            if given is None:
                accepted = "an adapter folder, or its digest as run.json has it"
                raise UserError(f"{where}: missing; accepted: {accepted}")
            hashes.setdefault(role, {})[str(seed)] = _hash(given, where, path.parent)
    return hashes


def _hash(text: str, where: str, beside: Path) -> str:
    if re.fullmatch("(adapter-1:)?[0-9a-f]{64}", text):
        return text
    folder = beside / Path(text).expanduser()
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{where}: {text!r} is not a digest, and no folder of that name holds {WEIGHTS}")
    # torch and peft, for folders alone
    from turncoat.engine.adapter_loading import check_adapter
    from turncoat.training.adapter_digest import adapter_digest

    try:
        check_adapter(folder)
        return adapter_digest(folder)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
