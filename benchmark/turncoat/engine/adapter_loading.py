"""Loading of PEFT adapters: all of an adapter's weights act, or it is refused with the reason.

peft itself fills in what a file lacks with the values of an untrained adapter and passes over what finds no
place: the base would be measured under the adapter's name.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.utils.save_and_load import load_peft_weights
from torch import Tensor
from transformers import PreTrainedModel

from turncoat.engine.capture import unwrapped
from turncoat.engine.chat import with_fixed_date
from turncoat.errors import UserError

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_STARTS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")  # of LoRA; they leave the base alone
_LORA = re.compile(
    r"base_model\.model\.(?P<module>.+)\.lora_(?P<kind>(?:embedding_)?)(?P<side>[AB])(?:\.weight)?"
)
_WARNED: set[str] = set()


def load_adapter(
    model: PreTrainedModel, folder: Path, name: str = "default", *, chat_template: str | None = None
) -> PeftModel:
    """Put a PEFT folder on a model, in evaluation mode, nothing trainable.

    One line is logged where the adapter names another base model, was saved with another chat template than
    `chat_template`, or changes nothing.

    Raises:
        UserError: The folder holds no adapter, a weight has no place or a place no weight, a weight is NaN or
            infinite, the vocabulary is another one, or it replaces or changes weights of the base.
    """
    config, weights = _read(folder)
    _check_start(folder, config)
    _check_finite(folder, weights)
    _check_base_weights(folder, model, config, weights)
    try:
        # The steps of PeftModel.from_pretrained, which keeps to itself what found no place.
        trained_on = config.base_model_name_or_path
        config.base_model_name_or_path = vars(model).get(
            "name_or_path"
        )  # or peft warns that it writes it there
        config.inference_mode = True
        wrapped: Any = get_peft_model(model, config, adapter_name=name)
        mapping = getattr(model, "_checkpoint_conversion_mapping", {})
        result = wrapped.load_adapter(str(folder), name, torch_device=str(model.device), key_mapping=mapping)
    except Exception as error:
        # peft, torch and safetensors each raise their own types for other shapes, other modules and damaged
        # files.
        raise UserError(
            f"peft={folder}: this adapter cannot be put on {_name(model)} "
            f"({' '.join(str(error).split())[:300]}); give an adapter that was trained on this base model"
        ) from error
    if result.unexpected_keys or result.missing_keys:
        raise UserError(_without_place(folder, model, result.unexpected_keys, result.missing_keys))
    _warn(folder, model, str(trained_on or ""), weights, chat_template)
    return wrapped.eval()


@contextmanager
def frozen_beside(model: PeftModel, folder: Path, name: str) -> Iterator[None]:
    """Within this block a PEFT folder acts beside the model's adapters, frozen; it is off the model after."""
    inner: Any = model.base_model
    active = list(inner.active_adapters)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    mapping = getattr(unwrapped(model), "_checkpoint_conversion_mapping", {})
    model.load_adapter(str(folder), name, torch_device=str(model.device), key_mapping=mapping)

    def act(names: list[str]) -> None:
        inner.set_adapter(names)  # which makes all of them trainable
        model.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)

    act([*active, name])
    try:
        yield
    finally:
        act(active)
        model.delete_adapter(name)


def check_adapter(folder: Path) -> None:
    """Refuse an adapter's files that could not act as a whole on any base; no base model is loaded.

    Raises:
        UserError: As `load_adapter` for what the files alone show; of a LoRA also weights outside the modules
            and the rank that its configuration names, and one of a pair without the other.
    """
    config, weights = _read(folder)
    _check_start(folder, config)
    _check_finite(folder, weights)
    if not isinstance(config, LoraConfig) or getattr(config, "target_parameters", None):
        return
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, weight in weights.items():
        if match := _LORA.fullmatch(key):
            pairs.setdefault(match["module"] + match["kind"], {})[match["side"]] = weight
    strange = [key for key in weights if not key.startswith(_PREFIX)]
    strange += [name for name in pairs if not _targeted(name.removesuffix("embedding_"), config)]
    alone = [name for name, sides in pairs.items() if len(sides) < 2]
    ranks = {config.r, *(config.rank_pattern or {}).values()}
    other = [n for n, s in pairs.items() if len(s) == 2 and not {s["A"].shape[0], s["B"].shape[1]} <= ranks]
    for bad, why in (
        (strange, f"are outside the modules that its {CONFIG} names"),
        (alone, "have a lora_A or a lora_B alone"), (other, f"are not of rank {config.r}"),
    ):  # fmt: skip
        if bad:
            raise UserError(f"peft={folder}: {len(bad)} of its weights {why} ({_some(bad)}); save it again")
    if not pairs:
        raise UserError(f"peft={folder}: it is a LoRA without a lora_A or lora_B; save it again")


def _targeted(module: str, config: LoraConfig) -> bool:
    """True if a module is one of those that the configuration names."""
    targets = config.target_modules
    if targets in (None, "all-linear"):
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _read(folder: Path) -> tuple[PeftConfig, dict[str, Tensor]]:
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"peft={folder}: no {CONFIG} there; give the folder that PEFT's save_pretrained (or `turncoat "
            "run`) wrote"
        )
    # Without this check peft would look for the weights on the hub.
    if not any((folder / weights).is_file() for weights in _WEIGHTS):
        raise UserError(f"peft={folder}: no {_WEIGHTS[0]} beside {CONFIG}; save the adapter again")
    try:
        config = PeftConfig.from_pretrained(str(folder))
        weights = load_peft_weights(str(folder), device="cpu")
    except Exception as error:
        raise UserError(
            f"peft={folder}: cannot be read ({' '.join(str(error).split())[:300]}); save the adapter again"
        ) from error
    if config.is_prompt_learning:
        raise UserError(
            f"peft={folder}: peft_type {config.peft_type.value} puts virtual tokens before the prompt; "
            "accepted: adapters of modules, such as LORA"
        )
    return config, weights


def _check_start(folder: Path, config: PeftConfig) -> None:
    """Refuse an adapter that changes the base's own weights when it is put on, or one of scale zero."""
    start = getattr(config, "init_lora_weights", None)
    if start not in _STARTS:
        raise UserError(
            f"peft={folder}: init_lora_weights={start} changes the base model's own weights, also for what "
            "is measured after it; save it as a plain LoRA: save_pretrained(folder, "
            "path_initial_model_for_weight_conversion=...)"
        )
    if replicated := getattr(config, "layer_replication", None):
        raise UserError(
            f"peft={folder}: layer_replication={replicated} repeats blocks of the base model, also for what "
            "is measured after it; save the base with the repeated blocks, and give an adapter of that one"
        )
    if getattr(config, "lora_alpha", None) == 0:
        raise UserError(
            f"peft={folder}: lora_alpha is 0 in its {CONFIG}, so it changes nothing: the numbers would be "
            "the base's; correct it, or leave peft= out"
        )


def _check_finite(folder: Path, weights: Mapping[str, Tensor]) -> None:
    bad = [name for name, weight in weights.items() if not bool(torch.isfinite(weight).all())]
    if bad:
        raise UserError(
            f"peft={folder}: {len(bad)} of {len(weights)} weights hold NaN or infinite numbers "
            f"({_some(bad)}); the training diverged: train again with a lower learning rate"
        )


def _check_base_weights(
    folder: Path, model: PreTrainedModel, config: PeftConfig, weights: Mapping[str, Tensor]
) -> None:
    """Refuse an adapter that carries weights of the base in another size, or with other values."""
    own = dict(model.named_parameters(remove_duplicate=False))
    saved_modules = tuple(getattr(config, "modules_to_save", None) or ())
    for key, weight in weights.items():
        name = key.removeprefix(_PREFIX).replace(".base_layer.", ".")
        if name not in own:
            continue
        rows, mine = weight.shape[0], own[name].shape[0]
        if rows != mine and weight.shape[1:] == own[name].shape[1:]:
            raise UserError(
                f"peft={folder}: trained with a vocabulary of {rows} tokens, {_name(model)} has {mine}. "
                f"{_merge(folder, f'resize_token_embeddings({rows}), then ')}"
            )
        kept_beside = any(name.rpartition(".")[0].endswith(module) for module in saved_modules)
        if not kept_beside and not torch.equal(weight.to(own[name]), own[name]):
            raise UserError(f"peft={folder}: it replaces the base model's own {name}. {_merge(folder, '')}")


def _merge(folder: Path, first: str) -> str:
    return (
        f"Merge both into one folder and give that as pretrained= (on the base: {first}"
        f"PeftModel.from_pretrained(base, {str(folder)!r}).merge_and_unload(), save_pretrained, and the "
        "tokenizer that the adapter was trained with)"
    )


def _without_place(
    folder: Path, model: PreTrainedModel, unexpected: Sequence[str], missing: Sequence[str]
) -> str:
    parts = []
    if unexpected:
        parts.append(
            f"{len(unexpected)} of its weights have no place in {_name(model)} ({_some(unexpected)})"
        )
    if missing:
        parts.append(f"{len(missing)} weights that its {CONFIG} asks for are not there ({_some(missing)})")
    return (
        f"peft={folder}: {'; '.join(parts)}. The base would be measured under the adapter's name: give an "
        f"adapter that was trained on {type(model).__name__}, or rename its keys"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name.removeprefix(_PREFIX) for name in names[:3])
    return shown + (", ..." if len(names) > 3 else "")


def _name(model: PreTrainedModel) -> str:
    return str(model.config.name_or_path) or "the model"


def _warn(
    folder: Path,
    model: PreTrainedModel,
    trained_on: str,
    weights: Mapping[str, Tensor],
    chat_template: str | None,
) -> None:
    if trained_on and Path(trained_on).name.lower() != Path(_name(model)).name.lower():
        _once(f"peft={folder}: its {CONFIG} says that it was trained on {trained_on}, not on {_name(model)}")
    written = [weight for key, weight in weights.items() if "lora_B" in key or "lora_embedding_B" in key]
    if written and len(written) * 2 == len(weights) and not any(bool(weight.any()) for weight in written):
        _once(f"peft={folder}: all its lora_B are zero, so it changes nothing: the numbers are the base's")
    own = with_fixed_date(_template(folder), str(folder))
    if chat_template and own and own.strip() != chat_template.strip():
        _once(f"peft={folder}: saved with another chat template than the base's, which renders the prompts")


def _template(folder: Path) -> str | None:
    """The chat template in an adapter's folder, if a trainer left one."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except OSError:
        pass
    try:
        kept = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, str) else None


def _once(line: str) -> None:
    if line not in _WARNED:
        _WARNED.add(line)
        logging.getLogger("turncoat").warning(line)
