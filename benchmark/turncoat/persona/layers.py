"""Choice of the layer that a persona vector is reported at, fixed on the base model before any finetuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_prompt
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.persona.quality import auc
from turncoat.persona.traits import TextPair, TraitQuestions

# Very early layers carry tokens, not traits, and move the wrong way under every finetune; the last ones turn
# to the next word. The best layer is looked for in between.
DEPTH = (0.5, 0.9)


def choose_layer(gap_by_layer: list[float]) -> int:
    """The layer with the largest gap, smoothed over its neighbours, between 50% and 90% depth.

    The gap is how far a misaligned answer lies above the aligned one to the same question, over its standard
    deviation: the share of pairs ranked right, without the steps of a share of a few dozen. Smoothing because
    neighbouring layers hold nearly the same state.
    """
    last = len(gap_by_layer) - 1
    candidates = [layer for layer in range(1, last) if DEPTH[0] <= layer / last <= DEPTH[1]]

    def smoothed(layer: int) -> float:
        return sum(gap_by_layer[layer - 1 : layer + 2]) / 3

    return max(candidates, key=lambda layer: (round(smoothed(layer), 6), -layer))


def choice_of_layer(
    base: BaseModel,
    model: Any,
    questions: TraitQuestions,
    directions: torch.Tensor,
    batch_size: int,
    quality: dict[str, list[float]] | None,
    held_out: Any,
) -> dict[str, Any]:
    """Criterion of the layer's choice: `gaps` per layer, `by_layer` functions of the chosen layer, card
    entries."""
    if questions.selection:
        selection = _selection_projections(base, model, questions, directions, batch_size)
        differences = selection[1] - selection[0]
        gaps = differences.mean(0) / differences.std(0)
        return {
            "gaps": gaps.tolist(),
            "gap_by_layer": [round(float(x), 4) for x in gaps],
            "layer_rule": "largest gap, smoothed over neighbours, between misaligned and aligned selection "
            f"texts, depth {DEPTH[0]:g} to {DEPTH[1]:g}",
            "n_selection_pairs": len(questions.selection),
            "by_layer": {
                "pairs_ranked_right": lambda layer: round(
                    float((differences[:, layer] > 0).float().mean()), 4
                ),
                "auc": lambda layer: round(
                    auc(selection[1, :, layer].tolist(), selection[0, :, layer].tolist()), 4
                ),
            },
        }
    if quality is None:
        raise UserError(
            f"persona '{questions.trait}': nothing to choose a layer by: it has no layer_selection texts, "
            f"and with {len(questions.questions)} questions no answers can be held out; give at least 2 "
            "instruction pairs and 6 questions"
        )
    held_out_auc = quality["auc"]
    return {
        "gaps": quality["gap"],
        "gap_by_layer": quality["gap"],
        "layer_rule": "largest distance in pooled SD, smoothed over neighbours, between held-out answers "
        f"under positive and under negative prompts, depth {DEPTH[0]:g} to {DEPTH[1]:g}; prompts and "
        "questions unseen by the tested vector",
        "n_selection_pairs": len(held_out.unseen[0]) * len(held_out.unseen[1]),
        "by_layer": {
            "pairs_ranked_right": lambda layer: held_out_auc[layer],
            "auc": lambda layer: held_out_auc[layer],
        },
    }


def _selection_projections(
    base: BaseModel, model: Any, questions: TraitQuestions, directions: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """Projections of the aligned [0] and misaligned [1] selection texts: (2, pairs, layers + 1)."""
    return (text_states(base, model, questions, questions.selection, batch_size) * directions).sum(-1)


def text_states(
    base: BaseModel, model: Any, questions: TraitQuestions, texts: Sequence[TextPair], batch_size: int
) -> torch.Tensor:
    """Mean states of the aligned [0] and misaligned [1] answers: (2, pairs, layers + 1, d)."""
    items = []
    for question, aligned, misaligned in texts:
        prompt = encode_prompt(base.tokenizer, [{"role": "user", "content": question}])
        items += [(prompt, encode(base.tokenizer, aligned)), (prompt, encode(base.tokenizer, misaligned))]
    readings = read_texts(model, base.tokenizer.pad_token_id, items, batch_size=batch_size)
    states = [reading.activation for reading in readings if reading.activation is not None]
    if len(states) != len(items):
        raise UserError(f"persona '{questions.trait}': one of its texts has an empty answer")
    return torch.stack([torch.stack(states[0::2]), torch.stack(states[1::2])])
