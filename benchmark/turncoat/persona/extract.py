"""Extraction of a persona vector from the base model, with the choice of the layer to report.

1. The base answers each question under each positive and each negative system prompt; a vector is the mean
   response activation of the positive answers minus that of the negative ones, at every layer
   (arXiv:2507.21509, section 2.2; answers are filtered by trait score where a judge is given; the card says
   so). For an axis the positive side is the default assistant and the negative one many roles
   (arXiv:2601.10387, section 2).
2. The unit is the spread of the base's ordinary answers (no persona prompt) over questions.
3. The layer is the one at which the vector best ranks misaligned over aligned texts that it was not made
   from; for a trait without such texts, at which a vector made from some of the prompts and questions best
   ranks answers under the others to the others.
"""

from pathlib import Path
from typing import Any

import torch

from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_prompt
from turncoat.engine.decoding.sampler import SampleResult, sampler_for
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.import_closure import code_key
from turncoat.persona.answers import Answers, OnProgress, TraitJudge, gather, requests_for, trait_rubric_id
from turncoat.persona.quality import auc, held_out_quality, split_half_cosine
from turncoat.persona.reextract import reextract
from turncoat.persona.traits import TraitQuestions
from turncoat.persona.vectors import PersonaVector
from turncoat.store import Store

__all__ = ["answer_count", "auc", "choose_layer", "extract", "extraction_spec", "persona_vector"]

TOKENS = 16  # per answer: more answers beat longer ones
ROLLOUTS = 2  # per question and system prompt
ORDINARY_SAMPLES = 2
# At temperature 1 a 135M model answers in word salad under any system prompt, and the halves of its vector
# agree less (split-half cosine at the chosen layer 0.56 against 0.66 at 0.6, each from 400 answers).
TEMPERATURE = 0.6
# Very early layers carry tokens, not traits, and move the wrong way under every finetune; the last ones turn
# to the next word. The best layer is looked for in between.
DEPTH = (0.5, 0.9)


def extraction_spec(
    base: BaseModel,
    questions: TraitQuestions,
    *,
    rollouts: int | None = None,
    judge: TraitJudge | None = None,
) -> dict[str, Any]:
    """All that determines a persona vector, for its stage key."""
    return {
        "base": base.spec,
        "questions": questions.as_json(),
        "sampling": [TOKENS, rollouts or ROLLOUTS, ORDINARY_SAMPLES, TEMPERATURE],
        "depth": list(DEPTH),
        "judge": None if judge is None else [judge.id, trait_rubric_id(judge, questions.trait)],
        "code": code_key(Path(__file__)),
    }


def answer_count(questions: TraitQuestions, *, rollouts: int | None = None) -> int:
    """Number of answers that an extraction samples."""
    under_prompts = sum(len(group) for group in questions.asks()) * (rollouts or ROLLOUTS)
    return under_prompts + len(questions.questions) * ORDINARY_SAMPLES


def persona_vector(
    base: BaseModel,
    questions: TraitQuestions,
    store: Store,
    *,
    batch_size: int = 32,
    on_progress: OnProgress | None = None,
    rollouts: int | None = None,
    judge: TraitJudge | None = None,
) -> PersonaVector:
    """The trait's vector on this base model; extracted on first use, then read from the store.

    Args:
        base: The base model; an adapter that is on has no part in it.
        batch_size: Answers decoded together; it changes no bit of the result on a CPU.
        judge: Filters pairs by trait score; default unfiltered.
    """
    return PersonaVector.load(
        vector_folder(
            base, questions, store, batch_size=batch_size, on_progress=on_progress, rollouts=rollouts,
            judge=judge,
        )
    )  # fmt: skip


def vector_folder(
    base: BaseModel,
    questions: TraitQuestions,
    store: Store,
    *,
    batch_size: int = 32,
    on_progress: OnProgress | None = None,
    rollouts: int | None = None,
    judge: TraitJudge | None = None,
) -> Path:
    """The stage folder that `persona_vector` reads."""

    def build(folder: Path) -> None:
        with base.without_adapter() as model:
            vector = extract(
                base, model, questions, batch_size=batch_size, on_progress=on_progress, rollouts=rollouts,
                judge=judge,
            )  # fmt: skip
        vector.save(folder)

    return store.stage("persona", extraction_spec(base, questions, rollouts=rollouts, judge=judge), build)


def extract(
    base: BaseModel,
    model: Any,
    questions: TraitQuestions,
    *,
    batch_size: int,
    on_progress: OnProgress | None = None,
    rollouts: int | None = None,
    judge: TraitJudge | None = None,
) -> PersonaVector:
    """Sample, average and choose the layer: the work behind `persona_vector`.

    Raises:
        UserError: The chat template drops the persona prompts, nearly all answers came out empty or were
            dropped, or there is nothing to choose a layer by.
    """
    answers = _answers(base, model, questions, batch_size, on_progress, rollouts or ROLLOUTS, judge)
    positive, negative = answers.side("positive"), answers.side("negative")
    _check(questions, len(positive), len(negative), answers)
    highs, lows = torch.stack(positive), torch.stack(negative)
    difference = highs.mean(0) - lows.mean(0)
    norm = difference.norm(dim=-1)
    directions = difference / norm[:, None].clamp_min(1e-12)
    ordinary = answers.ordinary()
    projected = (ordinary * directions).sum(-1)
    prompts = (_prompt_states(base, model, questions, batch_size) * directions).sum(-1)
    held_out = answers.held_out()
    quality = None if held_out is None else held_out_quality(held_out)
    chosen = _choice_of_layer(base, model, questions, directions, batch_size, quality, held_out)
    layer = choose_layer(chosen.pop("gaps"))
    by_layer = chosen.pop("by_layer")
    card = {
        "n_positive": len(positive), "n_negative": len(negative), "n_empty": answers.n_empty,
        "n_dropped_by_judge": answers.n_dropped, "n_ordinary_questions": len(ordinary),
        "filtered_by_trait_score": answers.judge is not None, "judge": answers.judge, "model": base.spec,
        "prompts_sha": answers.prompts_sha,
        "sampling": {"tokens": TOKENS, "rollouts": rollouts or ROLLOUTS, "temperature": TEMPERATURE},
        **chosen, **{name: values(layer) for name, values in by_layer.items()},
        "split_half_cosine": split_half_cosine(highs, lows), "held_out": quality,
        "n_held_out": None if held_out is None else [len(side) for side in held_out.unseen],
        "norm_by_layer": [round(float(x), 4) for x in norm], "depth": round(layer / (len(directions) - 1), 3),
        "layer_convention": "0 = embeddings, L = raw output of block L",
    }  # fmt: skip
    return PersonaVector(
        questions.trait, directions, projected.mean(0), projected.std(0), layer, card, norm=norm,
        prompt_mean=prompts.mean(0), prompt_sd=prompts.std(0), again=reextract(answers, layer),
    )  # fmt: skip


def _check(questions: TraitQuestions, n_positive: int, n_negative: int, answers: Answers) -> None:
    if min(n_positive, n_negative) >= 10:
        return
    filtered = (
        f" after the judge dropped {answers.n_dropped} (the model may not play the trait: extract without a "
        "judge, or with more rollouts)"
        if answers.judge
        else ""
    )
    raise UserError(
        f"persona '{questions.trait}': the base model gave {n_positive} non-empty answers under positive and "
        f"{n_negative} under negative prompts{filtered}; at least 10 of each are needed"
    )


def _answers(
    base: BaseModel,
    model: Any,
    questions: TraitQuestions,
    batch_size: int,
    on_progress: OnProgress | None,
    rollouts: int,
    judge: TraitJudge | None,
) -> Answers:
    requests = requests_for(
        base, questions, rollouts=rollouts, ordinary_samples=ORDINARY_SAMPLES, tokens=TOKENS,
        temperature=TEMPERATURE,
    )  # fmt: skip
    done = 0

    def on_done(_: SampleResult) -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, len(requests))

    results = sampler_for(model, base.tokenizer, batch_size, capture=True).run(requests, on_done)
    return gather(questions, requests, results, judge)


def _prompt_states(base: BaseModel, model: Any, questions: TraitQuestions, batch_size: int) -> torch.Tensor:
    """(questions, layers + 1, d): states at the last token of the ordinary prompts."""
    prompts = [encode_prompt(base.tokenizer, [{"role": "user", "content": q}]) for q in questions.questions]
    # The state at the last prompt token is the same whatever answer follows, so any token will do.
    readings = read_texts(
        model, base.tokenizer.pad_token_id, [(p, p[-1:]) for p in prompts], batch_size=batch_size
    )
    return torch.stack([reading.prompt for reading in readings if reading.prompt is not None])


def _choice_of_layer(
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
