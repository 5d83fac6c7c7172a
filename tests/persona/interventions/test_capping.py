"""Capping: no projection below the floor, states above it untouched bit for bit, floors from the base's own
tokens."""

import pytest
import torch
from persona.interventions.tiny_states import IDS, states, unit_rows
from turncoat.errors import UserError
from turncoat.persona.interventions.capping import Capping, band, capped, floors_of

UNITS = unit_rows(1)


def median(state: torch.Tensor, layer: int) -> torch.Tensor:
    return (state @ UNITS[layer]).median().reshape(1)


def test_states_below_the_floor_are_lifted_to_it_along_the_direction_and_others_keep_their_bits(network):
    plain = states(network)
    floor = median(plain[2], 2) + 1e-3
    with capped(network, (2,), 5 * UNITS[2:3], floor, "all"):
        after = states(network)
    before = plain[2] @ UNITS[2]
    low = before < floor
    assert 0 < low.sum() < low.numel() and torch.equal(after[2][~low], plain[2][~low])
    torch.testing.assert_close(after[2][low] @ UNITS[2], floor.expand(int(low.sum())), rtol=0, atol=1e-5)
    moved = (floor - before)[low][:, None] * UNITS[2]
    torch.testing.assert_close(after[2][low], plain[2][low] + moved, rtol=0, atol=1e-5)
    assert torch.equal(after[1], plain[1])


def test_at_several_layers_no_projection_is_below_its_floor(network):
    plain = states(network)
    layers = (0, 3, 4)
    floors = torch.cat([median(plain[layer], layer) for layer in layers])
    with capped(network, layers, UNITS[list(layers)], floors, "all"):
        after = states(network)
    for layer, floor in zip(layers, floors, strict=True):
        assert (plain[layer] @ UNITS[layer]).min() < floor - 0.1
        assert (after[layer] @ UNITS[layer]).min() > floor - 1e-4


def test_a_floor_below_everything_is_the_uncapped_model_bit_for_bit(network):
    with capped(network, (2, 3), UNITS[2:4], torch.tensor([-1e4, -1e4]), "all"):
        inside = network(IDS).logits
    assert torch.equal(inside, network(IDS).logits)


@pytest.mark.parametrize("percentile", [0, 25, 100])
def test_the_floor_is_a_percentile_over_answer_tokens(network, percentile):
    items = [((5, 9), (200, 33, 14)), ((61, 300, 12), ()), ((7,), (8, 4))]
    floors = floors_of(network, items, (4, 1), UNITS[[4, 1]], percentile)
    for floor, layer in zip(floors, (4, 1), strict=True):
        projected = [
            states(network, torch.tensor([[*prompt, *answer]]))[layer][0, len(prompt) :] @ UNITS[layer]
            for prompt, answer in items
        ]
        assert float(floor) == pytest.approx(float(torch.cat(projected).quantile(percentile / 100)), abs=1e-5)


def test_bands_floors_and_what_it_describes(network):
    assert band(80, (0.7, 0.9)) == tuple(range(56, 73)) and band(30, (0.7, 0.9)) == tuple(range(21, 28))
    assert band(4, (0.7, 0.9)) == (3,) and band(2, (0.7, 0.9)) == (1,)
    with pytest.raises(UserError, match=r"percentile 101: accepted: a number from 0 to 100"):
        floors_of(network, [((5,), (6,))], (2,), UNITS[2:3], 101)
    with pytest.raises(UserError, match="answers are empty"):
        floors_of(network, [((5,), ())], (2,), UNITS[2:3], 25)
    one = Capping("assistant_axis", (2,), UNITS[2:3], torch.tensor([1.25])).described()
    assert one.pop("vector_sha") != Capping("a", (2,), UNITS[1:2], torch.zeros(1)).described()["vector_sha"]
    assert one == {"capped": "assistant_axis", "layers": [2], "floors": [1.25], "positions": "response"}


@pytest.mark.parametrize(("arguments", "said"), [
    ({"layers": (7,)}, "capping layer 7: accepted are 0 to 4"),
    ({"floors": torch.tensor([1.0, 2.0])}, "give one finite number for each of 1 layers"),
    ({"floors": torch.tensor([float("nan")])}, "give one finite number"),
    ({"directions": torch.ones(1, 3)}, "does not fit a model of width 64"),
    ({"positions": "prompt"}, "capping positions 'prompt' are not known"),
])  # fmt: skip
def test_mistakes_are_named(network, arguments, said):
    given = {"layers": (2,), "directions": UNITS[:1], "floors": torch.zeros(1), **arguments}
    with pytest.raises(UserError, match=said), capped(network, **given):
        pytest.fail("the scope was entered")
