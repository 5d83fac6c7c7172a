"""The model that the interventions' tests act on."""

import pytest
import torch
from persona.interventions.tiny_states import IDS, hook_count
from turncoat.testing import tiny_model


@pytest.fixture
def network():
    """A tiny model; at the end no hook is left and its numbers are the old ones."""
    model = tiny_model()
    with torch.inference_mode():
        model(IDS, output_hidden_states=True)  # transformers sets hooks of its own the first time
    before, hooks = model(IDS).logits, hook_count(model)
    yield model
    assert hook_count(model) == hooks and torch.equal(model(IDS).logits, before)
