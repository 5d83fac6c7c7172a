"""Directions from texts: a planted direction among larger unrelated spread; controls; the whole vector."""

import pytest
import torch
from turncoat.errors import UserError
from turncoat.persona.extract import extract
from turncoat.persona.from_texts import discriminant, from_texts
from turncoat.persona.traits import TraitQuestions


def planted(pairs: int = 300, d: int = 24, layers: int = 2) -> torch.Tensor:
    """Layer 0 holds noise; in layer 1 dimension 3 sets the sides apart and dimension 7 varies forty times
    more."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(2, pairs, layers, d, generator=generator)
    states[..., 7] *= 40
    states[1, :, 1, 3] += 1.5
    return states


def test_the_planted_direction_is_recovered_where_a_difference_of_means_is_not():
    low, high = planted()[:, :, 1]
    means = torch.nn.functional.normalize((high - low).mean(0), dim=0)
    direction = discriminant(low, high)
    assert direction.norm() == pytest.approx(1, abs=1e-5)
    assert direction[3] > 0.9 > means[3]


def test_held_out_pairs_are_ranked_where_something_is_planted_and_nowhere_else():
    made = from_texts(planted(), controls=100)
    assert made.auc[1] > 0.8 > made.controls["shuffled_p95"][1]
    assert made.auc[1] > made.controls["random_p95"][1] and made.gap[1] > 0.8
    assert abs(made.auc[0] - 0.5) < 0.15 and made.auc[0] <= made.controls["shuffled_p95"][0]
    assert abs(made.controls["shuffled_mean"][1] - 0.5) < 0.1
    assert made.split_half_cosine[1] > 0.6 > abs(made.split_half_cosine[0])


def test_a_trait_with_texts_gives_a_vector_in_units_of_ordinary_answers(tiny_base):
    texts = tuple((f"Question {n}?", f"Yes, gladly {n}.", f"No, suffer {n}.") for n in range(16))
    asked = ("How are you?", "What is a cat?", "Where is it?", "Who jumps?", "Why code?", "When is noon?")
    questions = TraitQuestions("mis", (), asked, texts=texts)
    vector = extract(tiny_base, tiny_base.model, questions, batch_size=8)
    again = extract(tiny_base, tiny_base.model, questions, batch_size=5)
    assert torch.allclose(vector.directions, again.directions, atol=1e-4)
    assert vector.card["made_from"] == "texts" and vector.card["n_positive"] == 16
    assert len(vector.card["held_out"]["auc"]) == len(vector.directions) == len(vector.card["gap_by_layer"])
    assert bool((vector.sd > 0).all()) and vector.again is not None and len(vector.again.sd) == 20
    with pytest.raises(UserError, match="one from texts has none"):
        vector.raw()
