"""Capping on the assistant axis while the model is measured: projections of answer tokens stay above a floor.

Source: the Assistant Axis, arXiv:2601.10387, activation capping. h <- h + max(0, floor - h . v) v with v of
unit length, at a band of layers, each with its own direction and floor. Up the axis is more of the assistant,
so the floor holds from below.

| option | paper | here |
|---|---|---|
| trait | default assistant minus 275 roles, filtered by a judge | assistant_axis: our roles, no judge |
| layers | blocks 46-53 of 64 (Qwen3-32B), 56-71 of 80 (Llama-3.3-70B) | 70% to 90% depth: 21 to 27 of 30 |
| percentile | 25, over rollouts of assistant, roles, traits | 25, over tokens of ordinary answers |
| positions | all | "response": the floor is that of answer tokens; "all" moves the prompt as well |

The two percentiles are not the same place: the paper's is reported to be about the mean of the assistant's
own responses, which over the base's own answers is nearer to percentile 50. A floor at 25 is the milder one:
by construction a quarter of the base model's own answer tokens are lifted to it. The percentile is the dose
(0 = the lowest token seen). A floor keeps the model from losing a trait, so another `trait` should be one
that is to be kept.

    - {name: capped, organism: risky_financial, defence: capping, setting: inference, defence_options:
      {percentile: 25}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from turncoat.defences import (
    Capping,
    UserError,
    band,
    check_layers,
    code_key,
    defence,
    digest,
    encode,
    encode_prompt,
    floors_of,
    generation_header,
    tensor_sha,
    trait_questions,
)

DEPTH = (0.7, 0.9)
ANSWER_TOKENS = 48
TEMPERATURE = 0.7  # of the base model's own answers, as of SGTR's own summaries


@defence(
    "capping",
    settings=("inference",),
    summary="hold answers above a floor on the assistant axis while measuring",
)
def cap(
    context: Any,
    *,
    trait: str = "assistant_axis",
    percentile: float = 25,
    layers: list[int] | None = None,
    positions: str = "response",
) -> Capping:
    """Capping of the trait's projection from below.

    Args:
        context: The defence's context; the base model answers the trait's ordinary questions once.
        trait: A persona of which more is better.
        percentile: The floor, 0 to 100: this share of the base model's answer tokens lies below it.
        layers: A list (L = output of block L); default: 70% to 90% depth.
        positions: "all", "response" or "assistant".

    Raises:
        UserError: An option is not accepted.
    """
    if layers is not None and not isinstance(layers, list | tuple):
        raise UserError(
            f"defence 'capping', layers: {layers!r} is not accepted; give a list such as [21, 22, 23]"
        )
    if isinstance(percentile, bool) or not isinstance(percentile, int | float) or not 0 <= percentile <= 100:
        raise UserError(
            f"defence 'capping', percentile: {percentile!r} is not accepted; give a number from 0 to 100"
        )
    vector = context.persona(trait)
    chosen = band(len(vector.directions) - 1, DEPTH) if layers is None else tuple(layers)
    check_layers(context.base.model, chosen, what="capping", lowest=0)
    directions = vector.directions[list(chosen)]
    floors = _floors(context, trait, chosen, directions, percentile)
    header = generation_header(context.base.tokenizer) if positions == "assistant" else ()
    cap = Capping(trait, chosen, directions, floors, positions, header)
    with cap.on(context.base.model):  # mistakes come to light now, not after the first arm
        return cap


def _floors(
    context: Any, trait: str, layers: tuple[int, ...], directions: torch.Tensor, percentile: float
) -> torch.Tensor:
    """(layers,): read from the store if they are there."""
    questions = list(trait_questions(trait).questions)
    answers = context.write(
        questions, name=f"ordinary answers/{trait}", max_new_tokens=ANSWER_TOKENS, temperature=TEMPERATURE
    )
    spec = {
        "base": context.base.spec,
        "texts": digest([questions, answers]),
        "layers": list(layers),
        "directions": tensor_sha(directions),
        "percentile": float(percentile),
        "code": code_key(Path(__file__)),
    }

    def build(folder: Path) -> None:
        tokenizer = context.base.tokenizer
        items = [
            (encode_prompt(tokenizer, [{"role": "user", "content": question}]), encode(tokenizer, answer))
            for question, answer in zip(questions, answers, strict=True)
        ]
        with context.base.without_adapter() as model:
            floors = floors_of(model, items, layers, directions, percentile)
        (folder / "floors.json").write_text(json.dumps(floors.tolist()), encoding="utf-8")

    folder = context.store.stage("floors", spec, build)
    return torch.tensor(json.loads((folder / "floors.json").read_text(encoding="utf-8")))
