"""Two LoRA adapters as one: a defence under an organism, without ever merging weights.

Training the second adapter on top of the frozen first is the papers' merge-then-train, exactly: the base plus
B1 A1 plus B2 A2. Concatenating A's rows and B's columns (with each scaling folded into its B) gives one PEFT
folder of rank r1 + r2 that any tool loads.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from turncoat.errors import UserError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_MORE_THAN_PLAIN = (
    "use_dora", "lora_bias", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication",
    "alora_invocation_tokens", "target_parameters",
)  # fmt: skip


def scaling(config: dict[str, Any]) -> float:
    """LoRA's factor on B A: alpha/r, or alpha/sqrt(r) for rank-stabilised LoRA (arXiv:2312.03732)."""
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)


def concatenate(folders: list[Path], out: Path) -> None:
    """Write the sum of several LoRA adapters as one adapter.

    Args:
        folders: PEFT folders on the same base and the same modules.
        out: Where the sum is written; scaling 1, rank = the sum of ranks.

    Raises:
        UserError: The adapters do not act on the same modules, or one is not plain LoRA.
    """
    configs = [json.loads((folder / CONFIG).read_text(encoding="utf-8")) for folder in folders]
    weights = [load_file(folder / WEIGHTS) for folder in folders]
    for folder, config, tensors in zip(folders, configs, weights, strict=True):
        odd = _not_plain(config, tensors)
        if odd:
            raise UserError(
                f"{folder}: only plain LoRA adapters can be stacked; this one has {', '.join(odd)}"
            )
        if tensors.keys() != weights[0].keys():
            raise UserError(
                f"{folder} and {folders[0]} adapt different modules; train both with the same target_modules"
            )
    joined: dict[str, torch.Tensor] = {}
    for name in weights[0]:
        if ".lora_A." in name:
            joined[name] = torch.cat([tensors[name] for tensors in weights], dim=0).contiguous()
        else:
            parts = [
                tensors[name] * scaling(config) for tensors, config in zip(weights, configs, strict=True)
            ]
            joined[name] = torch.cat(parts, dim=1).contiguous()
    rank = sum(config["r"] for config in configs)
    config = {**configs[-1], "r": rank, "lora_alpha": rank, "use_rslora": False}
    out.mkdir(parents=True, exist_ok=True)
    save_file(joined, out / WEIGHTS, metadata={"format": "pt"})
    (out / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _not_plain(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> list[str]:
    """Features of an adapter beyond B A on linear layers with one rank and one scaling."""
    if config.get("peft_type") != "LORA":
        return [str(config.get("peft_type"))]
    odd = [key for key in _MORE_THAN_PLAIN if config.get(key)]
    if config.get("bias", "none") != "none":
        odd.append(f"bias={config['bias']}")
    others = [name for name in tensors if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    return odd + others[:1]
