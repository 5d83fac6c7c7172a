"""Outline of a model: the key of the model itself, no memory, and a refusal to run."""

import pytest
import torch
from turncoat.engine.base_model import LOADS, load_base
from turncoat.engine.outline import NoWeights, outline_of
from turncoat.testing import save_tiny


def test_an_outline_has_the_models_key_and_no_weights(tmp_path):
    folder = str(save_tiny(tmp_path / "model", layers=2, dtype=torch.bfloat16))
    before = len(LOADS)
    outline = load_base(folder, outline=True)
    assert len(LOADS) == before and outline.model.device.type == "meta"
    with pytest.raises(NoWeights):
        outline.model(input_ids=torch.tensor([[1, 2]], device="meta"))
    model = load_base(folder)
    assert model is not outline and model.spec == outline.spec and model.spec["dtype"] == "bfloat16"
    assert model.model.num_parameters() == outline.model.num_parameters()
    assert model.context_length == outline.context_length
    assert load_base(folder, outline=True) is model, "what is in memory is there for keys, too"
    assert load_base(folder, dtype="float32", outline=True).spec["dtype"] == "float32"


def test_a_configuration_without_a_precision_has_no_outline(tmp_path):
    folder = save_tiny(tmp_path / "model", layers=2)
    config = folder / "config.json"
    lines = [line for line in config.read_text(encoding="utf-8").splitlines() if '"dtype"' not in line]
    config.write_text("\n".join(lines), encoding="utf-8")
    assert outline_of(str(folder), "auto") is None
