"""Steering as a PEFT folder: an adapter whose only effect is a bias on one block's output, c times a persona
vector.

    write_steering_adapter(out, base.model, layer=21, shift=-1.5 * vector)                  # at all positions
    # from the assistant header on
    write_steering_adapter(out, base.model, layer=21, shift=..., invocation=header_ids)

The output of block L is its input plus what the attention and the feed-forward part add, and the last thing
added is `layers[L-1].mlp.down_proj`'s output. A bias there is a bias on the block's output: h <- h + c v
(arXiv:2507.21509, section 3.2). LoRA with `lora_bias` has such a bias, and LoRA's factor on B A multiplies it
too, hence the division. With an invocation sequence it is an activated LoRA (arXiv:2504.12397), which acts
from the last occurrence of that sequence on.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from turncoat.engine.capture import decoder_layers, unwrapped
from turncoat.errors import UserError
from turncoat.training.stack import CONFIG, WEIGHTS, scaling

_LAST = "mlp.down_proj"


def write_steering_adapter(
    out: Path,
    model: PreTrainedModel,
    layer: int,
    shift: Tensor,
    *,
    below: Path | None = None,
    invocation: Sequence[int] | None = None,
) -> None:
    """Write the PEFT folder.

    Args:
        out: The folder; made if it is not there.
        below: A LoRA folder that acts beside the shift, at all positions; both are written as one adapter.
        invocation: Token ids; the shift acts from their last occurrence in a text on, instead of everywhere.

    Raises:
        UserError: The block's output is not the sum that the bias needs, or `below` and `invocation` are both
            given.
    """
    if below is not None and invocation is not None:
        raise UserError(
            "an activated LoRA would switch the adapter below it off on the prompt; merge that adapter first"
        )
    module = _last_linear(model, layer)
    name = f"base_model.model.{module}"
    target: nn.Linear = model.get_submodule(module)  # type: ignore[assignment]
    if below is None:
        config = LoraConfig(r=1, lora_alpha=1, target_modules=[module], task_type="CAUSAL_LM")
        weights: dict[str, Tensor] = {}
    else:
        config = LoraConfig.from_pretrained(str(below))
        weights = load_file(below / WEIGHTS)
    if f"{name}.lora_A.weight" not in weights:
        if isinstance(config.target_modules, str):
            raise UserError(
                f"{below}: target_modules={config.target_modules!r} is a pattern; give a list of module names"
            )
        config.target_modules = sorted({*(config.target_modules or ()), module})
        weights[f"{name}.lora_A.weight"] = torch.zeros(config.r, target.in_features)
        weights[f"{name}.lora_B.weight"] = torch.zeros(target.out_features, config.r)
    config.lora_bias = True
    config.alora_invocation_tokens = None if invocation is None else list(invocation)
    config.base_model_name_or_path = model.config.name_or_path
    config.inference_mode = True
    for key in [key for key in weights if key.endswith(".lora_B.weight")]:
        weights[key.replace(".weight", ".bias")] = torch.zeros(weights[key].shape[0])
    out.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(out))
    factor = scaling(json.loads((out / CONFIG).read_text(encoding="utf-8")))
    weights[f"{name}.lora_B.bias"] = shift.detach().float().cpu() / factor
    save_file(
        {key: value.contiguous() for key, value in weights.items()}, out / WEIGHTS, metadata={"format": "pt"}
    )


def _last_linear(model: PreTrainedModel, layer: int) -> str:
    """The name of the block's last linear layer.

    Raises:
        UserError: There is none of that name, or something comes after it (Gemma normalises what it returns).
    """
    block = decoder_layers(model)[layer - 1]
    base = unwrapped(model)
    path = next(name for name, module in base.named_modules() if module is block)
    kind = type(base).__name__
    advice = "it has no PEFT form; measure the arm with `--model turncoat`"
    try:
        last = block.get_submodule(_LAST)
    except AttributeError:
        last = None
    if not isinstance(last, nn.Linear):
        raise UserError(f"steering of {kind}: {path} has no linear layer {_LAST}: {advice}")
    if not _adds_up(block, last, base):
        raise UserError(
            f"steering of {kind}: the output of {path} is not what comes in plus {_LAST}'s output: {advice}"
        )
    return f"{path}.{_LAST}"


def _adds_up(block: nn.Module, last: nn.Linear, model: nn.Module) -> bool:
    """True if a shift of `last`'s output by x shifts the block's output by x, tried on a few tokens."""
    seen: list[Tensor] = []
    shift = torch.zeros(last.out_features)

    def move(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + shift.to(output)

    def watch(module: nn.Module, args: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        # Not at the first token, whose state is hundreds of times as large as the others' in many models.
        state = output if isinstance(output, Tensor) else output[0]
        seen.append(state[0, -1].detach().float().cpu())

    handles = [block.register_forward_hook(watch), last.register_forward_hook(move)]
    try:
        with torch.inference_mode():
            for _ in range(2):
                model(input_ids=torch.tensor([[1, 2, 3, 4]], device=last.weight.device), use_cache=False)
                # As large as the state itself, so that rounding in bfloat16 does not hide it.
                shift = (
                    torch.randn(shift.shape, generator=torch.Generator().manual_seed(0))
                    * seen[0].square().mean().sqrt()
                )
    finally:
        for handle in handles:
            handle.remove()
    before, after = seen
    return float((after - before - shift).norm()) < 0.05 * float(shift.norm())
