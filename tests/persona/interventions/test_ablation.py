"""Ablation: no component along the direction at the listed layers, nothing else touched, nothing left
behind."""

import pytest
import torch
from persona.interventions.tiny_states import IDS, states, unit_rows
from turncoat.errors import UserError
from turncoat.persona.interventions.ablation import Ablation, ablated
from turncoat.persona.interventions.capping import capped
from turncoat.testing import tiny_model

EVERYWHERE = (0, 1, 2, 3, 4)
UNITS = unit_rows(0)


@pytest.mark.parametrize("layers", [EVERYWHERE, (2,), (4, 0)])
def test_the_component_is_zero_at_every_listed_layer(network, layers):
    units = UNITS[list(layers)]
    plain = states(network)
    with ablated(network, layers, 7 * units):  # the length of a direction does not matter
        after = states(network)
    for layer, unit in zip(layers, units, strict=True):
        assert (plain[layer] @ unit).abs().max() > 0.1 and (after[layer] @ unit).abs().max() < 1e-5
    for below in range(min(layers)):
        assert torch.equal(after[below], plain[below])
    assert not torch.allclose(after[4], plain[4], atol=1e-3)


def test_what_is_orthogonal_stays_and_twice_is_once(network):
    plain = states(network)[2]
    with ablated(network, (2,), UNITS[2:3]):
        after = states(network)[2]
    along = (plain @ UNITS[2])[..., None] * UNITS[2]
    torch.testing.assert_close(after, plain - along, rtol=0, atol=1e-5)
    others = torch.linalg.qr(torch.cat([UNITS[2:3].T, torch.eye(64)[:, :63]], 1)).Q[:, 1:]
    torch.testing.assert_close(after @ others, plain @ others, rtol=0, atol=1e-5)
    with ablated(network, EVERYWHERE, UNITS):
        once = network(IDS).logits
        with ablated(network, EVERYWHERE, UNITS):
            torch.testing.assert_close(network(IDS).logits, once, rtol=0, atol=1e-4)
    assert (network(IDS).logits - once).abs().max() > 1e-2


def test_a_model_without_weights_takes_the_directions():
    """`turncoat plan` builds a defence on one, once the vector is there."""
    with torch.device("meta"):
        outline = tiny_model()
    directions = torch.cat([UNITS[1:], torch.zeros(1, 64)])
    with ablated(outline, EVERYWHERE, UNITS), capped(outline, (2,), UNITS[2:3], torch.zeros(1)):
        pass
    with pytest.raises(UserError, match="zero or not finite"), ablated(outline, EVERYWHERE, directions):
        pass


def test_on_the_response_alone_the_prompt_is_read_as_ever(network):
    plain = states(network)
    with ablated(network, EVERYWHERE, UNITS, "response"):
        after, decoding = states(network), states(network, IDS[:, :1])
    for layer in EVERYWHERE:
        assert torch.equal(after[layer][:, :-1], plain[layer][:, :-1])
        assert (after[layer][:, -1] @ UNITS[layer]).abs().max() < 1e-5
        assert (decoding[layer] @ UNITS[layer]).abs().max() < 1e-5


def test_half_precision_stays_and_it_describes_all_that_matters():
    model = tiny_model(dtype=torch.bfloat16)
    with ablated(model, (2,), UNITS[2:3]):
        after = states(model)[2]
    assert after.dtype == torch.bfloat16
    assert (after.float() @ UNITS[2]).abs().max() < 0.02 * after.float().norm(dim=-1).max()
    one = Ablation("evil", (2,), UNITS[2:3]).described()
    assert one.pop("vector_sha") != Ablation("evil", (2,), UNITS[1:2]).described()["vector_sha"]
    assert one == {"ablated": "evil", "layers": [2], "positions": "all"}


@pytest.mark.parametrize(("arguments", "said"), [
    ({"layers": (5,)}, r"ablation layer 5: accepted are 0 to 4 \(0 = embedding output"),
    ({"layers": ()}, "ablation layer None: accepted are 0 to 4"),
    ({"layers": (1, 2)}, "1 directions for 2 layers"),
    ({"directions": torch.ones(1, 3)}, r"shape \(1, 3\) does not fit a model of width 64"),
    ({"directions": torch.zeros(1, 64)}, "a direction is zero or not finite"),
    ({"positions": "prompt"}, "ablation positions 'prompt' are not known"),
])  # fmt: skip
def test_mistakes_are_named(network, arguments, said):
    with (
        pytest.raises(UserError, match=said),
        ablated(network, **{"layers": (2,), "directions": UNITS[:1], **arguments}),
    ):
        pytest.fail("the scope was entered")
