"""Sizes and angles of low-rank updates B A, computed in the rank's dimensions: no (d_out, d_in) matrix is
made.

norm(B, A) == torch.linalg.norm(B @ A)
"""

from torch import Tensor


def modules(weights: dict[str, Tensor]) -> dict[str, tuple[str, str]]:
    """Module ("model.layers.0.self_attn.q_proj") -> the names of its A and its B in an adapter's weights."""
    suffix = ".lora_A.weight"
    return {
        name.removeprefix("base_model.model.").removesuffix(suffix): (
            name,
            name.replace(".lora_A.", ".lora_B."),
        )
        for name in sorted(weights)
        if name.endswith(suffix)
    }


def inner(b1: Tensor, b2: Tensor, a: Tensor) -> float:
    """The Frobenius inner product of B1 A and B2 A, in float64."""
    b1, b2, a = b1.double(), b2.double(), a.double()
    return float(((b1.T @ b2) * (a @ a.T)).sum())


def norm(b: Tensor, a: Tensor) -> float:
    """The Frobenius norm of B A."""
    return max(inner(b, b, a), 0.0) ** 0.5


def cosine(b1: Tensor, b2: Tensor, a: Tensor) -> float:
    """The cosine between B1 A and B2 A as vectors; 1 where one of them is zero (there is nothing to tell
    apart)."""
    size = norm(b1, a) * norm(b2, a)
    return 1.0 if size == 0 else inner(b1, b2, a) / size
