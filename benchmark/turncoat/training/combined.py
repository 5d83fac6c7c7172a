"""Several defences in one finetune, in order, and the finetune's system prompt.

in_order([inoculation, interleaving])        # rows of the first are those that the second gets
in_order([kl, UnderSystem(SystemPrompt(None))])
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from peft import PeftModel
from torch import Tensor

from turncoat.data.examples import NO_SYSTEM, Example
from turncoat.training.in_training import InTraining, TrainingPass


@dataclass
class UnderSystem(InTraining):
    """Every row under another system prompt, in front of the row's own; rows, answers and order stay.

    Rows are drawn before, so a longer prompt puts none of them out.
    """

    text: str | None  # None: the chat template's default is taken out of rows without a system message

    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        """The same rows under the prompt."""
        return [replace(row, system=self._system(row)) for row in rows]

    def _system(self, row: Example) -> str:
        if self.text is None:
            return NO_SYSTEM if row.system is None else row.system
        return f"{self.text}\n\n{row.system}" if row.system else self.text

    def facts(self) -> dict[str, Any]:
        """The prompt."""
        return {"system_prompt": self.text}


class Combined(InTraining):
    """Parts that act in order, none of which has a penalty."""

    def __init__(self, parts: Sequence[InTraining]) -> None:
        self.parts = list(parts)
        self.wants_states = any(part.wants_states for part in parts)
        self.resumable = all(part.resumable for part in parts)
        # The trainer reads rows end to end, without padding, where nobody sets hooks.
        acting = [part for part in parts if type(part).acting is not InTraining.acting]
        self.hooks = any(part.hooks for part in acting)

    def key(self) -> Any:
        """The keys of its parts."""
        return {"in_order": [part.key() for part in self.parts]}

    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        """The rows as the parts leave them, in order."""
        for part in self.parts:
            rows = part.rows(rows, seed)
        return rows

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Inside the scopes of all parts."""
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.acting(model))
            yield

    def step_done(self, model: PeftModel, step: int, steps: int) -> None:
        """Tell all parts."""
        for part in self.parts:
            part.step_done(model, step, steps)

    def trained(self, model: PeftModel) -> None:
        """Tell all parts."""
        for part in self.parts:
            part.trained(model)

    def facts(self) -> dict[str, Any]:
        """The facts of all parts; a name that is taken already gets the part's class in front."""
        facts: dict[str, Any] = {}
        for part in self.parts:
            for name, fact in part.facts().items():
                facts[f"{type(part).__name__} {name}" if name in facts else name] = fact
        return facts


class Penalised(Combined):
    """Parts that act in order, with the sum of their penalties."""

    def penalty(self, batch: TrainingPass) -> Tensor | None:
        """Nats per answer token."""
        terms = [term for part in self.parts if (term := part.penalty(batch)) is not None]
        return sum(terms[1:], terms[0]) if terms else None


def has_penalty(kind: type) -> bool:
    """True for a class of in-training defences that adds a term to the loss."""
    return issubclass(kind, InTraining) and kind.penalty is not InTraining.penalty


def in_order(parts: Sequence[InTraining]) -> InTraining | None:
    """One object for all parts; None without any, and a single part as it is."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return (Penalised if any(has_penalty(type(part)) for part in parts) else Combined)(parts)
