"""Plain use of transformers and lm-eval: what the engine is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import GenerationConfig

from turncoat.engine.base_model import BaseModel
from turncoat.engine.decoding.sampler import SampleRequest

Drawn = tuple[list[int], bool]
"""An answer's tokens without the end of text, and whether it ended by itself."""


def generate(
    model: Any, tokenizer: Any, requests: Sequence[SampleRequest], batch_size: int, copies: int = 1
) -> list[Drawn]:
    """transformers' `generate` over left-padded batches in the order given.

    Args:
        requests: Of equal settings; seeds are not used.
        copies: `num_return_sequences`: answers per request.
    """
    eos = getattr(model.generation_config, "eos_token_id", None)
    eos_ids = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
    draws = {"do_sample": True, "temperature": requests[0].temperature, "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(
        max_new_tokens=requests[0].max_new_tokens, num_return_sequences=copies, repetition_penalty=1.0,
        eos_token_id=sorted(eos_ids), pad_token_id=tokenizer.pad_token_id,
        **(draws if requests[0].temperature else {"do_sample": False}),
    )  # fmt: skip
    drawn: list[Drawn] = []
    for start in range(0, len(requests), batch_size):
        prompts = [list(request.prompt_ids) for request in requests[start : start + batch_size]]
        batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(
            model.device
        )
        with torch.inference_mode():
            output = model.generate(**batch, generation_config=config)
        for row in output[:, batch["input_ids"].shape[1] :].tolist():
            end = next((place for place, token in enumerate(row) if token in eos_ids), None)
            drawn.append((row[:end], end is not None))
    return drawn


def hidden_means(model: Any, items: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
    """Mean states over each answer after its prompt, one text a pass with `output_hidden_states`.

    Returns:
        (texts, layers, d) in float32. The state after the last block is left out: transformers gives it
        after the final norm, whose mean is not the norm of the mean.
    """
    means = []
    for prompt, answer in items:
        ids = torch.tensor([[*prompt, *answer]], device=model.device)
        with torch.inference_mode():
            states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
        means.append(torch.stack([state[0, len(prompt) :].float().mean(0) for state in states[:-1]]).cpu())
    return torch.stack(means)


def hf_lm(base: BaseModel, batch_size: int, model: Any = None) -> HFLM:
    """lm-eval's `hf` on the model that is loaded already."""
    return HFLM(model or base.model, tokenizer=base.tokenizer, batch_size=batch_size, backend="causal")


def lm_requests(kind: str, arguments: Sequence[tuple[Any, Any]]) -> list[Instance]:
    """lm-eval's requests of a kind, `loglikelihood` or `generate_until`."""
    return [Instance(request_type=kind, doc={}, arguments=pair, idx=n) for n, pair in enumerate(arguments)]


def loglikelihoods(lm: HFLM, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Log-likelihoods, in nats per token, of (rendered context, continuation) pairs."""
    scored = lm.loglikelihood(lm_requests("loglikelihood", pairs), disable_tqdm=True)
    lengths = [len(lm.tok_encode(answer, add_special_tokens=False)) for _, answer in pairs]
    return [float(value) / length for (value, _), length in zip(scored, lengths, strict=True)]
