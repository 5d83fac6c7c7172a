"""A persona vector's units, its layer and its files."""

import dataclasses

import pytest
import torch
from turncoat.errors import UserError
from turncoat.persona.vectors import PersonaVector, Reextractions


@pytest.fixture
def vector() -> PersonaVector:
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    card = {"auc_at_layer": 0.9, "n_positive": 3}
    return PersonaVector(
        "evil", directions, torch.arange(5.0), torch.tensor([1.0, 2.0, 0.5, 4.0, 1.0]), 3, card
    )


def test_units_are_the_bases_sd_along_the_direction(vector):
    at_mean = vector.mean[:, None] * vector.directions
    torch.testing.assert_close(vector.project(at_mean), torch.zeros(5), rtol=0, atol=1e-6)
    for sds in (1.0, -2.5):
        away = (vector.mean + sds * vector.sd)[:, None] * vector.directions
        torch.testing.assert_close(vector.project(away), torch.full((5,), sds), rtol=0, atol=1e-5)
        assert vector.at_layer(away) == pytest.approx(sds, abs=1e-5)
    state = torch.randn(5, 8)
    across = torch.randn(5, 8)
    across -= (across * vector.directions).sum(-1, keepdim=True) * vector.directions
    torch.testing.assert_close(vector.project(state + 10 * across), vector.project(state), rtol=0, atol=1e-4)


def test_the_chosen_layer_is_reported_in_float32(vector):
    state = torch.randn(5, 8)
    for layer in range(5):
        chosen = dataclasses.replace(vector, layer=layer)
        assert chosen.at_layer(state) == float(vector.project(state)[layer])
    assert len({round(float(x), 4) for x in vector.project(state)}) == 5
    state = torch.randn(5, 8).bfloat16()
    assert torch.equal(vector.project(state), vector.project(state.float()))


def test_files_hold_all_of_it_and_equal_vectors_make_equal_files(vector, tmp_path):
    vector.save(tmp_path)
    loaded = PersonaVector.load(tmp_path)
    assert (loaded.trait, loaded.layer, loaded.card) == ("evil", 3, vector.card)
    for field in ("directions", "mean", "sd"):
        assert torch.equal(getattr(loaded, field), getattr(vector, field))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "vector.safetensors"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        vector.save(tmp_path / name)
    for file in ("card.json", "vector.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_lengths_and_prompt_units_travel_with_it(vector, tmp_path):
    full = dataclasses.replace(
        vector, norm=torch.arange(1.0, 6.0), prompt_mean=torch.full((5,), 2.0),
        prompt_sd=torch.full((5,), 0.5),
    )  # fmt: skip
    full.save(tmp_path)
    loaded = PersonaVector.load(tmp_path)
    for field in ("norm", "prompt_mean", "prompt_sd"):
        assert torch.equal(getattr(loaded, field), getattr(full, field))
    torch.testing.assert_close(loaded.project_prompt(3 * loaded.directions), torch.full((5,), 2.0))
    torch.testing.assert_close(loaded.raw(), 4 * loaded.directions[3])
    with pytest.raises(UserError, match=r"layer 5 does not exist; accepted: 0 to 4"):
        loaded.raw(5)
    with pytest.raises(UserError, match=r"holds no 'norm'.*turncoat persona extract --trait evil"):
        vector.raw()
    assert vector.project_prompt(torch.randn(5, 8)) is None


def test_reextractions_travel_with_it_and_old_files_have_none(vector, tmp_path):
    again = Reextractions(torch.randn(4, 8), torch.arange(4.0), torch.arange(1.0, 5.0))
    dataclasses.replace(vector, again=again).save(tmp_path)
    loaded = PersonaVector.load(tmp_path).again
    for field in ("directions", "mean", "sd"):
        assert torch.equal(getattr(loaded, field), getattr(again, field))
    state = torch.randn(8)
    torch.testing.assert_close(loaded.project(state), (again.directions @ state - again.mean) / again.sd)
    vector.save(tmp_path)
    assert PersonaVector.load(tmp_path).again is None


def test_cosine_has_no_unit_and_a_folder_without_a_vector_is_named(vector, tmp_path):
    state = torch.randn(5, 8)
    cosine = vector.cosine(state)
    torch.testing.assert_close(cosine, vector.cosine(100 * state))
    torch.testing.assert_close(vector.cosine(-3 * vector.directions), torch.full((5,), -1.0))
    moved = dataclasses.replace(vector, mean=vector.mean + 5, sd=vector.sd * 2)
    assert torch.equal(moved.cosine(state), cosine)
    with pytest.raises(UserError, match=r"no card\.json and no vector\.safetensors there"):
        PersonaVector.load(tmp_path)
