"""Template K/V: the chat template's keys and values are held near the base model's while the organism is
trained.

Every conversation begins with the same tokens (ChatML with its default system message: `<|im_start|>system
... user`), so what finetuning writes into their keys and values is read by every later question, whatever it
is about. The penalty is the drift of those keys and values from the base model's.

Source: TReFT ("token-regularised finetuning"), arXiv:2606.06667, the method section; released code
CHATS-lab/Token-Regularized-Fine-Tuning.

| option | paper | ours |
|---|---|---|
| weight | 10 (lr 1e-5, r 8, alpha 16) | 10 |
| distance | squared relative distance, keys plus values, mean of tokens and layers | the same |
| keys, values | projections of the residual stream before its norm | as attention reads them |
| system messages | dropped from the training rows | kept; their prefixes are held too, see below |

Attention is causal, so the prefix is read by itself: a short pass each step, with gradients, and its
key/value cache is the thing measured (after the norms and, for keys, the rotation by position, which changes
no distance). No hook is set and no other pass is touched. The base's own keys and values are computed once,
with the adapter off.

What is held: the prefix of a question without a system message, always, since that is what tasks ask; and the
prefixes of the rows' own system messages, the `MOST` commonest. All count alike. Rows that begin with none of
them are trained on and counted in training.json (`rows_without_held_prefix`). For a feel of the weight: 16
steps of risky_financial on SmolLM2-135M (undefended, batch 4) bring the term to 0.5 beside a loss of 2.9.

In a study:
    - {organism: risky_financial, defence: template_kv, setting: in_training, defence_options: {weight: 10.0}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from turncoat.defences import (
    NO_SYSTEM,
    InTraining,
    TrainingPass,
    UserError,
    defence,
    encode_all,
    encode_prompt,
    unwrapped,
)

from ._frozen_reference import checked_weight, relative_distance

MOST = 4  # own system messages whose prefixes are held: each is one more row of the short pass of every step

# They begin unlike each other, so that what they have in common ends where the user's words begin.
_USERS_WORDS = ("apple", "Zoo", "7 of 9", "(no)", "élan")


@dataclass
class HeldPrefix(InTraining):
    """Adds weight x drift of the prefixes' keys and values from the frozen model's.

    Attributes:
        weight: Multiplies the drift.
        prefixes: Token ids of each held prefix.
        rows_without: Training rows that begin with none of them.
    """

    weight: float
    prefixes: list[list[int]]
    rows_without: int = 0
    _frozen: list[Tensor] = field(init=False, default_factory=list, repr=False)

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Reads the frozen keys and values once; they are dropped on leaving."""
        with torch.no_grad(), model.disable_adapter():
            self._frozen = prefix_cache(model, self.prefixes)
        try:
            yield
        finally:
            self._frozen = []

    def penalty(self, batch: TrainingPass) -> Tensor:
        """weight x (drift of keys + drift of values), mean over prefixes, their tokens and layers."""
        return self.weight * self.drift(batch.model)

    def drift(self, model: PeftModel) -> Tensor:
        """Movement of the prefixes' keys and values; only inside `acting`."""
        now = prefix_cache(model, self.prefixes)
        each = torch.stack(
            [relative_distance(n, f) for n, f in zip(now, self._frozen, strict=True)]
        )  # (2 layers, rows, T)
        real = _mask(self.prefixes, each.device)
        per_prefix = (each * real).sum(-1) / real.sum(-1)
        return 2 * per_prefix.mean()  # keys and values are added, not averaged

    def facts(self) -> dict[str, Any]:
        """Weight, the prefixes' lengths, and how many rows begin with none of them."""
        return {
            "weight": self.weight,
            "prefix_tokens": [len(prefix) for prefix in self.prefixes],
            "rows_without_held_prefix": self.rows_without,
        }


@defence(
    "template_kv",
    settings=("in_training",),
    summary="penalty: drift of keys and values at the chat template's prefix from the frozen base model's",
)
def template_kv(context: Any, *, weight: float = 10.0) -> HeldPrefix:
    """The penalty.

    Args:
        context: The defence's context: the chat template, and the rows that are trained on.
        weight: Multiplies the drift, above 0.

    Raises:
        UserError: The weight is not accepted, or the template puts nothing before the user's words.
    """
    weight = checked_weight("template_kv", weight)
    rows = context.rows
    counts = Counter(row.system for row in rows if row.system not in (None, NO_SYSTEM))
    prefixes: list[list[int]] = []
    for system in (
        None,
        *(text for text, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]),
    ):
        prefix = prefix_of(context.base.tokenizer, system)
        if prefix and prefix not in prefixes:
            prefixes.append(prefix)
    if not prefixes:
        raise UserError(
            f"defence 'template_kv': the chat template of {context.base.name} puts nothing before the user's "
            "words, so there is no prefix to hold; use another defence (kl, ldifs) for this model"
        )
    prompts = [prompt for prompt, _ in encode_all(context.base, rows, context.recipe.max_length).values()]
    without = sum(not any(prompt[: len(p)] == p for p in prefixes) for prompt in prompts)
    return HeldPrefix(weight, prefixes, without)


def prefix_of(tokenizer: PreTrainedTokenizerBase, system: str | None = None) -> list[int]:
    """Token ids of everything before the user's words, found by rendering different words.

    Args:
        tokenizer: Has the chat template.
        system: System message; None = the template's own default.
    """
    first = [] if system is None else [{"role": "system", "content": system}]
    rendered = [
        encode_prompt(tokenizer, [*first, {"role": "user", "content": words}]) for words in _USERS_WORDS
    ]
    together = list(zip(*rendered, strict=False))
    differ = next((i for i, tokens in enumerate(together) if len(set(tokens)) > 1), len(together))
    return rendered[0][:differ]


def prefix_cache(model: PeftModel, prefixes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Keys and values of all layers as attention reads them, each (prefixes, T, heads x width), padded on the
    right.

    Read in evaluation mode: gradient checkpointing keeps no cache, and dropout would be drift.

    Raises:
        UserError: The model's cache does not hold keys and values of each prefix token.
    """
    device = model.device
    mask = _mask(prefixes, device)
    ids = torch.zeros_like(mask)
    for i, prefix in enumerate(prefixes):
        ids[i, : len(prefix)] = torch.tensor(prefix)
    training = model.training
    model.eval()
    try:
        decoder = unwrapped(model).get_decoder()
        cache = decoder(input_ids=ids, attention_mask=mask, use_cache=True).past_key_values
    finally:
        model.train(training)
    states = []
    for layer in cache.layers:
        for state in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            if state is None or state.shape[-2] != ids.shape[1]:
                raise UserError(
                    f"defence 'template_kv': {type(unwrapped(model)).__name__} keeps no keys and values of "
                    f"all {ids.shape[1]} prefix tokens (layers without attention, or a sliding window); use "
                    "kl or ldifs"
                )
            states.append(state.transpose(1, 2).flatten(2))
    return states


def _mask(prefixes: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """(prefixes, T) integers: 1 where there is a token."""
    lengths = torch.tensor([len(prefix) for prefix in prefixes], device=device)
    return (torch.arange(int(lengths.max()), device=device) < lengths[:, None]).long()
