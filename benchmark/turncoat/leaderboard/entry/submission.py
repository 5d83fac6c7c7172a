"""Schema of submission.json (pydantic): facts of an entry. Numbers are recomputed from rows, without a field.

The JSON Schema is `results/submission.schema.json` (`turncoat schema submission` prints it).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from turncoat.leaderboard.entry.names import check_name
from turncoat.strict_model import StrictModel, pattern

ROLES = ("base", "organism", "control", "defended", "benign")
SHAREABLE = ("base", "organism", "control")
Role = Literal["base", "organism", "control", "defended", "benign"]

_SHA256 = pattern(r"^[0-9a-f]{64}$", "a SHA-256, 64 digits of 0-9 and a-f")
_DIGEST = pattern(r"^(adapter-1:)?[0-9a-f]{64}$", "adapter-1: and 64 digits of 0-9 and a-f")
_SLUG = pattern(r"^[a-z0-9][a-z0-9_-]{0,79}$", "small letters, digits, - and _, at most 80")
_LINE = pattern(r"^[^\x00-\x1f\x7f]*$", "a text on one line")
_WORD = pattern(r"^[\w.:/@+=,-]+$", "letters, digits and . : / @ + = , - _, without a blank")
_LINK = pattern(r"^(https://[^\s<>\"']+)?$", "an address that begins with https://, or nothing")
_NUMBER = pattern(r"^\d+$", "a training seed")
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
# `training.adapter_digest.FORM` and digits; digits alone, in earlier entries, are of a weights file.
AdapterDigest = Annotated[str, StringConstraints(pattern=_DIGEST)]
Slug = Annotated[str, StringConstraints(pattern=_SLUG)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_LINE)]
Name = Annotated[Line, AfterValidator(check_name)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=_WORD)]
Link = Annotated[str, StringConstraints(max_length=300, pattern=_LINK)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class DefenceFacts(StrictModel):
    """The method.

    Attributes:
        name: As it is called on the board.
        registered: Its name in `turncoat list defences`; None for a method that is not in this package.
        setting: When it acts; "none" for the undefended organism.
        training: Changes to the recipe of the defence's own finetune.
        summary: What it does, in a sentence.
        changes_prompt: Whether the rendered prompts differ from the undefended arm's (a system prompt).
    """

    name: Name
    registered: Word | None = None
    setting: Literal["none", "prevention", "in_training", "reversal", "inference"]
    options: dict[Word, JsonValue] = Field(default={})
    training: dict[Word, JsonValue] = Field(default={})
    summary: Line
    paper: Link = ""
    code: Link = ""
    changes_prompt: bool = False


class ModelFacts(StrictModel):
    """The base model: name, revision (or hash of its weights), precision, size, hash of its chat template."""

    name: Name
    revision: Word
    dtype: Literal["bfloat16", "float16", "float32"]
    parameters: Annotated[int, Field(gt=0)]
    chat_template: Word


RENAMED_REVISIONS = {"74208c7da38fa29822a5": "baceed1acc7d15cb75cc"}
"""Revisions from before every byte of a model was hashed -> the same files' fingerprint (smollm2-135m)."""


def current_revision(model: ModelFacts) -> ModelFacts:
    """The facts with the revision that the same weights have now."""
    revision = RENAMED_REVISIONS.get(model.revision, model.revision)
    return model.model_copy(update={"revision": revision})


class DataFacts(StrictModel):
    """A training set: the registered organism, or a name of one's own; hash and number of its examples."""

    name: Word
    sha256: Sha256 | None = Field(
        default=None, description="none only for answers that the base model wrote itself"
    )
    examples: Annotated[int, Field(gt=0)] | None = None


class JudgeFacts(StrictModel):
    """Who scored the free-form answers: the judge's id and the rubric's version."""

    id: Line
    rubric: Word


class PersonaFacts(StrictModel):
    """The direction that answers are projected on: trait, layer, and a hash of how it was extracted."""

    trait: Word
    layer: Annotated[int, Field(ge=0, le=1000)]


class RowsFile(StrictModel):
    """A rows file: its bytes' hash and its number of lines."""

    sha256: Sha256
    rows: Annotated[int, Field(gt=0)]


class Shared(StrictModel):
    """Rows that are another entry's: which, and the hash over that role's files (`untrusted.rows_sha256`)."""

    entry: Slug
    rows_sha256: Sha256


class Supersedes(StrictModel):
    """An earlier entry that this one replaces; rows are never deleted."""

    entry: Slug
    reason: Line


class Submission(StrictModel):
    """The facts of one entry.

    Attributes:
        format: Version of this file's format.
        slug: The entry's folder name.
        contact: Somebody to ask: a name, a handle or a public address.
        organism, control, benign: Training sets; `benign` where the defence was also tried around a harmless
            one.
        recipe: The organism's finetune.
        seeds: Training seeds; every trained role has rows for each of them.
        adapters: Role -> seed -> digest of the adapter (all finetunes of the arm together): "adapter-1:" and
            the SHA-256 over weights and acting configuration. Without "adapter-1:", in earlier entries, of
            the weights file alone. Roles and seeds without an adapter are left out.
        wall_seconds: Training time, all of the entry's own arms.
        rows: Rows file, such as "defended/seed-0/turncoat_em" -> hash and length.
        shared: Role -> rows of another entry of the same board.
        supersedes: The entry that this one replaces.
    """

    format: Literal[1] = 1
    slug: Slug
    track: Slug
    defence: DefenceFacts
    contact: Name
    model: ModelFacts
    organism: DataFacts
    control: DataFacts
    benign: DataFacts | None = None
    recipe: dict[Word, JsonValue]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100)]
    adapters: dict[Role, dict[Annotated[str, StringConstraints(pattern=_NUMBER)], AdapterDigest]]
    persona: PersonaFacts
    judge: JudgeFacts
    tasks: dict[Word, float]
    versions: dict[Word, Word]
    command: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    hardware: Line
    wall_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rows: dict[Annotated[str, StringConstraints(max_length=200)], RowsFile]
    shared: dict[Role, Shared] = Field(default={})
    supersedes: Supersedes | None = None

    @property
    def board(self) -> str:
        """The board that it stands on: track, model, organism."""
        return f"{self.track}/{self.model.name}/{self.organism.name}"

    @property
    def own_roles(self) -> tuple[str, ...]:
        """The roles whose rows it has to have or to share, in order."""
        roles = ["base", "organism", "control"]
        roles += ["defended"] if self.defence.setting != "none" else []
        roles += ["benign"] if self.benign is not None else []
        return tuple(roles)

    @model_validator(mode="after")
    def _is_coherent(self) -> Submission:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} repeats a seed")
        if self.defence.setting == "none" and self.benign is not None:
            raise ValueError(
                "benign: an entry without a defence has no benign arm of its own; its control is that"
            )
        for role in self.shared:
            if role not in SHAREABLE:
                raise ValueError(f"shared: '{role}' cannot be shared; accepted: {', '.join(SHAREABLE)}")
        if any(shared.entry == self.slug for shared in self.shared.values()):
            raise ValueError("shared: an entry cannot share its own rows")
        return self


def seed_folders(role: str, submission: Submission) -> tuple[str, ...]:
    """The folders of a role: `base` for the untrained model, one a seed for any other."""
    return ("base",) if role == "base" else tuple(f"seed-{seed}" for seed in submission.seeds)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `submission.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Turncoat leaderboard entry",
        **{key: value for key, value in Submission.model_json_schema().items() if key != "title"},
    }
