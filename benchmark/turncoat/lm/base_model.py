"""One base model in memory, adapters swapped: every load goes through here, so that a study pays for one.

    base = load_base("smollm2-135m")
    with base.adapter(folder) as model:   # PeftModel; `base.model` is restored on leaving, whatever happens
        ...
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from turncoat.data.registry_models import REGISTRY_MODELS, model_folder
from turncoat.errors import UserError

LOADS: list[str] = []  # every base model read into memory by this process, in order; a test counts them
_LOADED: dict[tuple[str, str, str], BaseModel] = {}


class BaseModel:
    """A base model, its tokenizer and what identifies its weights.

    Attributes:
        name: As the user named it.
        path: Hugging Face id or local folder.
        model: The untouched model, in evaluation mode.
        tokenizer: Its tokenizer.
        fingerprint: Identifies the weights; part of every stage key.
    """

    def __init__(
        self, name: str, path: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, fingerprint: str
    ) -> None:
        self.name = name
        self.path = path
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self._active: PeftModel | None = None
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @property
    def spec(self) -> dict[str, str]:
        """What determines the base model's numbers: its weights, its precision and its chat template."""
        template = str(self.tokenizer.chat_template or "")
        return {
            "weights": self.fingerprint,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "chat_template": hashlib.sha256(template.encode()).hexdigest()[:16],
        }

    @property
    def active(self) -> PreTrainedModel | PeftModel:
        """The model as it is now: with its adapter inside `adapter(...)`, else the base."""
        return self._active if self._active is not None else self.model

    @contextmanager
    def adapter(self, folder: Path | str | None, name: str = "default") -> Iterator[PreTrainedModel | PeftModel]:
        """The base with a PEFT folder on it; None is the base itself. The base is restored on leaving.

        Raises:
            UserError: The folder holds no adapter, or another adapter is already on.
        """
        if folder is None:
            yield self.active
            return
        with self.wrapped(lambda: load_adapter(self.model, Path(folder), name)) as model:
            yield model

    @contextmanager
    def wrapped(self, wrap: Any) -> Iterator[PeftModel]:
        """The PeftModel that `wrap()` puts around the base; taken off again on leaving, whatever happens."""
        if self._active is not None:
            raise UserError("an adapter is already on the base model; leave its scope before entering another one")
        training = self.model.training
        peft_model = wrap()
        self._active = peft_model
        try:
            yield peft_model
        finally:
            self._active = None
            # TRL replaces the forward of the instance it trains; the class's own comes back here.
            self.model.__dict__.pop("forward", None)
            peft_model.unload()
            # peft leaves its configuration on the base and warns when the next adapter comes.
            if hasattr(self.model, "peft_config"):
                del self.model.peft_config
            for parameter in self.model.parameters():
                parameter.requires_grad_(False)
                parameter.grad = None
            self.model.train(training)

    @contextmanager
    def without_adapter(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The base's own behaviour inside an adapter's scope."""
        if self._active is None:
            yield self.model
            return
        with self._active.disable_adapter():
            yield self._active


def load_adapter(model: PreTrainedModel, folder: Path, name: str = "default") -> PeftModel:
    """Put a PEFT folder on a model, in evaluation mode, nothing trainable.

    Raises:
        UserError: The folder has no `adapter_config.json`.
    """
    if not (folder / "adapter_config.json").is_file():
        raise UserError(
            f"peft={folder}: no adapter_config.json there; give the folder that PEFT's save_pretrained (or "
            "`turncoat run`) wrote"
        )
    return PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()


def load_base(name: str, *, dtype: str = "auto", device: str | None = None, **from_pretrained: Any) -> BaseModel:
    """The base model called `name`, read into memory once per process.

    Args:
        name: A registry model (`turncoat list models`), a Hugging Face id or a local folder.
        dtype: "auto" (as saved), "bfloat16", "float16" or "float32".
        device: "cpu", "cuda", "cuda:1", "mps"; the best one there is by default.
        from_pretrained: Passed on to transformers (`revision=...`, `trust_remote_code=...`).

    Raises:
        UserError: There is no such model, or the dtype is unknown.
    """
    if dtype not in ("auto", "bfloat16", "float16", "float32"):
        raise UserError(f"dtype={dtype!r} is not known; accepted: auto, bfloat16, float16, float32")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    key = (name, dtype, device + repr(sorted(from_pretrained.items())))
    if key in _LOADED:
        return _LOADED[key]
    path = str(model_folder(name)) if name in REGISTRY_MODELS else name
    is_folder = Path(path).is_dir()
    if not is_folder and name.count("/") > 1:
        raise UserError(f"model '{name}': no such folder, and not a Hugging Face id (org/name) either")
    wanted = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **from_pretrained)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=wanted, **from_pretrained)
    except OSError as error:
        known = ", ".join(REGISTRY_MODELS)
        raise UserError(
            f"model '{name}' cannot be loaded ({str(error).splitlines()[0]}); accepted: a registry model ({known}), "
            "a local folder in transformers format, or a Hugging Face id where the hub can be reached"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    LOADS.append(name)
    fingerprint = _folder_fingerprint(Path(path)) if is_folder else f"{name}@{getattr(model.config, '_commit_hash', '')}"
    base = BaseModel(name, path, model.to(device), tokenizer, fingerprint)
    _LOADED[key] = base
    return base


def _folder_fingerprint(folder: Path) -> str:
    """Identifies the weights in a folder without reading all of a large model: names, sizes, both ends of each file."""
    mark = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".safetensors", ".bin"} and path.name != "config.json":
            continue
        size = path.stat().st_size
        mark.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as handle:
            mark.update(handle.read(1 << 20))
            if size > 2 << 20:
                handle.seek(-(1 << 20), os.SEEK_END)
                mark.update(handle.read())
    return mark.hexdigest()[:20]

