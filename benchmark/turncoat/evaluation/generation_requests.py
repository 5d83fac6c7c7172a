"""Generation requests of lm-eval as sample requests, and the steering that a document asks for."""

from typing import Any

from lm_eval.api.instance import Instance

from turncoat.engine.decoding.sampler import SampleRequest
from turncoat.errors import UserError

# Anything else is an error: ignoring a setting would make the run something other than what its task says.
NEUTRAL = {
    "repetition_penalty": 1.0, "num_beams": 1, "min_p": 0.0, "typical_p": 1.0, "no_repeat_ngram_size": 0,
}  # fmt: skip
"""Sampling settings that the sampler does not implement, with the value that means "off"."""


def settings_of(sample: SampleRequest) -> list[Any]:
    """The settings of a sample, for the key of stored answers."""
    return [sample.max_new_tokens, sample.temperature, sample.top_p, sample.top_k, list(sample.stop)]


def steer_fields(request: Instance) -> tuple[str, float, int | None, str] | None:
    """(trait, strength, layer, positions) that the request's document asks for; None if it has no `steer`."""
    doc = request.doc if isinstance(request.doc, dict) else {}
    strength = doc.get("steer")
    if strength is None:
        return None
    trait = doc.get("steer_trait") or doc.get("trait")
    if not trait:
        raise UserError(
            f"task '{request.task_name}', document {doc.get('id', request.doc_id)!r}: it has 'steer' but no "
            "'steer_trait'; name the persona vector to steer along (`turncoat list personas`)"
        )
    return str(trait), strength, doc.get("steer_layer"), str(doc.get("steer_positions") or "all")


def sample_request(
    ids: tuple[int, ...], settings: dict[str, Any], seed: int, key: tuple[str, int], max_length: int
) -> SampleRequest:
    """One sample request from a task's generation settings.

    Args:
        settings: lm-eval's `generation_kwargs`; emptied.
        seed: Used where `do_sample` is set.
        max_length: Longest sequence of the model, in tokens.

    Raises:
        UserError: A setting is not supported, or prompt and answer exceed `max_length`.
    """
    until = settings.pop("until", [])
    stop = (until,) if isinstance(until, str) else tuple(until or ())
    length = int(settings.pop("max_gen_toks", None) or settings.pop("max_new_tokens", None) or 256)
    sampled = bool(settings.pop("do_sample", False))
    temperature = float(settings.pop("temperature", 1.0)) if sampled else 0.0
    settings.pop("temperature", None)
    top_p, top_k = float(settings.pop("top_p", 1.0)), int(settings.pop("top_k", 0) or 0)
    wrong = {k: v for k, v in settings.items() if k not in NEUTRAL or v != NEUTRAL[k]}
    if wrong:
        raise UserError(
            f"generation_kwargs of task '{key[0]}': {wrong} not supported by --model turncoat; accepted: "
            "do_sample, temperature, top_p, top_k, max_gen_toks, until. Use --model hf for other settings"
        )
    if len(ids) + length > max_length:
        raise UserError(
            f"task '{key[0]}': a prompt of {len(ids)} tokens and {length} new ones exceed the model's "
            f"{max_length}; lower max_gen_toks in the task's generation_kwargs"
        )
    return SampleRequest(
        prompt_ids=ids, seed=seed if sampled else None, max_new_tokens=length, temperature=temperature,
        top_p=top_p, top_k=top_k, stop=tuple(s for s in stop if s), key=key,
    )  # fmt: skip
