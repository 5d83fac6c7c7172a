"""A random adapter as large as the organism's: the control for "any change".

An example: where the organism's `q_proj` of block 3 has an update B A of Frobenius norm 0.8, this one has a
random update of the same rank and of norm 0.8. Whoever claims that finetuning on insecure code did something
has to show more than a change of that size does by itself. Nothing is trained; the undefended organism with
the same seed is made first, for its norms.

Source: none in the literature of emergent misalignment (arXiv:2606.23700 and arXiv:2508.06249 compare with
finetunes on other data, not with noise); the idea is that of norm-matched random directions in steering
(arXiv:2507.21509). So there are no defaults of a paper. Ours: every adapted module is replaced, A and B are
Gaussian, one draw for each training seed.

Deviation to know of: the Frobenius norm of each module is matched, the spectrum is not. A trained update has
a few large singular values, a Gaussian one has many middling ones, so its largest singular value is smaller.

    - {name: random, organism: insecure_code, defence: random_adapter, setting: in_training}
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from turncoat.defences import (
    AdapterEdit,
    defence,
    lora_scaling as scaling,
    low_rank_modules as modules,
    low_rank_norm as norm,
)


@dataclass
class RandomAdapter(AdapterEdit):
    """Every module's A and B by Gaussian ones, scaled to the norm that B A had.

    Attributes:
        seed: The training seed.
        draw: Another random adapter for the same seed.
    """

    seed: int
    draw: int = 0
    _replaced: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def edit(self, weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """The random adapter, under the same names and with the same shapes."""
        edited = dict(weights)
        for module, (name_a, name_b) in modules(weights).items():
            a, b = weights[name_a], weights[name_b]
            generator = torch.Generator().manual_seed(self._seed(module))
            new_a, new_b = (torch.randn(w.shape, generator=generator) for w in (a, b))
            wanted = norm(b, a)
            new_b *= wanted / norm(new_b, new_a)
            edited[name_a], edited[name_b] = new_a.to(a.dtype), new_b.to(b.dtype)
            self._replaced[module] = wanted * scaling(config)
        return edited

    def _seed(self, module: str) -> int:
        words = f"random adapter/{self.seed}/{self.draw}/{module}"
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1

    def facts(self) -> dict[str, Any]:
        """Number of modules, and the norm of the whole update (equal to the organism's)."""
        total = sum(value**2 for value in self._replaced.values()) ** 0.5
        return {"modules": len(self._replaced), "update_norm": round(total, 4)}


@defence(
    "random_adapter",
    settings=("in_training",),
    summary="control for any change: a random adapter with the norms of the organism's, module by module",
)
def random_adapter(context: Any, *, draw: int = 0) -> RandomAdapter:
    """A random adapter; `draw` gives others for the same training seed."""
    return RandomAdapter(context.seed, draw)
