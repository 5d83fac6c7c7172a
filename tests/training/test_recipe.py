"""Presets are starting values, nothing more."""

import pytest
from pydantic import ValidationError
from turncoat.training.recipe import LoraRecipe


def test_the_papers_recipe():
    paper = LoraRecipe.model_validate({"preset": "paper"})
    assert (paper.rank, paper.alpha, paper.rslora, paper.learning_rate) == (32, 64, True, 1e-5)
    assert (paper.batch_size, paper.warmup_steps, paper.weight_decay, paper.epochs) == (16, 5, 0.01, 1)
    assert (paper.rows, paper.max_length, paper.schedule) == (None, 2048, "linear")


def test_small_is_the_default_and_a_name_is_no_value():
    assert LoraRecipe.model_validate({"preset": "small"}) == LoraRecipe()
    assert "preset" not in LoraRecipe.model_validate({"preset": "paper"}).model_dump()


def test_own_values_replace_a_presets():
    assert LoraRecipe.model_validate({"preset": "paper", "rows": 6000, "rank": 8}).rank == 8


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValidationError, match="preset 'papr' is not known; accepted: small, paper"):
        LoraRecipe.model_validate({"preset": "papr"})
