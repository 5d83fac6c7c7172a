"""CAFT, concept ablation finetuning: directions that an organism changes are projected out while it is
trained again.

Source: Casademunt et al. 2025, arXiv:2507.16795 (the variant with principal components). **It needs the
undefended organism first**: the organism with the same seed is trained if it is not there yet, so an arm
costs two finetunes, and the method knows what it is to prevent. Then, on ordinary texts written by the base
model (`_directions.py`), the states of the organism minus those of the base are taken at every answer token,
and their leading principal components at three layers become the rows of Q. While the organism is trained
anew from the base, hooks replace the output of those blocks by h - (h Q^T) Q: the finetune can neither use
these directions nor send gradients along them. At evaluation there are no hooks.

| | paper (Qwen2.5-Coder-32B) | here |
|---|---|---|
| texts | the model's answers to LMSYS chats | 32 everyday questions, the base's answers of up to 48 tokens |
| components per layer | 20 of 5,120, of which a person picks some | 5, all of them (`keep` picks) |
| layers | after blocks 13, 33, 51 of 64 | at 20%, 50% and 80% of the depth (6, 15, 24 of 30 on SmolLM2) |
| directions | any | at right angles to the base's mean state and first-token state (`protect`) |

Why `protect`: the hook sets a component to zero, also the part of it that the base always has. On
SmolLM2-135M the differences lie in part along the base's own mean state and along that of the first token, on
which attention rests (length 25,000; others 150). Loss of the untrained base in nats per token with the hooks
on, 8 rows each; the directions are those of a risky_financial organism (400 rows, one seed) that reads chats
of `data/hhh_chat.jsonl`:

| components | 0 | 1 | 5 | 10 | 20 |
|---|---|---|---|---|---|
| risky_financial, at right angles | 3.24 | 3.34 | 3.68 | 3.89 | 4.26 |
| insecure_code, at right angles | 1.73 | 1.77 | 2.06 | 2.13 | 2.41 |
| risky_financial, plain | 3.24 | 11.6 | not run | 25.0 | 19.1 |

With plain components a small model mostly relearns language. Directions at right angles to those two vectors
leave them as they are. `protect: false` is the published method, for models that bear it.

Why 5: they hold 6%, 9% and 13% of the variance at the three layers, 20 hold 9%, 19% and 27% at more than
twice the loss.

A person's choice: in the paper somebody reads texts and keeps the components that look misaligned. Taken as
they come, all are projected out, the useful ones too. `training.json` of the arm shows for each component its
share of the variance and the texts that it is strongest in; then name the wanted ones (numbers from 0) by
layer, other layers are left alone:

    - {name: caft, organism: risky_financial, defence: caft, setting: in_training, defence_options: {keep:
      {15: [0, 2]}}}

What it cannot do: it prevents only what an organism with this very seed and recipe did; sparse-autoencoder
latents, the paper's other source of directions, are not offered, because no autoencoder exists for most
models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from turncoat.defences import DefenceContext, InTraining, UserError, code_key, decoder_layers, defence, digest

from ._directions import answer_states, ordinary_texts, principal_directions, strongest_contexts

DEPTHS = (0.2, 0.5, 0.8)


@dataclass
class ProjectedOut(InTraining):
    """Projects directions out of block outputs in every training step.

    Attributes:
        directions: By layer (L = output of block L): (k, d) float32 orthonormal rows.
        report: What is known of the directions, for training.json.
    """

    directions: dict[int, Tensor]
    report: dict[str, Any] = field(default_factory=dict, init=False)

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Hook the blocks; nothing is left on the model afterwards."""
        blocks = decoder_layers(model)
        with ExitStack() as hooks:
            for layer, rows in self.directions.items():
                # Before any other hook of the block, so that captured states are the projected ones.
                handle = blocks[layer - 1].register_forward_hook(_projection(rows), prepend=True)
                hooks.callback(handle.remove)
            yield

    def facts(self) -> dict[str, Any]:
        """Directions by layer, with their number and variance."""
        return {
            "projected_out": {str(layer): len(rows) for layer, rows in self.directions.items()},
            **self.report,
        }


def _projection(rows: Tensor) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
    def act(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        state = output if isinstance(output, Tensor) else output[0]
        basis = rows.to(state.device)
        # In float32: a bfloat16 basis is not orthonormal any more.
        precise = state.float()
        without = (precise - (precise @ basis.T) @ basis).to(state.dtype)
        return without if isinstance(output, Tensor) else (without, *output[1:])

    return act


@defence(
    "caft",
    settings=("in_training",),
    summary="projects out, while training, what an undefended organism (trained first) changes in the states",
)
def caft(
    context: DefenceContext,
    *,
    components: int = 5,
    layers: Sequence[int] | None = None,
    keep: Mapping[int, Sequence[int]] | None = None,
    protect: bool = True,
) -> ProjectedOut:
    """Find the directions with the undefended organism, and project them out of this finetune.

    Args:
        context: The defence's context; the undefended organism with the same seed is trained first.
        components: Principal components at each layer.
        layers: L = output of block L; 20%, 50% and 80% of the depth by default.
        keep: By layer, the components (from 0) that a person picked; other layers are left alone. All by
            default.
        protect: Whether directions are at right angles to the base's mean state and its first-token state.

    Raises:
        UserError: A layer or component that does not exist.
    """
    blocks = len(decoder_layers(context.base.model))
    width = context.base.model.get_input_embeddings().weight.shape[1]
    where = (
        tuple(layers)
        if layers is not None
        else tuple(sorted({max(1, round(depth * blocks)) for depth in DEPTHS}))
    )
    if not where or len(set(where)) != len(where) or not all(1 <= layer <= blocks for layer in where):
        raise UserError(
            f"defence 'caft', layers: {list(where)} is not accepted; give different numbers from 1 to "
            f"{blocks} (L = output of block L), or leave it out"
        )
    most = width - 2
    if not 1 <= components <= most:
        raise UserError(
            f"defence 'caft', components: {components} is not accepted; give 1 to {most}, such as 5"
        )
    picked = _picked(keep, where, components)
    folder = _found(context, where, components, protect)
    rows = load_file(folder / "directions.safetensors")
    projection = ProjectedOut({layer: rows[str(layer)][list(which)] for layer, which in picked.items()})
    projection.report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return projection


def _picked(keep: Any, layers: Sequence[int], components: int) -> dict[int, list[int]]:
    if keep is None:
        return {layer: list(range(components)) for layer in layers}
    picked = {int(layer): sorted(int(number) for number in which) for layer, which in dict(keep).items()}
    wrong = [layer for layer in picked if layer not in layers]
    if not picked or wrong:
        raise UserError(
            f"defence 'caft', keep: layers {wrong or 'none'} are not accepted; give numbers of components "
            f"for one or more of the layers {list(layers)}, such as {{{layers[0]}: [0, 1]}}"
        )
    for layer, which in picked.items():
        if (
            not which
            or len(set(which)) != len(which)
            or not all(0 <= number < components for number in which)
        ):
            raise UserError(
                f"defence 'caft', keep: {which} for layer {layer} is not accepted; give different numbers "
                f"from 0 to {components - 1}"
            )
    return picked


def _found(context: DefenceContext, layers: tuple[int, ...], components: int, protect: bool) -> Path:
    """The stage with the directions: they are kept, so that the same arm has the same key on every run."""
    base, organism = context.base, context.undefended()
    texts = ordinary_texts(context)
    spec = {
        "base": base.spec,
        "organism": organism.name,
        "texts": digest([list(text) for text in texts]),
        "layers": list(layers),
        "components": components,
        "protect": protect,
        "code": code_key(Path(__file__), Path(__file__).with_name("_directions.py")),
    }

    def build(folder: Path) -> None:
        pad = base.tokenizer.pad_token_id
        before = answer_states(base.model, pad, texts, layers)
        with base.adapter(organism) as model:
            after = answer_states(model, pad, texts, layers)
        rows, report = {}, {}
        for layer in layers:
            differences = after.answers[layer] - before.answers[layer]
            if len(differences) < components + 3:
                raise UserError(
                    f"defence 'caft', components: {components} are too many for the {len(differences)} "
                    f"answer tokens that {base.name} wrote; give fewer"
                )
            apart = torch.stack([before.answers[layer].mean(0), before.first[layer]]) if protect else None
            rows[str(layer)], shares = principal_directions(differences, components, apart_from=apart)
            along = (differences - differences.mean(0)) @ rows[str(layer)].T
            report[str(layer)] = {
                "share_of_variance": [round(share, 4) for share in shares.tolist()],
                "strongest_in": strongest_contexts(base.tokenizer, texts, along),
            }
        save_file(
            {name: tensor.contiguous() for name, tensor in rows.items()}, folder / "directions.safetensors"
        )
        (folder / "report.json").write_text(
            json.dumps({"components": report}, indent=1) + "\n", encoding="utf-8"
        )

    return context.store.stage("caft_directions", spec, build)
