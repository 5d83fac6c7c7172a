"""Fixtures of the interventions' tests: a tiny model that is found as it was, and its states."""

import torch
from turncoat.engine.capture import LayerCapture
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.reading.reader import read_texts
from turncoat.testing import tiny_tokenizer

IDS = torch.tensor([[5, 9, 200, 33, 14, 7], [61, 300, 12, 8, 4, 77]])


def hook_count(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def states(model: torch.nn.Module, ids: torch.Tensor = IDS) -> list[torch.Tensor]:
    with torch.inference_mode(), LayerCapture(model) as capture:
        model(ids)
        return list(capture.states)


def unit_rows(seed: int) -> torch.Tensor:
    """A direction for each layer of the tiny model."""
    rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def generated_and_read(network: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of four sampled answers, the states of the pass that wrote them and of one that reads them.

    Answers without a token are left out.
    """
    requests = [
        SampleRequest(prompt_ids=prompt, seed=seed, max_new_tokens=6, temperature=1.0, key=seed)
        for seed, prompt in enumerate([(5, 9, 200), (61, 300, 12, 8, 4, 77, 31, 90), (14,), (8, 8)])
    ]
    drawn = Sampler(network, tiny_tokenizer(), batch_size=2, capture=True).run(requests)
    items = [(r.prompt_ids, d.token_ids) for r, d in zip(requests, drawn, strict=True)]
    readings = read_texts(network, 1, items)
    pairs = zip(drawn, readings, strict=True)
    return [(d.activation, r.activation) for d, r in pairs if d.activation is not None]
