"""Seeds and uniform draws of one sample, derived from its study seed, task, prompt and index alone."""

import hashlib
import json

import numpy as np
import numpy.typing as npt

_SEED_BITS = 63
_FLOAT_BITS = 53
STUDY_SEEDS = 1_000_000


def sample_seed(study_seed: int, task: str, prompt: str, index: int) -> int:
    """Seed of the `index`-th answer to `prompt` in `task`: a 63-bit integer from SHA-256.

    The four parts are hashed as one JSON list, so no choice of separator can make two different samples
    collide.
    """
    return _seed(int(study_seed), _rest(task, prompt, index))


def study_seed_of(seed: int, task: str, prompt: str, index: int) -> int | None:
    """The study seed below `STUDY_SEEDS` that gives this sample seed, found by trying; None if none does."""
    rest = _rest(task, prompt, index)
    return next((n for n in range(STUDY_SEEDS) if _seed(n, rest) == seed), None)


def _rest(task: str, prompt: str, index: int) -> bytes:
    rest = json.dumps([task, prompt, int(index)], ensure_ascii=True, separators=(",", ":"))
    return rest[1:].encode("ascii")


def _seed(study_seed: int, rest: bytes) -> int:
    digest = hashlib.sha256(b"[%d,%b" % (study_seed, rest)).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def uniforms(seed: int, n: int) -> npt.NDArray[np.float64]:
    """The first `n` uniform draws in [0, 1) of `seed`; a longer request begins with the shorter one.

    The raw output of the Philox counter generator is scaled here rather than by `Generator.random`: NumPy
    promises a stable stream for the bit generator only.
    """
    raw = np.random.Philox(key=seed).random_raw(n)
    return np.asarray(raw >> np.uint64(64 - _FLOAT_BITS), dtype=np.float64) * 2.0**-_FLOAT_BITS
