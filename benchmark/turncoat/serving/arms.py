"""Arms to serve, by what a user types: an arm of a study or run, its parts, an exported folder, a model.

serving_arm("demo/sgtr/0")           # trained if it is missing, as `turncoat export` does
serving_arm("exported/sgtr")         # a PEFT folder; its base is the one that it names
serving_arm("smollm2-135m")          # a base model
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from turncoat.data.availability import check_model
from turncoat.data.registry_models import REGISTRY_MODELS
from turncoat.engine.adapter_loading import load_adapter
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.chat import encode, render
from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError
from turncoat.store import digest
from turncoat.study.arms.spec import find_arm
from turncoat.training.adapter_digest import adapter_digest
from turncoat.training.trainer import Progress


@dataclass(frozen=True)
class ServedArm:
    """An arm under the name that clients give as `model`."""

    name: str
    base: BaseModel
    adapter: Path | None = None
    intervention: Intervention | None = None
    fingerprint: str = ""  # Of weights, precision, template, adapter and intervention

    @property
    def changes_prompts(self) -> bool:
        """True if its inference defence acts on the conversation, so that a raw prompt would miss it."""
        if self.intervention is None:
            return False
        kind = type(self.intervention)
        return (kind.messages, kind.rendered) != (Intervention.messages, Intervention.rendered)

    @property
    def reads_echoes(self) -> bool:
        """True if a text is read the same whether it is prompt or answer, which an echo does not say."""
        acting = self.intervention
        return acting is None or not acting.acts or getattr(acting, "positions", "") in ("all", "assistant")

    def prompt(self, chat: list[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, rendered as a study renders it.

        Raises:
            UserError: The chat template drops the system message.
        """
        acting = self.intervention or Intervention()
        chat = acting.messages(chat)
        tokenizer = self.base.tokenizer
        return encode(tokenizer, acting.rendered(render(tokenizer, chat), tokenizer, chat))


def serving_arm(
    text: str,
    *,
    device: str | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
    include: tuple[Path, ...] = (),
) -> ServedArm:
    """The arm that `text` names, its base loaded (once for all arms on it), its adapter there.

    Args:
        text: STUDY/ARM/SEED, RUN_FOLDER/ARM/SEED, the arguments of `--model turncoat`, the folder of an
            adapter or a model, or a registry model.
        device: As in `load_base`, for what is loaded here.
        progress, log, include: As in `find_arm`.

    Raises:
        UserError: It names no arm.
    """
    folder = Path(text).expanduser()
    if (folder / "adapter_config.json").is_file():
        return _served(folder.name, _base_of(folder, device), folder)
    if text in REGISTRY_MODELS or (folder / "config.json").is_file():
        return _served(folder.name, load_base(text, device=device))
    arm = find_arm(text, progress=progress, log=log, include=include, device=device)
    parts_of = "=" in text or text.startswith("{")
    name = arm.name if parts_of else "/".join(Path(text).parts[-3:])
    return _served(arm.base.name if name == "base" else name, arm.base, arm.adapter, arm.intervention)


def _base_of(folder: Path, device: str | None) -> BaseModel:
    """The base model that an adapter's folder names; `turncoat export` leaves its name beside the weights."""
    record, config = folder / "export.json", folder / "adapter_config.json"
    try:
        about = json.loads(record.read_text("utf-8")) if record.is_file() else {}
        named = about.get("base_name") or json.loads(config.read_text("utf-8"))["base_model_name_or_path"]
        dtype = about.get("base", {}).get("dtype")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        named = dtype = None
    if not isinstance(named, str) or not named:
        raise UserError(
            f"{folder}: adapter_config.json names no base model; give pretrained=MODEL,peft={folder}"
        )
    check_model(named)
    base = load_base(named, device=device)
    return base if dtype in (None, base.spec["dtype"]) else load_base(named, dtype=dtype, device=device)


def _served(
    name: str, base: BaseModel, adapter: Path | None = None, acting: Intervention | None = None
) -> ServedArm:
    parts = [base.spec, adapter and adapter_digest(adapter), acting and acting.described()]
    return ServedArm(name, base, adapter, acting, f"fp_{digest(parts)[:16]}")


class AdaptersInMemory:
    """Adapters of one base, each read from its files once; one of them is on the base at a time.

    A study's layers, taken off and put back as they are: every bit is what `BaseModel.adapter` gives.
    """

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self._kept: dict[Path, tuple[Any, list[tuple[nn.Module, str, nn.Module]]]] = {}

    @contextmanager
    def on(self, arm: ServedArm) -> Iterator[Any]:
        """The model as the arm is, its inference defence included.

        Raises:
            UserError: The adapter cannot be put on the base.
        """
        with ExitStack() as stack:
            model: Any = self.base.model
            if (folder := arm.adapter) is not None:
                model = stack.enter_context(self.base.wrapped(lambda: self._put(folder)))
            if arm.intervention is not None:
                stack.enter_context(arm.intervention.on(model))
            yield model

    def _put(self, folder: Path) -> Any:
        if folder in self._kept:
            model, layers = self._kept[folder]
            for parent, name, layer in layers:
                setattr(parent, name, layer)
            return model
        template = str(self.base.tokenizer.chat_template or "")
        before = {id(module) for module in self.base.model.modules()}
        model = load_adapter(self.base.model, folder, chat_template=template)
        inside: set[int] = set()
        layers = []
        for parent in self.base.model.modules():
            for name, child in parent.named_children():
                if id(child) not in before and id(parent) not in inside:
                    layers.append((parent, name, child))
                    inside |= {id(module) for module in child.modules()}
        if not getattr(
            model.active_peft_config, "target_parameters", None
        ):  # they leave no layer to put back
            self._kept[folder] = (model, layers)
        return model
