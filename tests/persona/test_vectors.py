"""A persona vector's units, its layer and its files."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from turncoat.persona.vectors import PersonaVector


@pytest.fixture
def vector() -> PersonaVector:
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    card = {"auc_at_layer": 0.9, "n_positive": 3}
    return PersonaVector("evil", directions, torch.arange(5.0), torch.tensor([1.0, 2.0, 0.5, 4.0, 1.0]), 3, card)


def test_a_text_at_the_mean_is_zero_and_one_sd_away_is_one(vector):
    at_mean = vector.mean[:, None] * vector.directions
    torch.testing.assert_close(vector.project(at_mean), torch.zeros(5), rtol=0, atol=1e-6)
    for sds in (1.0, -2.5):
        away = (vector.mean + sds * vector.sd)[:, None] * vector.directions
        torch.testing.assert_close(vector.project(away), torch.full((5,), sds), rtol=0, atol=1e-5)
        assert vector.at_layer(away) == pytest.approx(sds, abs=1e-5)


def test_what_lies_across_the_direction_does_not_count(vector):
    state = torch.randn(5, 8)
    across = torch.randn(5, 8)
    across -= (across * vector.directions).sum(-1, keepdim=True) * vector.directions
    torch.testing.assert_close(vector.project(state + 10 * across), vector.project(state), rtol=0, atol=1e-4)


def test_the_chosen_layer_is_reported(vector):
    state = torch.randn(5, 8)
    for layer in range(5):
        chosen = dataclasses.replace(vector, layer=layer)
        assert chosen.at_layer(state) == float(vector.project(state)[layer])
    assert len({round(float(x), 4) for x in vector.project(state)}) == 5


def test_half_precision_states_are_projected_in_float32(vector):
    state = torch.randn(5, 8).bfloat16()
    assert torch.equal(vector.project(state), vector.project(state.float()))


def test_round_trip(vector, tmp_path):
    vector.save(tmp_path)
    loaded = PersonaVector.load(tmp_path)
    assert (loaded.trait, loaded.layer, loaded.card) == ("evil", 3, vector.card)
    for field in ("directions", "mean", "sd"):
        assert torch.equal(getattr(loaded, field), getattr(vector, field))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "vector.safetensors"]


def test_equal_vectors_make_equal_files(vector, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        vector.save(tmp_path / name)
    for file in ("card.json", "vector.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
