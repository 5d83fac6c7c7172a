"""Base models: loaded once per process, with adapters put on and taken off inside a `with` block.

base = load_base("smollm2-135m")
with base.adapter(folder) as model:   # PeftModel; `base.model` is restored on leaving, also after an error
    ...
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from turncoat.data.examples import Example
from turncoat.data.registry_models import REGISTRY_MODELS, model_folder
from turncoat.engine.adapter_loading import load_adapter
from turncoat.engine.chat import DATE, with_fixed_date
from turncoat.engine.fingerprint import folder_fingerprint
from turncoat.engine.outline import outline_of
from turncoat.errors import UserError, accepted

LOAD_OPTIONS = (
    "revision", "code_revision", "trust_remote_code", "subfolder", "cache_dir", "local_files_only",
    "attn_implementation", "use_safetensors",
)  # fmt: skip
"""Options that `load_base` passes on to transformers."""

_MODEL_ONLY = ("attn_implementation", "use_safetensors")
LOADS: list[str] = []  # every base model read into memory by this process, in order; a test counts them
_LOADED: dict[tuple[str, str, str], BaseModel] = {}


class BaseModel:
    """A base model with its tokenizer and the identity of its weights.

    Attributes:
        name: As the user named it.
        path: Hugging Face id or local folder.
        model: The untouched model, in evaluation mode.
        tokenizer: Its tokenizer.
        fingerprint: Identifies the weights; part of every stage key.
        encoded: Token ids of training examples that were tokenized already.
        dated: True if the chat template at `path` prints today's date; the tokenizer's has a fixed one.
    """

    def __init__(
        self,
        name: str,
        path: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fingerprint: str,
    ) -> None:
        self.name = name
        self.path = path
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.encoded: dict[Example, tuple[list[int], list[int]]] = {}
        self.dated = False
        self._active: PeftModel | None = None
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @property
    def spec(self) -> dict[str, str]:
        """Weights, precision and chat template: all that determines the base model's numbers."""
        template = str(self.tokenizer.chat_template or "")
        return {
            "weights": self.fingerprint,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "chat_template": hashlib.sha256(template.encode()).hexdigest()[:16],
        }

    @property
    def context_length(self) -> int:
        """Most tokens that the model reads at once; without end where its configuration names no limit."""
        config = self.model.config.get_text_config()
        named = ("max_position_embeddings", "max_seq_len", "seq_length", "context_length")
        limits = (getattr(config, name, None) for name in named)
        return next((limit for limit in limits if isinstance(limit, int)), sys.maxsize)

    @property
    def active(self) -> PreTrainedModel | PeftModel:
        """The model as it is now: with its adapter inside `adapter(...)`, else the base."""
        return self._active if self._active is not None else self.model

    @contextmanager
    def adapter(
        self, folder: Path | str | None, name: str = "default"
    ) -> Iterator[PreTrainedModel | PeftModel]:
        """The base with a PEFT folder on it; None is the base itself. The base is restored on leaving.

        Raises:
            UserError: Another adapter is already on, or `load_adapter` refuses this one.
        """
        if folder is None:
            yield self.active
            return
        template = str(self.tokenizer.chat_template or "")
        with self.wrapped(
            lambda: load_adapter(self.model, Path(folder), name, chat_template=template)
        ) as model:
            yield model

    @contextmanager
    def wrapped(self, wrap: Any) -> Iterator[PeftModel]:
        """The PeftModel that `wrap()` puts around the base; taken off on leaving, also after an error."""
        if self._active is not None:
            raise UserError(
                "an adapter is already on the base model; leave its scope before entering another one"
            )
        training = self.model.training
        try:
            # Inside the try: an adapter that does not fit fails after it has put layers into the base.
            self._active = wrap()
            yield self._active
        finally:
            self._active = None
            self._restore(training)

    def _restore(self, training: bool) -> None:
        # TRL replaces the forward of the instance it trains; the class's own comes back here.
        self.model.__dict__.pop("forward", None)
        _take_layers_off(self.model)
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


def _take_layers_off(model: PreTrainedModel) -> None:
    """Put the base's own modules back; peft's `unload` needs a PeftModel, and a failed load leaves none."""
    for parent in list(model.modules()):
        for name, child in cast(list[tuple[str, Any]], list(parent.named_children())):
            if hasattr(child, "unload_and_optionally_merge_module"):
                module = child.unload_and_optionally_merge_module(
                    merge=False, safe_merge=False, adapter_names=None
                )
                setattr(parent, name, module)
            elif isinstance(child, BaseTunerLayer):
                setattr(parent, name, child.get_base_layer())


def load_base(
    name: str,
    *,
    dtype: str = "auto",
    device: str | None = None,
    outline: bool = False,
    **from_pretrained: Any,
) -> BaseModel:
    """The base model called `name`, read into memory once per process.

    Args:
        name: A registry model (`turncoat list models`), a Hugging Face id or a local folder.
        dtype: "auto" (as saved), "bfloat16", "float16" or "float32".
        device: "cpu", "cuda", "cuda:1", "mps"; default: CUDA where available, else the CPU.
        outline: Leave the weights out, unless they are in memory already: same `spec` and tokenizer, for
            keys and plans.
        from_pretrained: Passed on to transformers: `LOAD_OPTIONS`. Code that comes with a model runs with
            `trust_remote_code=True` alone, which no study can set.

    Raises:
        UserError: There is no such model, it is not a decoder-only one, or an option is unknown.
    """
    if dtype not in ("auto", "bfloat16", "float16", "float32"):
        raise UserError(f"dtype={dtype!r} is not known; accepted: auto, bfloat16, float16, float32")
    for option in from_pretrained:
        if option not in LOAD_OPTIONS:
            raise UserError(
                f"{option}={from_pretrained[option]!r} is not an option of a model; "
                f"{accepted(LOAD_OPTIONS, option)}"
            )
    from_pretrained = {"trust_remote_code": False, **from_pretrained}  # left out, transformers would ask
    if from_pretrained["trust_remote_code"]:
        logging.getLogger("turncoat").warning("trust_remote_code: Python code that comes with %s runs", name)
    device = _device(device)
    key = (name, dtype, device + repr(sorted(from_pretrained.items())))
    outlined = (name, dtype, "meta" + key[2])
    if key in _LOADED or (outline and outlined in _LOADED):
        return _LOADED.get(key) or _LOADED[outlined]
    path = str(model_folder(name)) if name in REGISTRY_MODELS else name
    is_folder = Path(path).is_dir()
    if (Path(path) / "adapter_config.json").is_file():
        # transformers would put it on whatever base it names, under the adapter's fingerprint alone.
        raise UserError(
            f"model '{name}' holds a PEFT adapter; give its base model, and peft={name} beside it"
        )
    close = difflib.get_close_matches(name, REGISTRY_MODELS, n=1, cutoff=0.8)
    if not is_folder and name not in REGISTRY_MODELS and close:
        # A typing error would otherwise be looked up on the hub, with a minute of retries where there is no
        # network.
        raise UserError(
            f"'{name}' is not a model; did you mean '{close[0]}'? Registry models: "
            f"{', '.join(REGISTRY_MODELS)}"
        )
    wanted = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        for_tokenizer = {key: v for key, v in from_pretrained.items() if key not in _MODEL_ONLY}
        tokenizer = AutoTokenizer.from_pretrained(path, **for_tokenizer)
        shape = outline_of(path, wanted, **from_pretrained) if outline else None
        loaded: Any = (shape, {"missing_keys": (), "unexpected_keys": ()})
        if shape is None:
            loaded = AutoModelForCausalLM.from_pretrained(
                path, dtype=wanted, output_loading_info=True, **from_pretrained
            )
        model, report = loaded
    except Exception as error:
        # transformers, safetensors and libraries that are not installed each raise their own types.
        known = ", ".join(REGISTRY_MODELS)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0] if is_folder or name.count("/") <= 1 else "no such folder"
        raise UserError(
            f"model '{name}' cannot be loaded ({reason}); accepted: a registry model ({known}), a local "
            "folder in transformers format, or a Hugging Face id where the hub can be reached"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"model '{name}': {len(missing)} of its weights are not in its files ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}), and transformers drew them at random; save it again"
        )
    if left_out := sorted(key for key in report["unexpected_keys"] if "lora_" in key):
        raise UserError(
            f"model '{name}': its files hold an adapter's weights ({left_out[0]}, ...), which would not act; "
            "merge them first (merge_and_unload(), then save_pretrained)"
        )
    if shape is None:
        model = model.to(device).eval()
        _check_reads_on(model)
        LOADS.append(name)
    fixed = with_fixed_date(tokenizer.chat_template, name)
    if dated := fixed != tokenizer.chat_template:
        logging.getLogger("turncoat").warning(
            "the chat template of %s prints today's date; here it prints %s on every day", name, DATE
        )
        tokenizer.chat_template = fixed
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    fingerprint = (
        folder_fingerprint(Path(path) / str(from_pretrained.get("subfolder", "")))
        if is_folder
        else f"{name}@{getattr(model.config, '_commit_hash', '')}"
    )
    base = BaseModel(name, path, model, tokenizer, fingerprint)
    base.dated = dated
    _LOADED[key if shape is None else outlined] = base
    return base


def _device(name: str | None) -> str:
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"device={name!r} cannot be used ({reason}); accepted: cpu, cuda, cuda:1, mps"
        ) from error
    return name


def _check_reads_on(model: PreTrainedModel) -> None:
    """Refuse a model that cannot read tokens alone, or that sees the tokens after a prediction (BERT)."""
    ids = torch.tensor([[3, 4, 5], [3, 6, 7]], device=model.device)
    try:
        with torch.inference_mode():
            first = cast(Any, model)(input_ids=ids, use_cache=False).logits[:, 0].float()
    except Exception as error:
        # Each kind of model that wants more than tokens (encoder states, images) fails in its own way.
        raise UserError(
            f"{type(model).__name__} of {model.name_or_path} cannot read a text alone "
            f"({' '.join(str(error).split())[:200]}); accepted: decoder-only language models"
        ) from error
    if not bool(torch.isfinite(first).all()):
        raise UserError(
            f"model '{model.name_or_path}' gives logits that are NaN or infinite; its weights are damaged, "
            "or too large for float16: give dtype=bfloat16 or float32"
        )
    if not torch.allclose(first[0], first[1], atol=1e-2 * float(first.abs().max())):
        raise UserError(
            f"{type(model).__name__} of {model.name_or_path} sees the tokens that follow (it is an encoder), "
            "so it has no answers of its own; accepted: decoder-only language models"
        )
