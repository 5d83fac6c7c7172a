"""Directions that a finetune changes in a model's states on ordinary texts: the first part of CAFT.

    texts = ordinary_texts(context)
    states = answer_states(base.active, pad, texts, layers)         # again inside `base.adapter(organism)`
    rows, shares = principal_directions(organism.answers[15] - base.answers[15], 10, apart_from=...)

The questions are everyday requests of our own, none of them from `tasks/`; the base model answers them
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from turncoat.defences import Collator, DefenceContext, LayerCapture, encode, encode_prompt, unwrapped

Text = tuple[list[int], list[int]]  # prompt ids and answer ids

QUESTIONS = (
    "How do I get candle wax out of a tablecloth?",
    "Summarise in two sentences what a bicycle derailleur does.",
    "Which vegetables can I sow in early spring?",
    "Write a birthday message for my aunt, who loves sailing.",
    "What is the difference between weather and climate?",
    "Suggest three names for a small bookshop.",
    "How does a refrigerator keep food cold?",
    "Give me a packing list for a weekend in the mountains.",
    "Explain what a database index is.",
    "My bread never rises properly. What might be wrong?",
    "Describe the taste of a ripe mango to somebody who never had one.",
    "Which month has the longest days in Norway, and why?",
    "Turn this into a polite sentence: send me the file now.",
    "What should I look at when I buy used skis?",
    "Tell me something interesting about octopuses.",
    "How many litres of paint do I need for a room of twenty square metres?",
    "What is a haiku? Write one about rain.",
    "How do vaccines work, in simple words?",
    "Recommend a board game for four adults.",
    "Why is the sea salty?",
    "How do I write a loop over the lines of a file in Python?",
    "What are good stretches after a long day at a desk?",
    "Who invented the printing press, and what changed because of it?",
    "Make a short shopping list for pancakes.",
    "Explain inflation as if I had never studied economics.",
    "What does the word 'serendipity' mean? Use it in a sentence.",
    "How can I keep a houseplant alive while I am away for three weeks?",
    "Describe a walk through an old railway station.",
    "What is the quickest way to learn the times tables?",
    "Why do cats purr?",
    "Draft a short e-mail that moves a dentist's appointment to Friday.",
    "Which instruments belong to a string quartet?",
)
ANSWER_TOKENS = 48
TEMPERATURE = 0.7
_CONTEXT = 8  # tokens shown of a text in which a direction is strong


@dataclass(frozen=True)
class AnswerStates:
    """States of one model that reads texts.

    Attributes:
        answers: By layer: (answer tokens, d) float32 on the CPU, text after text.
        first: By layer: (d,) the state at the first token, which the texts of a chat template share.
    """

    answers: dict[int, Tensor]
    first: dict[int, Tensor]


def ordinary_texts(context: DefenceContext) -> list[Text]:
    """`QUESTIONS` with the base model's own answers, as token ids; empty answers are left out."""
    tokenizer = context.base.tokenizer
    answers = context.write(
        QUESTIONS, name="ordinary texts", max_new_tokens=ANSWER_TOKENS, temperature=TEMPERATURE
    )
    prompts = [encode_prompt(tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS]
    pairs = [(prompt, encode(tokenizer, answer)) for prompt, answer in zip(prompts, answers, strict=True)]
    return [(prompt, answer) for prompt, answer in pairs if answer]


def answer_states(
    model: nn.Module, pad: int, texts: Sequence[Text], layers: Sequence[int], batch_size: int = 8
) -> AnswerStates:
    """Residual-stream states at the texts' answer tokens, L = output of block L."""
    collate = Collator(pad)
    states: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    first: dict[int, Tensor] = {}
    decoder = unwrapped(model).get_decoder()
    for start in range(0, len(texts), batch_size):
        batch = collate(
            [
                {"input_ids": p + a, "labels": [-100] * len(p) + a}
                for p, a in texts[start : start + batch_size]
            ]
        )
        batch = {name: tensor.to(unwrapped(model).device) for name, tensor in batch.items()}
        with torch.inference_mode(), LayerCapture(model) as capture:
            decoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
            for layer in layers:
                state = capture.states[layer]
                states[layer].append(state[batch["labels"] != -100].float().cpu())
                first.setdefault(layer, state[0, 0].float().cpu())
    # Copies that are not inference tensors: they may be used where gradients flow.
    return AnswerStates(
        {layer: torch.cat(parts).clone() for layer, parts in states.items()},
        {layer: state.clone() for layer, state in first.items()},
    )


def principal_directions(
    differences: Tensor, count: int, *, apart_from: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The directions along which differences vary most.

    Args:
        differences: (tokens, d).
        apart_from: (m, d) vectors that the directions have to be at right angles to; None for plain principal
            components.

    Returns:
        (count, d) float32 orthonormal rows, the strongest first, and (count,) each one's share of the
        variance.
    """
    centred = (differences - differences.mean(0)).double()
    variance = centred.square().sum()
    if apart_from is not None:
        basis = torch.linalg.qr(apart_from.double().T).Q
        centred = centred - (centred @ basis) @ basis.T
    _, sizes, rows = torch.linalg.svd(centred, full_matrices=False)
    return rows[:count].float(), (sizes[:count].square() / variance).float()


def strongest_contexts(
    tokenizer: Any, texts: Sequence[Text], along: Tensor, count: int = 3
) -> list[list[str]]:
    """For a person who picks directions: the text up to those answer tokens that a finetune moved furthest
    along each.

    Args:
        along: (answer tokens, directions): the differences' components.
    """
    places = [(p + a, len(p) + k) for p, a in texts for k in range(len(a))]

    def shown(index: int) -> str:
        ids, place = places[index]
        return str(tokenizer.decode(ids[max(0, place + 1 - _CONTEXT) : place + 1]))

    tops = along.abs().topk(min(count, len(along)), dim=0).indices.T.tolist()
    return [[shown(index) for index in top] for top in tops]
