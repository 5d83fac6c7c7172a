"""Digest of a PEFT adapter: of its weights and of the configuration that acts, not of the files' bytes.

adapter_digest(folder)              # "adapter-1:" and 64 hexadecimal digits
digest_like("daf705e3...", folder)  # of the weights file alone, the form of entries from before

Two adapters have one digest if they compute the same on every base: saving again, other metadata, another
order or precision of the same values, and LoRA's scale moved into its B make no other adapter.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from peft import PeftConfig
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file

from turncoat.errors import UserError
from turncoat.store import file_digest
from turncoat.training.stack import CONFIG, WEIGHTS, scaling

# A change of what a digest covers takes the next number, and `digest_like` and the schema know both then.
FORM = "adapter-1:"

# Where an adapter came from and how it was trained. A field that is not here counts where it differs from its
# default, so that a peft that knows more fields gives the same digest.
_INERT = frozenset({
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "init_lora_weights", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
    "megatron_config", "megatron_core",
})  # fmt: skip
# Of LoRA: names and shapes of the weights say the same (`load_adapter` refuses others), or the scale does.
_IN_WEIGHTS = frozenset({
    "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "target_modules", "exclude_modules",
    "layers_to_transform", "layers_pattern", "modules_to_save", "bias", "fan_in_fan_out",
})  # fmt: skip
# Kinds of LoRA in which a module's alpha acts as a factor of its B, and in no other way.
_SCALED = frozenset({"use_dora", "lora_bias", "trainable_token_indices"})


def adapter_digest(folder: Path) -> str:
    """`FORM` and the SHA-256 of kind, acting configuration, and names, shapes and values of the weights.

    Values count as float32, as peft loads them.

    Raises:
        UserError: The folder holds no adapter that can be read.
    """
    try:
        return _digest(folder)
    except Exception as error:  # peft and safetensors raise their own types for damaged files
        why = " ".join(str(error).split())[:300]
        raise UserError(f"{folder}: no adapter that can be read ({why}); save it again") from error


def digest_like(sha256: str, folder: Path) -> str:
    """Digest of an adapter in the form that another has: `FORM`, or the SHA-256 of the weights file alone."""
    return adapter_digest(folder) if sha256.startswith(FORM) else file_digest(folder / WEIGHTS)


def _digest(folder: Path) -> str:
    if not (folder / CONFIG).is_file():  # peft would look for it on the hub
        raise FileNotFoundError(f"no {CONFIG}")
    config, weights = PeftConfig.from_pretrained(str(folder)), load_file(folder / WEIGHTS)
    fields, usual = config.to_dict(), type(config)().to_dict()
    acting = {k: v for k, v in fields.items() if k not in _INERT and v != usual[k]}
    plain = config.peft_type == "LORA" and acting.keys() <= _IN_WEIGHTS | _SCALED
    if plain:
        acting = {key: value for key, value in acting.items() if key in _SCALED}
        kinds = ("lora_", "token_adapter", *(f"{name}." for name in fields["modules_to_save"] or ()))
        # What is left out are weights of the base: `load_adapter` refuses changed ones.
        weights = {key: value for key, value in weights.items() if any(kind in key for kind in kinds)}
    shapes = {key: list(weights[key].shape) for key in sorted(weights)}
    acting = {k: sorted(v, key=str) if isinstance(v, set) else v for k, v in acting.items()}
    header = {"peft_type": str(config.peft_type.value), "config": acting, "weights": shapes}
    found = hashlib.sha256(json.dumps(header, sort_keys=True, default=str).encode())
    for key in shapes:
        values = weights[key].float().double() * (_scale(key, fields) if plain else 1.0)
        found.update((values + 0.0).numpy().tobytes())  # -0.0 is 0.0
    return FORM + found.hexdigest()


def _scale(key: str, fields: dict[str, Any]) -> float:
    """The factor of a LoRA weight: its module's scaling for B, 1 for others."""
    module, _, side = key.removeprefix("base_model.model.").rpartition(".lora_")
    if not side.removeprefix("embedding_").startswith("B"):
        return 1.0
    for field, patterns in (("r", "rank_pattern"), ("lora_alpha", "alpha_pattern")):
        named = fields[patterns] or {}
        fields = {**fields, field: named.get(get_pattern_key(list(named), module), fields[field])}
    return scaling(fields)
