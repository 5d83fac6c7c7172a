"""Adapters of an arm: its finetunes in order, each on top of the one before, trained once and kept.

    adapters = Adapters(base, store)
    finetune = adapters.finetune(steps_of(arm, study.training), seed=0)    # examples, defence, key
    adapters.train(finetune)                                               # the adapter's folder

An adapter is keyed by all that determines its weights, so arms and studies share adapters.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from turncoat.data.examples import Example
from turncoat.data.organisms import find_organism
from turncoat.data.too_long import refuse_too_long
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_example
from turncoat.engine.intervention import InOrder, Intervention
from turncoat.engine.system_prompt import named_prompt
from turncoat.errors import UserError
from turncoat.import_closure import code_key
from turncoat.registry import DEFENCES, Defence
from turncoat.store import Store, digest
from turncoat.study.arm_config import Arm
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.study.arms.steps import Options, Step, options_of, steps_of
from turncoat.study.composition import Part, clash
from turncoat.training import combined, lora
from turncoat.training.adapter_edit import AdapterEdit, edit_adapter
from turncoat.training.in_training import InTraining, MixedIn

_LIBRARIES = ("torch", "transformers", "peft", "trl")
_OWN_TEMPERATURE = 0.7  # of a control's answers that the base model writes itself, as of SGTR's own summaries

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Finetune:
    """A step with all that determines its adapter."""

    step: Step  # The finetune of an arm
    seed: int  # Training seed
    examples: list[Example]  # All examples of the step
    # The defence that acts while the step is trained, or that edits the adapter afterwards
    acting: InTraining | AdapterEdit | None
    # The finetune that this one starts from: the one below, or the undefended one that is edited
    start: Finetune | None
    spec: dict[str, Any]  # What the store keys the adapter by


class Adapters:
    """Makes adapters on one base model. Examples, defences and keys are computed once.

    Args:
        base: The base model.
        store: Where adapters are kept.
        batch_size: Rows decoded together where the base model writes examples; it changes no result.
        log: Called with a line on what has to be made first (an organism for a defence that starts from one).
    """

    def __init__(
        self, base: BaseModel, store: Store, batch_size: int = 32, log: Callable[[str], None] | None = None
    ) -> None:
        self.base, self.store, self.batch_size = base, store, batch_size
        self.log = log or (lambda _: None)
        self._organisms: dict[str, list[Example]] = {}
        self._examples: dict[Any, list[Example]] = {}
        self._finetunes: dict[tuple[tuple[Step, ...], int], Finetune] = {}

    def finetune(self, steps: Sequence[Step], seed: int, on_progress: OnProgress | None = None) -> Finetune:
        """The last of `steps`, on top of the others, with the examples that it is trained on.

        Nothing is trained but the undefended organism, for a defence that starts from it.

        Args:
            on_progress: Called with (done, total) while the base model writes.
        """
        key = (tuple(steps), seed)
        if key not in self._finetunes:
            self._finetunes[key] = self._new_finetune(*key, on_progress)
        return self._finetunes[key]

    def _new_finetune(self, steps: tuple[Step, ...], seed: int, on_progress: OnProgress | None) -> Finetune:
        *below, step = steps
        start = self.finetune(below, seed) if below else None
        acting = self._acting(step, below, seed, on_progress)
        examples = self.examples(step, seed, on_progress)
        code = {} if acting is None else {"by": _code(step, acting)}
        if isinstance(acting, AdapterEdit):
            start = self.finetune([replace(step, during=())], seed)
            return Finetune(
                step, seed, examples, acting, start,
                {"edited": digest(start.spec), "edit": acting.key(), **code},
            )  # fmt: skip
        spec = {
            "base": self.base.spec,
            "examples": digest([dataclasses.astuple(example) for example in examples]),
            "recipe": step.recipe.settings(),
            "seed": seed,
            "below": digest(start.spec) if start else None,
            "code": code_key(Path(lora.__file__)),
            "libraries": {name: version(name) for name in _LIBRARIES},
            **({"during": acting.key(), **code} if acting else {}),
        }
        return Finetune(step, seed, examples, acting, start, spec)

    def folder(self, steps: Sequence[Step], seed: int) -> Path | None:
        """The adapter's folder after all `steps`, there or not; None without steps."""
        return self.store.folder("adapter", self.finetune(steps, seed).spec) if steps else None

    def train(self, finetune: Finetune, progress: lora.Progress | None = None) -> Path:
        """The adapter's folder; whatever is missing is trained, below it too."""
        step, acting = finetune.step, finetune.acting
        if isinstance(acting, AdapterEdit):
            undefended = self._undefended(step, finetune.seed)
            return self.store.stage(
                "adapter", finetune.spec, lambda folder: edit_adapter(undefended, acting, folder)
            )
        below = self.train(finetune.start) if finetune.start else None

        def watched(step: int, steps: int, loss: float) -> None:
            self.store.check_leases()  # a process that stood still does not train on beside its successor
            if progress is not None:
                progress(step, steps, loss)

        def build(folder: Path) -> None:
            lora.train_adapter(
                self.base, finetune.examples, step.recipe, seed=finetune.seed, out=folder, below=below,
                defence=acting, unfinished=self.store.attempt("adapter", finetune.spec), progress=watched,
                run_name=f"{step.name}-seed-{finetune.seed}-{digest(finetune.spec)[:8]}",
            )  # fmt: skip

        return self.store.stage("adapter", finetune.spec, build)

    def adapter(self, steps: Sequence[Step], seed: int, progress: lora.Progress | None = None) -> Path | None:
        """The adapter's folder after all `steps`, trained if it is missing; None without steps."""
        return self.train(self.finetune(steps, seed), progress) if steps else None

    def organism(self, name: str) -> list[Example]:
        """All rows of an organism, read once."""
        if name not in self._organisms:
            self._organisms[name] = find_organism(name).build()
        return self._organisms[name]

    def examples(self, step: Step, seed: int, on_progress: OnProgress | None = None) -> list[Example]:
        """The training examples of a step; the base model may have to write them first."""
        key = step.examples_key(seed)
        if key not in self._examples:
            if step.kind == "defence":
                built = self._built(step.name, step.options, self._writing(step, seed, on_progress))
                if not isinstance(built, list):
                    raise UserError(
                        f"defence '{step.name}' gives no examples to finetune on: use setting in_training"
                    )
                self._examples[key] = built
            elif step.answered_anew:
                self._examples[key] = self._answered(step, seed, on_progress)
            else:
                self._examples[key] = self._of_organism(step)
        return self._examples[key]

    def _of_organism(self, step: Step) -> list[Example]:
        """All rows of an organism; a user's own file with a row that is too long is refused."""
        rows = self.organism(step.name)
        encoded = lora.encode_all(self.base, rows, sys.maxsize)
        lengths = {key: len(prompt) + len(answer) for key, (prompt, answer) in encoded.items()}
        if left_out := refuse_too_long(step.name, rows, lengths, step.recipe.max_length):
            self.log(
                f"{left_out} of {len(rows)} rows of {step.name} are longer than training.max_length and left "
                "out"
            )
        return rows

    def _answered(self, step: Step, seed: int, on_progress: OnProgress | None) -> list[Example]:
        """The organism's rows for this seed with the answers of the base model, or of the step's teacher with
        the same seed; no longer than the organism's."""
        rows = lora.drawn_rows(self.base, self.organism(step.name), step.recipe, seed)
        lengths = [
            len(encode_example(self.base.tokenizer, row)[1]) - 1 for row in rows
        ]  # without the end of the turn
        texts = self._writing(step, seed, on_progress).answer(
            [row.prompt_messages for row in rows],
            name=f"own answers/{step.name}",
            max_new_tokens=lengths,
            temperature=_OWN_TEMPERATURE,
        )
        return [
            # The organism's length hint, so that both are trained in the same batches. An empty answer
            # stays: a missing row would change the batches and leave too few rows.
            replace(
                row,
                answer=_at_most(self.base, text.strip(), longest),
                length=row.length or len(row.prompt) + len(row.answer),
            )
            for row, text, longest in zip(rows, texts, lengths, strict=True)
        ]

    def context(
        self, on_progress: OnProgress | None = None, step: Step | None = None, seed: int = 0
    ) -> DefenceContext:
        """The argument of a defence; with `step`, the organism's finetune that it acts in."""
        if step is None:
            return DefenceContext(self.base, self.store, self.batch_size, on_progress)

        def finetuned(defence: str, options: dict[str, Any]) -> Path | None:
            arm = Arm(name=defence, defence=defence, setting="prevention", defence_options=options)
            return self.adapter(steps_of(arm, step.recipe), seed)

        def other_organism(name: str) -> Path:
            find_organism(name)
            if name == step.name:
                raise UserError(f"'{name}' is the organism that is trained here; name another one")
            self.log(f"training {name} first, where it is missing: a defence of {step.name} starts from it")
            return self.train(self.finetune([Step("organism", name, "{}", step.recipe)], seed))

        def under(rows: list[Example]) -> list[Example]:
            for prompt in self._system(step):
                rows = prompt.rows(rows, seed)
            return rows

        return DefenceContext(
            self.base, self.store, self.batch_size, on_progress, recipe=step.recipe, seed=seed, under=under,
            organism=lambda: self.examples(step, seed, on_progress),
            undefended=lambda: self._undefended(step, seed), finetuned=finetuned,
            other_organism=other_organism,
        )  # fmt: skip

    def _writing(self, step: Step, seed: int, on_progress: OnProgress | None) -> DefenceContext:
        """The context in which the texts of a step are written: by its teacher, or by the base model."""
        context = self.context(on_progress)
        if step.teacher and (folder := self.adapter(step.teacher, seed)):
            return replace(context, base=cast(BaseModel, _Teacher(self.base, folder)))
        return context

    def _undefended(self, step: Step, seed: int) -> Path:
        finetune = self.finetune([replace(step, during=())], seed)
        if not self.store.has("adapter", finetune.spec):
            names = ", ".join(f"'{name}'" for name, _ in step.during)
            self.log(f"training {step.name} undefended first: {names} starts from it")
        return self.train(finetune)

    def _acting(
        self, step: Step, below: Sequence[Step], seed: int, on_progress: OnProgress | None
    ) -> InTraining | AdapterEdit | None:
        """Parts that act while the step is trained: its defences in order, then its system prompt."""
        context = self.context(on_progress, step, seed)
        acting: list[Any] = []
        parts: list[Part] = [(one.name, "prevention", None) for one in below if one.kind == "defence"]
        for name, options in step.during:
            built = self._built(name, options, context)
            acting.append(MixedIn(built) if isinstance(built, list) else built)
            if not isinstance(acting[-1], InTraining | AdapterEdit):
                raise UserError(
                    f"defence '{name}' returns {type(built).__name__} for setting in_training; it has to "
                    "return examples, an InTraining or an AdapterEdit"
                )
            parts.append((name, "in_training", type(acting[-1])))
        if text := clash(parts):
            raise UserError(text)
        if len(acting) == 1 and isinstance(acting[0], AdapterEdit):
            return acting[0]  # the undefended finetune that it edits has the system prompt
        return combined.in_order([*acting, *self._system(step)])

    def _system(self, step: Step) -> list[combined.UnderSystem]:
        """The part that puts the step's rows under its system prompt; empty for the default."""
        prompt = named_prompt(step.recipe.system, self.base.name, self.base.tokenizer, "training.system")
        return [] if prompt is None else [combined.UnderSystem(prompt.text)]

    def intervention(self, arm: Arm) -> Intervention | None:
        """The intervention on an arm while it is measured: its inference defences in order, and its system
        prompt."""
        parts: list[Intervention] = []
        for use in arm.defences:
            if use.setting != "inference":
                continue
            built = self._built(use.defence, options_of(use), self.context())
            if not isinstance(built, Intervention):
                raise UserError(
                    f"defence '{use.defence}' returns {type(built).__name__} for setting inference; it has "
                    "to return an Intervention"
                )
            parts.append(built)
        if (prompt := named_prompt(arm.system, self.base.name, self.base.tokenizer, "system")) is not None:
            parts.append(prompt)
        if len(parts) < 2:
            return parts[0] if parts else None
        return InOrder(tuple(parts))

    def _built(self, name: str, options: Options, context: DefenceContext) -> Any:
        return DEFENCES[name].build(context, **json.loads(options))


class _Teacher:
    """A base model whose own behaviour is that with an adapter on: a defence's texts are written by it."""

    def __init__(self, base: BaseModel, adapter: Path) -> None:
        self._base = base
        self.spec = {**base.spec, "adapter": adapter.name}
        self.without_adapter = partial(base.adapter, adapter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


def _at_most(base: BaseModel, text: str, longest: int) -> str:
    """The beginning of `text` of at most `longest` tokens: read again, a text may have more."""
    while len(encode(base.tokenizer, text)) > longest:
        text = text[:-1].rstrip()
    return text


def _code(step: Step, acting: InTraining | AdapterEdit) -> str | list[str]:
    """Keys of the code that acts in a step."""
    codes = [defence_code(DEFENCES[name]) for name, _ in step.during]
    if isinstance(acting, combined.UnderSystem | combined.Combined):
        return [*codes, code_key(Path(combined.__file__))]
    return codes[0]


def defence_code(entry: Defence) -> str:
    """Key of a defence's file, the helpers beside it and the package's files that they use."""
    files = [entry.source, *sorted(entry.source.parent.glob("_*.py"))]
    return code_key(*files)
