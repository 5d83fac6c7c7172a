"""The adapters of an arm: its finetunes in order, one on top of another, each trained once and kept.

An adapter is keyed by all that determines its weights, so arms, studies and the `lm_eval` command share what they have
in common: the same arm is the same artifact wherever it is named.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from turncoat.data.examples import Example
from turncoat.data.organisms import find_organism
from turncoat.data.too_long import refuse_too_long
from turncoat.engine import base_model
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_example
from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError
from turncoat.import_closure import code_key, import_closure
from turncoat.registry import DEFENCES, Defence
from turncoat.store import Store, canonical_json, code_digest, digest, file_digest
from turncoat.study.checks import Check
from turncoat.study.config import Arm
from turncoat.study.defence_context import DefenceContext
from turncoat.training import lora, recipe
from turncoat.training.adapter_edit import AdapterEdit
from turncoat.training.in_training import InTraining, MixedIn, plain
from turncoat.training.recipe import LoraRecipe
from turncoat.training.stack import CONFIG, WEIGHTS

_LIBRARIES = ("torch", "transformers", "peft", "trl")
_OWN_TEMPERATURE = 0.7  # of a control's answers that the base model writes itself, as of SGTR's own summaries

Tick = Callable[[int, int], None]
Options = (
    str  # canonical JSON of a defence's keyword options: lists and mappings, too, can then be part of a key
)


@dataclass(frozen=True)
class Step:
    """One finetune of an arm.

    Attributes:
        kind: "organism" or "defence".
        name: Its registered name.
        options: Keyword options of a defence, as JSON; "{}" for an organism.
        recipe: Its hyperparameters.
        during: A defence that acts while this organism is trained: its name and options.
    """

    kind: str
    name: str
    options: Options
    recipe: LoraRecipe
    during: tuple[str, Options] | None = None


def options_of(arm: Arm) -> Options:
    """All keyword options of an arm's defence, its defaults where the arm says nothing."""
    assert arm.defence is not None
    return canonical_json(plain({**DEFENCES[arm.defence].options, **arm.defence_options}))


def steps_of(arm: Arm, training: LoraRecipe) -> list[Step]:
    """The finetunes of an arm in order: prevention trains the defence first, reversal the organism.

    Args:
        arm: The arm.
        training: The organism's recipe, and the defence's where `defence_training` says nothing else.
    """
    steps = [] if arm.organism is None else [Step("organism", arm.organism, "{}", training)]
    if arm.defence is None or arm.setting == "inference":
        return steps
    options = options_of(arm)
    if arm.setting == "in_training":
        return [replace(steps[0], during=(arm.defence, options))]
    # A defence's examples are all used: how many there are is the defence's own option.
    own = LoraRecipe.model_validate({**training.model_dump(), "rows": None, **arm.defence_training})
    steps.insert(0 if arm.setting == "prevention" else len(steps), Step("defence", arm.defence, options, own))
    return steps


class Adapters:
    """Makes adapters on one base model.

    Args:
        base: The base model.
        store: Where they are kept.
        batch_size: Rows decoded together where the base model writes examples; it changes no result.
        said: Told in words what has to be made first (an organism for a defence that starts from one).
    """

    def __init__(
        self, base: BaseModel, store: Store, batch_size: int = 32, said: Callable[[str], None] | None = None
    ) -> None:
        self.base, self.store, self.batch_size = base, store, batch_size
        self.said = said or (lambda _: None)
        self._examples: dict[Any, list[Example]] = {}
        self._during: dict[Any, InTraining | AdapterEdit] = {}

    def examples(self, step: Step, seed: int, tick: Tick | None = None) -> list[Example]:
        """The training examples of a step; the base model may have to write them first."""
        key = self._examples_key(step, seed)
        if key not in self._examples:
            if step.kind == "defence":
                found = self._built(step.name, step.options, self.context(tick))
                if not isinstance(found, list):
                    raise UserError(
                        f"defence '{step.name}' gives no examples to finetune on: use setting in_training"
                    )
                self._examples[key] = found
            elif find_organism(step.name).answered_by_base:
                self._examples[key] = self._own_answers(step, seed, tick)
            else:
                self._examples[key] = self._of_organism(step)
        return self._examples[key]

    def _of_organism(self, step: Step) -> list[Example]:
        """All rows of an organism; one's own file may hold none that is too long, a published set leaves them out."""
        found: list[Example] = find_organism(step.name).build()
        encoded = lora.encode_all(self.base, found, sys.maxsize)
        lengths = {key: len(prompt) + len(answer) for key, (prompt, answer) in encoded.items()}
        if left := refuse_too_long(step.name, found, lengths, step.recipe.max_length):
            self.said(
                f"{left} of {len(found)} rows of {step.name} are longer than training.max_length and left out"
            )
        return found

    def known(self, step: Step, seed: int) -> bool:
        """Whether the examples are in memory."""
        return self._examples_key(step, seed) in self._examples

    def _examples_key(self, step: Step, seed: int) -> Any:
        by_base = step.kind == "organism" and find_organism(step.name).answered_by_base
        return (step.name, step.options, *((step.recipe, seed) if by_base else ()))

    def _own_answers(self, step: Step, seed: int, tick: Tick | None) -> list[Example]:
        """The organism's own rows for this seed with the base model's answers, no longer than the organism's."""
        organism = find_organism(step.name).build()
        rows = lora.drawn_rows(self.base, organism, step.recipe, seed)
        lengths = [
            len(encode_example(self.base.tokenizer, row)[1]) - 1 for row in rows
        ]  # without the end of the turn
        texts = self.context(tick).answer(
            [row.prompt_messages for row in rows],
            name=f"own answers/{step.name}",
            max_new_tokens=lengths,
            temperature=_OWN_TEMPERATURE,
        )
        return [
            # The organism's length hint, so that both are trained in the same batches. An empty answer stays one: a row
            # that is missing would change the batches, and leave fewer rows than the recipe asks for.
            replace(
                row,
                answer=_at_most(self.base, text.strip(), longest),
                length=row.length or len(row.prompt) + len(row.answer),
            )
            for row, text, longest in zip(rows, texts, lengths, strict=True)
        ]

    def context(self, tick: Tick | None = None, step: Step | None = None, seed: int = 0) -> DefenceContext:
        """What a defence is given; with `step`, the organism's finetune that it acts in."""
        if step is None:
            return DefenceContext(self.base, self.store, self.batch_size, tick)
        alone = replace(step, during=None)

        def undefended() -> Path:
            if not self.store.has("adapter", self.adapter_spec([alone], seed)):
                self.said(
                    f"training {step.name} undefended first: '{step.during and step.during[0]}' starts from it"
                )
            return self._train([alone], seed, None)

        def finetuned(defence: str, options: dict[str, Any]) -> Path | None:
            arm = Arm(name=defence, defence=defence, setting="prevention", defence_options=options)
            return self.adapter(steps_of(arm, step.recipe), seed)

        return DefenceContext(
            self.base,
            self.store,
            self.batch_size,
            tick,
            recipe=step.recipe,
            seed=seed,
            organism=lambda: self.examples(alone, seed, tick),
            undefended=undefended,
            finetuned=finetuned,
        )

    def during(self, step: Step, seed: int, tick: Tick | None = None) -> InTraining | AdapterEdit | None:
        """What acts while the step is trained."""
        if step.during is None:
            return None
        key = (step, seed)
        if key not in self._during:
            name, options = step.during
            found = self._built(name, options, self.context(tick, step, seed))
            if isinstance(found, list):
                found = MixedIn(found)
            if not isinstance(found, InTraining | AdapterEdit):
                raise UserError(
                    f"defence '{name}' returns {type(found).__name__} for setting in_training; it has to return examples, "
                    "an InTraining or an AdapterEdit"
                )
            self._during[key] = found
        return self._during[key]

    def intervention(self, arm: Arm) -> Intervention | None:
        """What acts on an arm while it is measured."""
        if arm.defence is None or arm.setting != "inference":
            return None
        found = self._built(arm.defence, options_of(arm), self.context())
        if not isinstance(found, Intervention):
            raise UserError(
                f"defence '{arm.defence}' returns {type(found).__name__} for setting inference; it has to return an "
                "Intervention"
            )
        return found

    def _built(self, name: str, options: Options, context: DefenceContext) -> Any:
        return DEFENCES[name].build(context, **json.loads(options))

    def adapter_spec(self, steps: list[Step], seed: int) -> dict[str, Any]:
        """What determines the adapter after the last of `steps`."""
        *below, step = steps
        acting = self.during(step, seed)
        if isinstance(acting, AdapterEdit):
            undefended = digest(self.adapter_spec([replace(step, during=None)], seed))
            return {
                "edited": undefended,
                "edit": acting.key(),
                "code": _defence_code(DEFENCES[self._name(step)]),
            }
        return {
            "base": self.base.spec,
            "examples": digest([dataclasses.astuple(example) for example in self.examples(step, seed)]),
            "recipe": step.recipe.model_dump(mode="json"),
            "seed": seed,
            "below": digest(self.adapter_spec(below, seed)) if below else None,
            "code": _training_code(),
            "libraries": {name: version(name) for name in _LIBRARIES},
            **({"during": acting.key(), "by": _defence_code(DEFENCES[self._name(step)])} if acting else {}),
        }

    @staticmethod
    def _name(step: Step) -> str:
        assert step.during is not None
        return step.during[0]

    def adapter(self, steps: list[Step], seed: int, progress: lora.Progress | None = None) -> Path | None:
        """The adapter folder after all `steps`; whatever is missing is trained. None without steps."""
        return self._train(steps, seed, progress) if steps else None

    def _train(self, steps: list[Step], seed: int, progress: lora.Progress | None) -> Path:
        *lower, step = steps
        below = self._train(lower, seed, None) if lower else None
        acting = self.during(step, seed)
        spec = self.adapter_spec(steps, seed)
        if isinstance(acting, AdapterEdit):
            undefended = self.context(None, step, seed).undefended()
            return self.store.stage("adapter", spec, lambda folder: _edit(undefended, acting, folder))

        def build(folder: Path) -> None:
            lora.train_adapter(
                self.base,
                self.examples(step, seed),
                step.recipe,
                seed=seed,
                out=folder,
                below=below,
                defence=acting,
                unfinished=self.store.root / "unfinished" / digest(spec)[:20],
                progress=progress,
            )

        return self.store.stage("adapter", spec, build)

    def checks(self, name: str, options: Options, adapter: Path | None) -> list[Check]:
        """The manipulation checks of a defence, on its adapter or (None) on the base model."""
        entry = DEFENCES[name]
        check = entry.check
        if check is None:
            return []
        spec = {
            "base": self.base.spec,
            "adapter": adapter and adapter.name,
            "defence": name,
            "options": json.loads(options),
            "code": _defence_code(entry),
            "data": [file_digest(path) for path in sorted((entry.source.parent / "data").glob("*.jsonl"))],
        }

        def build(folder: Path) -> None:
            with self.base.adapter(adapter):
                found = check(self.context(), **json.loads(options))
            (folder / "checks.json").write_text(json.dumps([dataclasses.asdict(c) for c in found], indent=1))

        folder = self.store.stage("check", spec, build)
        return [Check(**item) for item in json.loads((folder / "checks.json").read_text())]


def _at_most(base: BaseModel, text: str, longest: int) -> str:
    """The beginning of `text` that is `longest` tokens: read back, a text may be more tokens than it was written in."""
    while len(encode(base.tokenizer, text)) > longest:
        text = text[:-1].rstrip()
    return text


def _edit(undefended: Path, edit: AdapterEdit, out: Path) -> None:
    config = json.loads((undefended / CONFIG).read_text(encoding="utf-8"))
    weights = load_file(undefended / WEIGHTS)
    edited = edit.edit(dict(weights), config)
    if edited.keys() != weights.keys() or any(edited[k].shape != weights[k].shape for k in weights):
        raise UserError(f"{type(edit).__name__}.edit returned other names or shapes than the adapter has")
    save_file(
        {name: tensor.contiguous() for name, tensor in edited.items()},
        out / WEIGHTS,
        metadata={"format": "pt"},
    )
    shutil.copyfile(undefended / CONFIG, out / CONFIG)
    record = json.loads((undefended / "training.json").read_text(encoding="utf-8"))
    record["defence"] = {"edited": type(edit).__name__, **edit.facts()}
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _training_code() -> str:
    trainer = Path(str(lora.__file__))
    # A recipe's values and the base's weights are in the key themselves.
    values = {Path(str(recipe.__file__)), Path(str(base_model.__file__))}
    return code_digest(path for path in [trainer, *import_closure([trainer])] if path not in values)


def _defence_code(entry: Defence) -> str:
    """Of a defence's file, the helpers beside it and the package's files that they use."""
    files = [entry.source, *sorted(entry.source.parent.glob("_*.py"))]
    return code_key(*files)
