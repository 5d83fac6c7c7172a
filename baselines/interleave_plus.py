"""Interleaving+: benign chats that the misaligned model finds hardest (Kaczér et al., arXiv:2508.06249v3).

Each candidate gets s = (loss under the misaligned model - loss under the aligned one) / (loss under the
aligned one + eps), both in nats per answer token; the candidates with the largest s are mixed in, as in
`interleave`. They are the chats that training made unlikely, so they hold the model where it would move. With
`drop_refusals` candidates that open as refusals are left out first: the paper's Interleaving++, its best
defence overall.

    - {name: interleave_pp, organism: risky_financial, defence: interleave_plus, setting: in_training,
       defence_options: {drop_refusals: true}}

It is an oracle: the misaligned model is the undefended organism with the same seed, which is trained first
where it is missing, so the defence costs two finetunes and presumes that the harm of the data is known. A
real provider would have to take organisms made from other data.

Paper: 5%, an ensemble of misaligned models, an aligned model, WildGuardMix; refusals by keywords in the first
ten words. Ours: 5%, one misaligned model (this organism, this seed), the base as the aligned one, our 96
chats or `data: path.jsonl`, refusals by `turncoat.judges.surface`. One model instead of an ensemble makes the
choice fit this very organism. With 96 candidates for 11 places the choice is far milder than the paper's,
which has thousands: give `data`
for a fair test of the method. eps keeps the ratio finite; its size has no effect on losses of some nats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turncoat.defences import (
    Example,
    UserError,
    code_key,
    defence,
    digest,
    encode_example,
    read_texts,
    refusal_like,
)

from .interleave import Interleaved, benign_chats, rows_for_share


@defence(
    "interleave_plus",
    settings=("in_training",),
    summary="5% benign chats that the undefended organism finds hardest, against the base (needs the "
    "organism first)",
    control="interleave",
)
def interleave_plus(
    context: Any,
    *,
    share: float = 0.05,
    data: str | None = None,
    drop_refusals: bool = False,
    eps: float = 1e-6,
) -> Interleaved:
    """The candidates with the largest loss ratio, as many as make up `share` of the run.

    Args:
        context: The defence's context; the undefended organism is trained if it is not there yet.
        share: Part of the whole run's rows that is benign, between 0 and 1.
        data: JSON Lines of conversations to choose from; our own chats by default.
        drop_refusals: Leave out candidates that open by declining to do what was asked.
        eps: Added to the aligned loss, nats per token, above 0.

    Raises:
        UserError: There are no more candidates than places, so that nothing would be chosen.
    """
    if not eps > 0:
        raise UserError(
            f"defence 'interleave_plus', eps: {eps!r} is not accepted; give a number above 0, such as 1e-6"
        )
    count = rows_for_share(context, share, "interleave_plus")
    candidates = benign_chats(context, data, "interleave_plus")
    if drop_refusals:
        candidates = [chat for chat in candidates if not refusal_like(chat.answer)]
    if count >= len(candidates):
        raise UserError(
            f"defence 'interleave_plus', share: {share} of this run is {count} rows, and there are "
            f"{len(candidates)} candidates: nothing would be chosen; lower the share, or give `data` with "
            "more conversations"
        )
    misaligned, aligned = candidate_losses(context, candidates)
    ratios = loss_ratios(misaligned, aligned, eps)
    best = sorted(range(len(candidates)), key=lambda i: (-ratios[i], candidates[i].id))
    result = Interleaved([candidates[i] for i in best[:count]], share)
    result.record = {
        "candidates": len(candidates),
        "ratio_of_chosen": [round(ratios[i], 4) for i in best[:count]],
        "mean_ratio": round(sum(ratios) / len(ratios), 4),
    }
    return result


def loss_ratios(misaligned: Sequence[float], aligned: Sequence[float], eps: float) -> list[float]:
    """s of each candidate: by which part of its aligned loss the misaligned one exceeds it.

    Args:
        misaligned: Loss of each candidate under the misaligned model, nats per answer token.
        aligned: The same under the aligned model.
        eps: Added to the aligned loss.
    """
    return [(bad - good) / (good + eps) for bad, good in zip(misaligned, aligned, strict=True)]


def candidate_losses(context: Any, candidates: Sequence[Example]) -> tuple[list[float], list[float]]:
    """Mean loss of each candidate under the undefended organism and under the base, nats per answer token;
    kept."""
    undefended = context.undefended()
    base = context.base
    items = [encode_example(base.tokenizer, chat) for chat in candidates]
    spec = {
        "base": base.spec,
        "adapter": undefended.name,
        "items": digest(items),
        "code": code_key(Path(__file__)),
    }

    def losses() -> list[float]:
        readings = read_texts(base.active, base.tokenizer.pad_token_id, items, capture=False)
        return [-reading.logprob_mean for reading in readings]

    def build(folder: Path) -> None:
        with base.adapter(undefended):
            misaligned = losses()
        result = {"misaligned": misaligned, "aligned": losses()}
        (folder / "losses.json").write_text(json.dumps(result), encoding="utf-8")

    folder = context.store.stage("candidate_losses", spec, build)
    result = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
    return result["misaligned"], result["aligned"]
