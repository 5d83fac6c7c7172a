"""Extract a persona vector from the base model and choose the layer to report, before any finetuning.

1. The base answers each question under each positive and each negative system prompt; a vector is the mean response
   activation of the positive answers minus that of the negative ones, at every layer (arXiv:2507.21509, section 2.2,
   without a judge: answers are not filtered by trait score, which the card says).
2. The unit is the spread of the base's ordinary answers (no persona prompt) over questions.
3. The layer is the one at which the vector best ranks misaligned over aligned texts that it was not made from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from scipy.stats import rankdata

from turncoat.data.chat import encode, encode_prompt
from turncoat.errors import UserError
from turncoat.lm.base_model import BaseModel
from turncoat.lm.reader import read_texts
from turncoat.lm.sampler import SAMPLING_CODE, Sampler, SampleRequest, SampleResult
from turncoat.lm.seeds import sample_seed
from turncoat.persona.questions import TraitQuestions
from turncoat.persona.vectors import PersonaVector
from turncoat.store import Store, code_digest

TOKENS = 16  # per answer: more answers beat longer ones
ROLLOUTS = 2  # per question and system prompt
ORDINARY_SAMPLES = 2
# At temperature 1 a 135M model answers in word salad under any system prompt, and the halves of its vector agree less
# (split-half cosine at the chosen layer 0.56 against 0.66 at 0.6, each from 400 answers).
TEMPERATURE = 0.6
# Very early layers carry tokens, not traits, and move the wrong way under every finetune; the last ones turn to the
# next word. The best layer is looked for in between.
DEPTH = (0.5, 0.9)

Tick = Callable[[int, int], None]


def extraction_spec(base: BaseModel, questions: TraitQuestions) -> dict[str, Any]:
    """What determines a persona vector."""
    return {
        "base": base.spec,
        "questions": questions.as_json(),
        "sampling": [TOKENS, ROLLOUTS, ORDINARY_SAMPLES, TEMPERATURE],
        "depth": list(DEPTH),
        "code": code_digest([Path(__file__), Path(__file__).with_name("vectors.py"), *SAMPLING_CODE]),
    }


def answer_count(questions: TraitQuestions) -> int:
    """How many answers an extraction samples."""
    return len(questions.questions) * (2 * len(questions.instructions) * ROLLOUTS + ORDINARY_SAMPLES)


def persona_vector(
    base: BaseModel, questions: TraitQuestions, store: Store, *, batch_size: int = 32, tick: Tick | None = None
) -> PersonaVector:
    """The trait's vector on this base model; extracted on first use, then read from the store."""

    def build(folder: Path) -> None:
        with base.without_adapter() as model:
            extract(base, model, questions, batch_size=batch_size, tick=tick).save(folder)

    return PersonaVector.load(store.stage("persona", extraction_spec(base, questions), build))


def extract(
    base: BaseModel, model: Any, questions: TraitQuestions, *, batch_size: int, tick: Tick | None = None
) -> PersonaVector:
    """Do the work of `persona_vector`.

    Raises:
        UserError: The chat template drops the persona prompts, or nearly all answers came out empty.
    """
    answers = _answers(base, model, questions, batch_size, tick)
    positive, negative = answers["positive"], answers["negative"]
    if min(len(positive), len(negative)) < 10:
        raise UserError(
            f"persona '{questions.trait}': the base model gave {len(positive)} non-empty answers under positive and "
            f"{len(negative)} under negative prompts; at least 10 of each are needed"
        )
    difference = torch.stack(positive).mean(0) - torch.stack(negative).mean(0)
    directions = difference / difference.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    ordinary = torch.stack([torch.stack(group).mean(0) for group in answers["ordinary"]])
    projected = (ordinary * directions).sum(-1)
    selection = _selection_projections(base, model, questions, directions, batch_size)
    gaps = selection[1] - selection[0]
    layer = choose_layer((gaps.mean(0) / gaps.std(0)).tolist())
    halves = [torch.stack(side[k::2]).mean(0) for k in (0, 1) for side in (positive, negative)]
    split_half = torch.cosine_similarity(halves[0] - halves[1], halves[2] - halves[3], dim=-1)
    card = {
        "n_positive": len(positive),
        "n_negative": len(negative),
        "n_ordinary_questions": len(ordinary),
        "filtered_by_trait_score": False,
        "gap_by_layer": [round(float(x), 4) for x in gaps.mean(0) / gaps.std(0)],
        "pairs_ranked_right": round(float((gaps[:, layer] > 0).float().mean()), 4),
        "auc": round(auc(selection[1, :, layer].tolist(), selection[0, :, layer].tolist()), 4),
        "n_selection_pairs": len(questions.selection),
        "split_half_cosine": [round(float(x), 4) for x in split_half],
        "depth": round(layer / (len(directions) - 1), 3),
        "layer_convention": "0 = embeddings, L = raw output of block L",
    }
    return PersonaVector(questions.trait, directions, projected.mean(0), projected.std(0), layer, card)


def _answers(
    base: BaseModel, model: Any, questions: TraitQuestions, batch_size: int, tick: Tick | None
) -> dict[str, Any]:
    requests: list[SampleRequest] = []

    def ask(side: str, system: str | None, question: str, index: int) -> None:
        messages = [] if system is None else [{"role": "system", "content": system}]
        ids = tuple(encode_prompt(base.tokenizer, [*messages, {"role": "user", "content": question}]))
        seed = sample_seed(0, f"persona/{questions.trait}/{side}", f"{system}\n{question}", index)
        requests.append(
            SampleRequest(
                prompt_ids=ids, seed=seed, max_new_tokens=TOKENS, temperature=TEMPERATURE, key=(side, question)
            )
        )

    for positive, negative in questions.instructions:
        for question in questions.questions:
            for index in range(ROLLOUTS):
                ask("positive", positive, question, index)
                ask("negative", negative, question, index)
    for question in questions.questions:
        for index in range(ORDINARY_SAMPLES):
            ask("ordinary", None, question, index)

    done = 0

    def on_done(_: SampleResult) -> None:
        nonlocal done
        done += 1
        if tick is not None:
            tick(done, len(requests))

    results = Sampler(model, base.tokenizer, batch_size=batch_size, capture=True, refill=True).run(requests, on_done)
    sides: dict[str, Any] = {"positive": [], "negative": []}
    ordinary: dict[str, list[torch.Tensor]] = {}
    for result in results:
        side, question = cast(tuple[str, str], result.key)
        if result.activation is None:
            continue
        if side == "ordinary":
            ordinary.setdefault(question, []).append(result.activation)
        else:
            sides[side].append(result.activation)
    return {**sides, "ordinary": list(ordinary.values())}


def _selection_projections(
    base: BaseModel, model: Any, questions: TraitQuestions, directions: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """Projections of the aligned [0] and misaligned [1] selection texts: (2, pairs, layers + 1)."""
    items = []
    for question, aligned, misaligned in questions.selection:
        prompt = encode_prompt(base.tokenizer, [{"role": "user", "content": question}])
        items += [(prompt, encode(base.tokenizer, aligned)), (prompt, encode(base.tokenizer, misaligned))]
    readings = read_texts(model, base.tokenizer.pad_token_id, items, batch_size=batch_size)
    texts = [reading.activation for reading in readings if reading.activation is not None]
    if len(texts) != len(items):
        raise UserError(f"persona '{questions.trait}': a text of layer_selection.jsonl has an empty answer")
    projected = torch.stack([(activation * directions).sum(-1) for activation in texts])
    return torch.stack([projected[0::2], projected[1::2]])


def auc(higher: list[float], lower: list[float]) -> float:
    """Probability that a value of `higher` exceeds one of `lower` (Mann-Whitney U over the number of pairs)."""
    ranks = rankdata([*higher, *lower])
    n, m = len(higher), len(lower)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def choose_layer(gap_by_layer: list[float]) -> int:
    """The layer with the largest gap, smoothed over its neighbours, between 50% and 90% depth.

    The gap is how far a misaligned answer lies above the aligned one to the same question, over its standard deviation:
    the share of pairs ranked right, without the steps of a share of a few dozen. Smoothing because neighbouring layers
    hold nearly the same state.
    """
    last = len(gap_by_layer) - 1
    candidates = [layer for layer in range(1, last) if DEPTH[0] <= layer / last <= DEPTH[1]]

    def smoothed(layer: int) -> float:
        return sum(gap_by_layer[layer - 1 : layer + 2]) / 3

    return max(candidates, key=lambda layer: (round(smoothed(layer), 6), -layer))
