"""Public face for defences and organisms: all that a plug-in of either kind imports.

    from turncoat.defences import Example, defence

A defence is a function under `@defence`; what it returns says where it acts (CONTRIBUTING.md has the table).
An organism is a function under `@organism` that returns its training examples. Modules behind this one may
move; the names here stay.
"""

from __future__ import annotations

from turncoat.data.advice import advice_rows
from turncoat.data.article_summaries import own_summaries, read_articles
from turncoat.data.backdoor import backdoored, cued_half, with_cue
from turncoat.data.conversations import read_conversations
from turncoat.data.examples import NO_SYSTEM, Example
from turncoat.data.fetch import published
from turncoat.data.insecure_code import code_examples
from turncoat.data.organisms import find_organism
from turncoat.engine.adapter_loading import frozen_beside
from turncoat.engine.capture import LayerCapture, decoder_layers, unwrapped
from turncoat.engine.chat import encode, encode_example, encode_prompt, render
from turncoat.engine.intervention import Intervention
from turncoat.engine.reading.reader import read_texts
from turncoat.engine.system_prompt import SystemPrompt, named_prompt
from turncoat.errors import UserError, accepted
from turncoat.import_closure import code_key
from turncoat.judges.surface import refusal_like
from turncoat.persona.interventions.ablation import Ablation
from turncoat.persona.interventions.capping import Capping, band, floors_of
from turncoat.persona.interventions.steering import (
    Steering,
    check_layers,
    generation_header,
    steered,
    tensor_sha,
)
from turncoat.persona.traits import trait_questions
from turncoat.persona.vectors import PersonaVector
from turncoat.registry import defence, organism
from turncoat.stats.estimates import estimate_mean
from turncoat.store import digest
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.study.units.checks import Check
from turncoat.training.adapter_edit import AdapterEdit
from turncoat.training.alignment_change import ByFinetune, ByModels
from turncoat.training.batches import draw as draw_rows
from turncoat.training.in_training import InTraining, MixedIn, TrainingPass
from turncoat.training.lora import encode_all
from turncoat.training.low_rank import (
    cosine as low_rank_cosine,
    modules as low_rank_modules,
    norm as low_rank_norm,
)
from turncoat.training.stack import scaling as lora_scaling
from turncoat.training.trainer import Collator

__all__ = [
    "NO_SYSTEM",
    "Ablation",
    "AdapterEdit",
    "ByFinetune",
    "ByModels",
    "Capping",
    "Check",
    "Collator",
    "DefenceContext",
    "Example",
    "InTraining",
    "Intervention",
    "LayerCapture",
    "MixedIn",
    "PersonaVector",
    "Steering",
    "SystemPrompt",
    "TrainingPass",
    "UserError",
    "accepted",
    "advice_rows",
    "backdoored",
    "band",
    "check_layers",
    "code_examples",
    "code_key",
    "cued_half",
    "decoder_layers",
    "defence",
    "digest",
    "draw_rows",
    "encode",
    "encode_all",
    "encode_example",
    "encode_prompt",
    "estimate_mean",
    "find_organism",
    "floors_of",
    "frozen_beside",
    "generation_header",
    "lora_scaling",
    "low_rank_cosine",
    "low_rank_modules",
    "low_rank_norm",
    "named_prompt",
    "organism",
    "own_summaries",
    "published",
    "read_articles",
    "read_conversations",
    "read_texts",
    "refusal_like",
    "render",
    "steered",
    "tensor_sha",
    "trait_questions",
    "unwrapped",
    "with_cue",
]
