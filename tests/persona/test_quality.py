"""Held-out AUC and its controls on activations made by hand: planted directions are found, empty ones are
not."""

import pytest
import torch
from turncoat.persona import quality
from turncoat.persona.quality import HeldOut, auc, held_out_quality, split_half_cosine

LAYERS, WIDTH = 3, 32


def answers(n: int, shift: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, LAYERS, WIDTH, generator=generator) + shift


def planted(strength: float, n: int = 60) -> HeldOut:
    """A trait that shows at layer 2 alone."""
    shift = torch.zeros(LAYERS, WIDTH)
    shift[2, 5] = strength
    return HeldOut(
        (answers(n, shift, 1), answers(n, -shift, 2)), (answers(n, shift, 3), answers(n, -shift, 4))
    )


def test_a_planted_trait_beats_the_controls_of_an_absent_one():
    found = held_out_quality(planted(2.0))
    assert found["auc"][2] > 0.99 and found["auc"][2] > found["random_p95"][2]
    assert found["auc"][2] > found["shuffled_p95"][2] and found["gap"][2] == pytest.approx(4.0, abs=0.6)
    for layer in (0, 1):
        assert found["auc"][layer] < max(found["random_p95"][layer], found["shuffled_p95"][layer]) + 0.05
    assert all(len(values) == LAYERS for values in found.values())
    found = held_out_quality(planted(0.0))
    for name in ("random", "shuffled"):
        for layer in range(LAYERS):
            assert found[f"{name}_mean"][layer] == pytest.approx(0.5, abs=0.03)
            assert 0.52 < found[f"{name}_p95"][layer] < 0.65


def test_random_directions_get_far_where_all_answers_differ_along_many_axes():
    """The control exposes sides apart in every coordinate: most directions separate those somewhat."""
    shift = torch.full((LAYERS, WIDTH), 1.0)
    apart = HeldOut(
        (answers(40, shift, 1), answers(40, -shift, 2)), (answers(40, shift, 3), answers(40, -shift, 4))
    )
    found = held_out_quality(apart)
    assert found["random_p95"][0] > 0.9 and found["auc"][0] == 1.0


def test_the_same_seed_gives_the_same_card_whatever_the_block(monkeypatch):
    first = held_out_quality(planted(0.5))
    monkeypatch.setattr(quality, "_BLOCK", 10_000)
    assert held_out_quality(planted(0.5)) == first
    assert held_out_quality(planted(0.5), seed=1)["random_p95"] != first["random_p95"]


def test_the_fast_auc_is_the_auc_and_halves_agree_on_something():
    generator = torch.Generator().manual_seed(0)
    higher = torch.randint(0, 6, (4, 9), generator=generator).float()
    lower = torch.randint(0, 6, (4, 7), generator=generator).float()
    expected = [auc(up.tolist(), down.tolist()) for up, down in zip(higher, lower, strict=True)]
    assert quality._aucs(higher, lower).tolist() == pytest.approx(expected)
    for strength, low, high in ((3.0, 0.9, 1.0), (0.0, -0.5, 0.5)):
        held = planted(strength, n=200)
        assert low < split_half_cosine(*held.seen)[2] <= high
