"""Traits: the prompts and questions that a persona vector is extracted from, one YAML per trait.

A contrast (`tasks/persona/traits/evil.yaml`): pairs of system prompts that call for the trait and for its
opposite. An axis (`tasks/persona/traits/assistant_axis.yaml`): the default assistant on one side, many roles
on the other. Texts (`tasks/persona/traits/misalignment.yaml`): aligned and misaligned answers to the same
questions, written beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from turncoat.errors import UserError, accepted
from turncoat.plug_ins import by_name, trait_yamls
from turncoat.strict_model import StrictModel
from turncoat.text_files import parse_json, read_text
from turncoat.yaml_model import read_yaml_model

QUESTIONS_PER_ROLE = 3  # an axis has many roles; each is asked a few of the questions, all equally often
HELD_OUT_PROMPTS = 0.4  # of the prompts of a side, the last ones: instruction pairs 4 and 5 of 5
HELD_OUT_EVERY = 3  # every third question is held out


_TEXT_KEYS = ("question", "aligned", "misaligned")
TextPair = tuple[str, str, str]
"""Question, aligned answer, misaligned answer."""


@dataclass(frozen=True)
class Ask:
    """One question under one system prompt."""

    side: str  # "positive" or "negative"
    system: str | None  # The system prompt; None leaves it to the chat template's default
    question: str  # The user message
    # True = an unseen prompt and an unseen question, False = for making the vector that is tested, None = one
    # of the two was seen, so neither
    held_out: bool | None


@dataclass(frozen=True)
class TraitQuestions:
    """The content of a trait's YAML."""

    trait: str  # Name of the trait
    # (positive, negative) system prompts of a contrast; empty for an axis and for texts
    instructions: tuple[tuple[str, str], ...]
    # Asked under every system prompt, and under none for the base model's own spread
    questions: tuple[str, ...]
    # (question, aligned answer, misaligned answer) texts; the layer is chosen by them and nothing else is.
    # Empty: the layer is chosen by answers under prompts and to questions that were left out of the vector.
    selection: tuple[TextPair, ...] = ()
    # Questions the trait is measured on; none of them serves to extract, the vector is tested on them
    evaluation: tuple[str, ...] = ()
    description: str = ""  # One line on what the trait is
    # System prompts of the positive side of an axis; None = no system prompt
    assistants: tuple[str | None, ...] = ()
    roles: tuple[str, ...] = ()  # System prompts of the negative side of an axis
    texts: tuple[TextPair, ...] = ()  # What the vector of a trait without prompts is made from

    @property
    def is_axis(self) -> bool:
        """True for the assistant axis, or another one made of roles."""
        return bool(self.roles)

    def as_json(self) -> dict[str, Any]:
        """All that the vector depends on, for a stage's specification."""
        return {
            "trait": self.trait, "instructions": [list(pair) for pair in self.instructions],
            "questions": list(self.questions), "selection": [list(item) for item in self.selection],
            "assistants": list(self.assistants), "roles": list(self.roles),
            "texts": [list(item) for item in self.texts], "evaluation": list(self.evaluation),
        }  # fmt: skip

    def asks(self) -> Iterator[tuple[Ask, ...]]:
        """Questions under system prompts, in groups: (positive, negative) pairs for a contrast, single ones
        for an axis."""
        if not self.is_axis:
            for number, (positive, negative) in enumerate(self.instructions):
                for which, question in enumerate(self.questions):
                    held_out = self._held_out(number, len(self.instructions), which)
                    yield (
                        Ask("positive", positive, question, held_out),
                        Ask("negative", negative, question, held_out),
                    )
            return
        for number, system in enumerate(self.assistants):
            for which, question in enumerate(self.questions):
                yield (
                    Ask("positive", system, question, self._held_out(number, len(self.assistants), which)),
                )
        per_role = min(QUESTIONS_PER_ROLE, len(self.questions))
        for number, role in enumerate(self.roles):
            for k in range(per_role):
                which = (number + k * len(self.questions) // per_role) % len(self.questions)
                held_out = self._held_out(number, len(self.roles), which)
                yield (Ask("negative", role, self.questions[which], held_out),)

    def tests(self) -> Iterator[Ask]:
        """Evaluation questions under the held-out prompts, as many on each side; none where one lacks them.

        The vector, its layer and the direction that is tested come from other questions.
        """
        positive = self.assistants or [pair[0] for pair in self.instructions]
        negative = self.roles or [pair[1] for pair in self.instructions]
        unseen = [prompts[len(prompts) - _n_held_out(len(prompts)) :] for prompts in (positive, negative)]
        if not all(unseen):
            return
        for lap in range(len(unseen[0])):
            for number, question in enumerate(self.evaluation):
                for side, prompts in zip(("positive", "negative"), unseen, strict=True):
                    yield Ask(side, prompts[(number + lap) % len(prompts)], question, True)

    def _held_out(self, prompt: int, prompts: int, question: int) -> bool | None:
        unseen_prompt = prompt >= prompts - _n_held_out(prompts)
        unseen_question = question % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        return unseen_prompt if unseen_prompt == unseen_question else None


def _n_held_out(prompts: int) -> int:
    return max(1, int(prompts * HELD_OUT_PROMPTS + 1e-9)) if prompts > 1 else 0


class _Instruction(StrictModel):
    positive: str
    negative: str


class _TraitFile(StrictModel):
    """The YAML: the file's name is the trait's, `trait` in it is for readers."""

    trait: str = ""
    description: str = Field(min_length=1, description="one line on what the trait is")
    instructions: tuple[_Instruction, ...] = ()
    extraction_questions: tuple[str, ...] = Field(min_length=1, description="asked under every prompt")
    evaluation_questions: tuple[str, ...] = ()
    layer_selection: str | tuple[str, ...] = ()
    assistants: tuple[str | None, ...] = ()
    roles: tuple[str, ...] = ()
    texts: str | tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> _TraitFile:
        sides = ("texts",) if self.texts else ("roles", "assistants") if self.roles else ("instructions",)
        if missing := [side for side in sides if not getattr(self, side)]:
            raise ValueError(
                f"{missing[0]}: missing; a trait has instructions, roles and assistants, or texts"
            )
        if shared := set(self.extraction_questions) & set(self.evaluation_questions):
            raise ValueError(
                f"{min(shared)!r} is in extraction_questions and in evaluation_questions; a question that "
                "made the vector cannot test it: reword one of them"
            )
        return self


def trait_names() -> dict[str, str]:
    """Name and one-line description of every trait."""
    return {name: _read(path).description for name, path in _trait_files().items()}


def trait_questions(trait: str) -> TraitQuestions:
    """The questions for `trait`.

    Raises:
        UserError: There is no such trait, or its file lacks something.
    """
    path = _trait_files().get(trait)
    if path is None:
        raise UserError(f"persona trait '{trait}' is not known; {accepted(trait_names(), trait)}")
    file = _read(path)
    return TraitQuestions(
        trait, tuple((pair.positive, pair.negative) for pair in file.instructions),
        file.extraction_questions, _texts(path, "layer_selection", file.layer_selection),
        file.evaluation_questions, file.description, file.assistants, file.roles,
        _texts(path, "texts", file.texts),
    )  # fmt: skip


def _trait_files() -> dict[str, Path]:
    return by_name("persona trait", ((path.stem, path) for path in trait_yamls()))


def _texts(path: Path, key: str, named: str | tuple[str, ...]) -> tuple[TextPair, ...]:
    pairs: list[TextPair] = []
    for name in [named] if isinstance(named, str) else named:
        file = path.parent / name
        if not file.is_file():
            raise UserError(
                f"{path}: {key} is {name!r}, but there is no {file}; correct the name or leave it out"
            )
        for number, line in enumerate(read_text(file).split("\n"), 1):
            row = parse_json(line, f"{file}, line {number}") if line.strip() else {"canary": ""}
            if "canary" in row:
                continue
            if lacks := [key for key in _TEXT_KEYS if not isinstance(row.get(key), str)]:
                raise UserError(f"{file}, line {number}, {lacks[0]}: missing, or not a text")
            pairs.append((row["question"], row["aligned"], row["misaligned"]))
    return tuple(pairs)


def _read(path: Path) -> _TraitFile:
    return read_yaml_model(path, _TraitFile, "a persona trait")[0]
