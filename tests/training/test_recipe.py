"""Presets are starting values, nothing more."""

import pytest
from pydantic import ValidationError
from turncoat.training.recipe import LoraRecipe


def test_presets_are_starting_values():
    paper = LoraRecipe.model_validate({"preset": "paper"})
    assert (paper.rank, paper.alpha, paper.rslora, paper.learning_rate) == (32, 64, True, 1e-5)
    assert (paper.batch_size, paper.warmup_steps, paper.weight_decay, paper.epochs) == (16, 5, 0.01, 1)
    assert (paper.rows, paper.max_length, paper.schedule) == (None, 2048, "linear")
    assert LoraRecipe.model_validate({"preset": "small"}) == LoraRecipe()
    assert "preset" not in LoraRecipe.model_validate({"preset": "paper"}).model_dump()
    assert LoraRecipe.model_validate({"preset": "paper", "rows": 6000, "rank": 8}).rank == 8
    with pytest.raises(ValidationError, match="preset 'papr' is not known; accepted: small, paper"):
        LoraRecipe.model_validate({"preset": "papr"})
