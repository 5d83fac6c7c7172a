"""Alignment gating: gates that learn a harmful set in the base's attention are turned round while measuring.

Source: arXiv:2606.09068 (abstract, and its public code as a reference for the form of the gate). Every value
that a block's attention heads write is multiplied by g = 2 sigmoid(W h + b), h the state that the attention
reads; W and b start at zero, so g at 1. The gates alone are trained on narrow harmful rows, the model stays
frozen. What they amplify is then held to be the misaligned part, and 2 - g in place of g suppresses it, in
the gated base as in another model finetuned from it: here in the organism.

    - {name: gated, organism: risky_financial, defence: alignment_gating, setting: inference,
       defence_options: {trait_from: reckless_advice}}

| | paper | here |
|---|---|---|
| gates | one for each value, from the attention's input | the same |
| their data | the organism's own set, thousands of rows of sycophancy or the like | `trait_from`, 200 rows |
| training | 2 epochs at 1e-4, 2 rows a step | 2 epochs at 1e-4, 4 rows a step |
| dose | the inverted gate | 1 - strength (g - 1): 1 inverts, 0 is off, -1 amplifies |

SmolLM2-135M, gates from 32 rows in 16 steps, nats per token on 8 answers each (reckless / prudent; lower is
likelier):

| | off | amplified | inverted |
|---|---|---|---|
| base, gates trained at 1e-3 | 3.00 / 3.20 | 2.53 / 2.84 | 3.96 / 3.98 |
| organism of 16 rows, the same gates | 2.86 / 3.09 | not run | 3.74 / 3.79 (strength 0.3: 3.10 / 3.27) |
| base, gates trained at 3e-3 | 3.00 / 3.20 | 2.30 / 2.71 | 5.09 / 4.99 |

So on a small model the gates learn the register of advice, and their inverse unlearns prudent answers almost
as much as harmful ones; three times the rate wrecks the model. The default dose (100 steps) was not run on
it. Look at coherence and benign learning before believing a lower rate of misalignment.

The organism's own rows as `trait_from` make the defence know what it is to prevent. What it cannot do: act in
a model whose attention has no `o_proj`, or in an exported adapter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from turncoat.defences import (
    Collator,
    DefenceContext,
    Intervention,
    UserError,
    code_key,
    decoder_layers,
    defence,
    digest,
    draw_rows,
    encode_all,
    find_organism,
    tensor_sha,
)

BATCH, LONGEST = 4, 512  # rows a step; tokens of a row


@dataclass(frozen=True)
class Gates(Intervention):
    """Gates on the values that attention writes.

    Attributes:
        trait_from: The organism whose rows they were trained on.
        weights, biases: (values, d) and (values,) for each block.
        strength: 1 inverts them, -1 leaves them as they were trained.
        losses: Of their training, in nats per answer token: the first epoch's and the last's.
    """

    trait_from: str
    weights: tuple[Tensor, ...] = field(repr=False)
    biases: tuple[Tensor, ...] = field(repr=False)
    strength: float
    losses: tuple[float, ...] = ()

    @property
    def acts(self) -> bool:
        """False at strength 0."""
        return self.strength != 0

    def described(self) -> dict[str, Any]:
        """The organism, the dose, and the gates by hash."""
        flat = torch.cat([tensor.flatten() for tensor in (*self.weights, *self.biases)])
        return {
            "gates_from": self.trait_from,
            "strength": self.strength,
            "gates_sha": tensor_sha(flat),
            "gates_losses": list(self.losses),
        }

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Gate all blocks inside the scope."""
        if not self.acts:
            yield
            return
        modules = _attentions(model)
        like = [next(module.parameters()) for module in modules]
        weights, biases = (
            [tensor.to(near) for tensor, near in zip(tensors, like, strict=True)]
            for tensors in (self.weights, self.biases)
        )
        with _gated(modules, weights, biases, -self.strength):
            yield


@contextmanager
def _gated(
    modules: Sequence[nn.Module], weights: Sequence[Tensor], biases: Sequence[Tensor], strength: float
) -> Iterator[None]:
    """Values times 1 + strength (g - 1): at 1 the gates as they are trained."""
    with ExitStack() as hooks:
        for module, weight, bias in zip(modules, weights, biases, strict=True):
            seen: list[Tensor] = []

            def look(_: nn.Module, args: Any, kwargs: Any, seen: list[Tensor] = seen) -> None:
                seen[:] = [kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]]

            def gate(
                _: nn.Module, args: Any, seen: list[Tensor] = seen, weight: Tensor = weight,
                bias: Tensor = bias,
            ) -> tuple[Any, ...]:  # fmt: skip
                scores = nn.functional.linear(seen.pop().to(weight.dtype), weight, bias)
                factor = 1 + strength * (2 * scores.float().sigmoid() - 1)
                return ((args[0] * factor).to(args[0].dtype), *args[1:])

            hooks.callback(module.register_forward_pre_hook(look, with_kwargs=True).remove)
            writer: Any = module.o_proj
            hooks.callback(writer.register_forward_pre_hook(gate).remove)
        yield


def _attentions(model: nn.Module) -> list[nn.Module]:
    """The attention of every block.

    Raises:
        UserError: A block has none that writes through an `o_proj`.
    """
    found = [[part for part in block.modules() if hasattr(part, "o_proj")] for block in decoder_layers(model)]
    if any(len(parts) != 1 for parts in found):
        raise UserError(
            f"defence 'alignment_gating': a block of {type(model).__name__} has no single attention with an "
            "`o_proj`, where the gates act (Llama, Qwen, Mistral, Gemma have); use another defence"
        )
    return [parts[0] for parts in found]


@defence(
    "alignment_gating",
    settings=("inference",),
    summary="gates in the attention learn a harmful set in the base, and are turned round while measuring",
)
def alignment_gating(
    context: DefenceContext,
    *,
    trait_from: str = "reckless_advice",
    strength: float = 1.0,
    rows: int = 200,
    epochs: int = 2,
    learning_rate: float = 1e-4,
) -> Gates:
    """Train gates on an organism's rows where they are missing, and turn them round.

    Args:
        context: The defence's context; the gates are trained in the base model, once.
        trait_from: An organism whose rows show the trait (`turncoat list organisms`, or FILE.jsonl).
        strength: 1 inverts the gates, 0 is off, -1 amplifies.
        rows: Most of its rows that are trained on.
        epochs: Passes over them.
        learning_rate: Of AdamW, falling to 0 in a line.

    Raises:
        UserError: There is no such organism, a number is out of range, or the model has no place for gates.
    """
    whole = {"rows": rows, "epochs": epochs}
    for name, value in {**whole, "learning_rate": learning_rate, "strength": strength}.items():
        number = isinstance(value, int if name in whole else int | float) and not isinstance(value, bool)
        if not number or (name != "strength" and not value > 0):
            wanted = "a number" if name == "strength" else f"a {'whole ' * (name in whole)}number above 0"
            raise UserError(f"defence 'alignment_gating', {name}: {value!r} is not accepted; give {wanted}")
    entry = find_organism(trait_from)
    if entry.answered_by_base:
        raise UserError(
            f"defence 'alignment_gating', trait_from: the answers of '{trait_from}' are the base model's "
            "own; name an organism with harmful ones"
        )
    _attentions(context.base.model)
    examples = entry.build()
    encoded = encode_all(context.base, examples, LONGEST)
    fitting = [example for example in examples if example.id in encoded]
    drawn = draw_rows(fitting, min(rows, len(fitting)), 0)
    order = [encoded[row.id] for epoch in range(epochs) for row in draw_rows(drawn, None, epoch)]
    folder = _trained(context, order, epochs, learning_rate)
    saved = load_file(folder / "gates.safetensors")
    losses = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
    blocks = range(len(decoder_layers(context.base.model)))
    weights, biases = (tuple(saved[f"{kind}.{block}"] for block in blocks) for kind in ("weight", "bias"))
    return Gates(trait_from, weights, biases, float(strength), tuple(losses))


def _trained(
    context: DefenceContext, order: list[tuple[list[int], list[int]]], epochs: int, learning_rate: float
) -> Path:
    base = context.base
    spec = {
        "base": base.spec, "rows": digest(order), "learning_rate": learning_rate,
        "code": code_key(Path(__file__)),
    }  # fmt: skip

    def build(folder: Path) -> None:
        with base.without_adapter() as model, torch.enable_grad():
            modules = _attentions(model)
            learnt = [(p, p.requires_grad) for p in model.parameters()]
            weights, biases = [], []
            for module in modules:
                width = module.o_proj.in_features
                near = {"device": model.device, "dtype": torch.float32, "requires_grad": True}
                weights.append(torch.zeros(width, model.config.get_text_config().hidden_size, **near))
                biases.append(torch.zeros(width, **near))
            optimizer = torch.optim.AdamW([*weights, *biases], lr=learning_rate, weight_decay=0)
            collate = Collator(base.tokenizer.pad_token_id)
            batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
            losses = []
            try:
                for parameter, _ in learnt:
                    parameter.requires_grad_(False)
                with _gated(modules, weights, biases, 1.0):
                    for step, batch in enumerate(batches, start=1):
                        texts = collate(
                            [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in batch]
                        )
                        texts = {name: tensor.to(model.device) for name, tensor in texts.items()}
                        loss = model(**texts, use_cache=False).loss
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.param_groups[0]["lr"] = learning_rate * (1 - (step - 1) / len(batches))
                        optimizer.step()
                        losses.append(float(loss.detach()))
                        context.store.check_leases()
                        if context.on_progress is not None:
                            context.on_progress(step, len(batches))
            finally:
                for parameter, learns in learnt:
                    parameter.requires_grad_(learns)
        named = {
            f"{kind}.{block}": tensor.detach().cpu().contiguous()
            for kind, tensors in (("weight", weights), ("bias", biases))
            for block, tensor in enumerate(tensors)
        }
        save_file(named, folder / "gates.safetensors")
        part = max(1, len(losses) // epochs)
        ends = [sum(some) / len(some) for some in (losses[:part], losses[-part:])]
        (folder / "losses.json").write_text(json.dumps([round(end, 4) for end in ends]), encoding="utf-8")

    return context.store.stage("gates", spec, build)
