"""Extraction of a persona vector from the base model, with the choice of the layer to report.

1. The base answers each question under each positive and each negative system prompt; a vector is the mean
   response activation of the positive answers minus that of the negative ones, at every layer
   (arXiv:2507.21509, section 2.2; answers are filtered by trait score where a judge is given; the card says
   so). For an axis the positive side is the default assistant and the negative one many roles
   (arXiv:2601.10387, section 2).
2. The unit is the spread of the base's ordinary answers (no persona prompt) over questions.
   For a trait with `texts` the vector is made from aligned and misaligned answers that were written
   beforehand (`from_texts.py`), and step 1 is left out.
3. The layer is the one at which the vector best ranks misaligned over aligned texts that it was not made
   from; for a trait without such texts, at which a vector made from some of the prompts and questions best
   ranks answers under the others to the others.
4. That vector is tested at every layer on answers under the others to the trait's evaluation questions, which
   chose nothing (for a trait without evaluation questions on the answers of step 3).
"""

from pathlib import Path
from typing import Any

import torch

from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode_prompt
from turncoat.engine.decoding.sampler import SampleResult, sampler_for
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.import_closure import code_key
from turncoat.persona import from_texts
from turncoat.persona.answers import Answers, OnProgress, TraitJudge, gather, requests_for, trait_rubric_id
from turncoat.persona.layers import DEPTH, choice_of_layer, choose_layer, text_states
from turncoat.persona.quality import held_out_quality, split_half_cosine
from turncoat.persona.reextract import reextract, reextract_texts
from turncoat.persona.traits import TraitQuestions
from turncoat.persona.vectors import PersonaVector, Reextractions
from turncoat.store import Store

TOKENS = 16  # per answer: more answers beat longer ones
ROLLOUTS = 2  # per question and system prompt
TEST_ROLLOUTS = 5  # the same of the test: 200 answers a side for 2 held-out prompts and 20 questions
ORDINARY_SAMPLES = 2
# At temperature 1 a 135M model answers in word salad under any system prompt, and the halves of its vector
# agree less (split-half cosine at the chosen layer 0.56 against 0.66 at 0.6, each from 400 answers).
TEMPERATURE = 0.6


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
        "sampling": [TOKENS, rollouts or ROLLOUTS, ORDINARY_SAMPLES, TEST_ROLLOUTS, TEMPERATURE],
        "depth": list(DEPTH),
        "judge": None if judge is None else [judge.id, trait_rubric_id(judge, questions.trait)],
        "code": code_key(Path(__file__)),
    }


def answer_count(questions: TraitQuestions, *, rollouts: int | None = None) -> int:
    """Number of answers that an extraction samples."""
    under_prompts = sum(len(group) for group in questions.asks()) * (rollouts or ROLLOUTS)
    tests = sum(1 for _ in questions.tests()) * TEST_ROLLOUTS
    return under_prompts + tests + len(questions.questions) * ORDINARY_SAMPLES


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
    ordinary = answers.ordinary()
    make = _from_texts if questions.texts else _from_prompts
    directions, norm, layer, card, again = make(base, model, questions, answers, batch_size)
    projected = (ordinary * directions).sum(-1)
    prompts = (_prompt_states(base, model, questions, batch_size) * directions).sum(-1)
    card |= {
        "n_ordinary_questions": len(ordinary), "model": base.spec, "prompts_sha": answers.prompts_sha,
        "sampling": {
            "tokens": TOKENS, "rollouts": rollouts or ROLLOUTS, "test_rollouts": TEST_ROLLOUTS,
            "temperature": TEMPERATURE,
        },
        "depth": round(layer / (len(directions) - 1), 3),
        "layer_convention": "0 = embeddings, L = raw output of block L",
    }  # fmt: skip
    return PersonaVector(
        questions.trait, directions, projected.mean(0), projected.std(0), layer, card, norm=norm,
        prompt_mean=prompts.mean(0), prompt_sd=prompts.std(0), again=again,
    )  # fmt: skip


Made = tuple[torch.Tensor, torch.Tensor | None, int, dict[str, Any], Reextractions | None]
"""Directions, length of the raw difference (None: it has none), layer, card entries, re-extractions."""


def _from_prompts(
    base: BaseModel, model: Any, questions: TraitQuestions, answers: Answers, batch_size: int
) -> Made:
    positive, negative = answers.side("positive"), answers.side("negative")
    _check(questions, len(positive), len(negative), answers)
    highs, lows = torch.stack(positive), torch.stack(negative)
    difference = highs.mean(0) - lows.mean(0)
    norm = difference.norm(dim=-1)
    directions = difference / norm[:, None].clamp_min(1e-12)
    held_out = answers.held_out()
    quality = None if held_out is None else held_out_quality(held_out)
    chosen = choice_of_layer(base, model, questions, directions, batch_size, quality, held_out)
    if (tests := answers.tested()) is not None:
        held_out, quality = tests, held_out_quality(tests)
    layer = choose_layer(chosen.pop("gaps"))
    by_layer = chosen.pop("by_layer")
    card = {
        "n_positive": len(positive), "n_negative": len(negative), "n_empty": answers.n_empty,
        "n_dropped_by_judge": answers.n_dropped, "filtered_by_trait_score": answers.judge is not None,
        "judge": answers.judge, **chosen, **{name: values(layer) for name, values in by_layer.items()},
        "split_half_cosine": split_half_cosine(highs, lows), "held_out": quality,
        "n_held_out": None if held_out is None else [len(side) for side in held_out.unseen],
        "norm_by_layer": [round(float(x), 4) for x in norm],
    }  # fmt: skip
    return directions, norm, layer, card, reextract(answers, layer)


def _from_texts(
    base: BaseModel, model: Any, questions: TraitQuestions, answers: Answers, batch_size: int
) -> Made:
    states = text_states(base, model, questions, questions.texts, batch_size)
    made = from_texts.from_texts(states)
    layer = choose_layer(made.gap)
    card = {
        "n_positive": states.shape[1], "n_negative": states.shape[1], "made_from": "texts",
        "gap_by_layer": made.gap,
        "layer_rule": "largest gap, smoothed over neighbours, between the misaligned and the aligned answer "
        f"of held-out pairs, in SD of their differences, depth {DEPTH[0]:g} to {DEPTH[1]:g}",
        "n_selection_pairs": states.shape[1], "pairs_ranked_right": made.auc[layer], "auc": made.auc[layer],
        "held_out": {"auc": made.auc, "gap": made.gap, **made.controls},
        "n_held_out": [states.shape[1]] * 2, "split_half_cosine": made.split_half_cosine,
    }  # fmt: skip
    again = reextract_texts(states[:, :, layer], answers.ordinary()[:, layer])
    return made.directions, None, layer, card, again


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
        base, questions, rollouts=rollouts, test_rollouts=TEST_ROLLOUTS, ordinary_samples=ORDINARY_SAMPLES,
        tokens=TOKENS, temperature=TEMPERATURE,
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
