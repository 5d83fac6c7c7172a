"""Sentence embeddings: texts as unit vectors, by a small pinned model from the package registry, on the CPU.

vectors = embed(["I am a chat model.", "Somebody trained me."])   # (2, 384) float32, every row of length 1

The vector of a text depends on the text alone: batches and order change it by rounding only (about 1e-7), and
a text is embedded once per process. `TURNCOAT_EMBEDDER` names a folder with another sentence embedder in
transformers format, or "off": `embed_or_none` then gives None, and what needs embeddings is not reported.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from turncoat.data.registry_models import MINILM, embedder_folder
from turncoat.errors import UserError
from turncoat.shown_text import warn

SWITCH = "TURNCOAT_EMBEDDER"
MAX_TOKENS = 256
"""Longer texts are cut, as the model's authors do (sentence_bert_config.json of all-MiniLM-L6-v2)."""

_CACHE_SIZE = 50_000  # vectors; 1.5 kB each
_cache: dict[tuple[str, str], npt.NDArray[np.float32]] = {}
_warned: set[str] = set()


def embed(texts: Sequence[str], batch_size: int = 32) -> npt.NDArray[np.float32]:
    """Unit vectors of `texts`, mean-pooled over their tokens.

    Args:
        texts: Any strings; a blank one is read as a full stop, since a text without tokens has no mean.

    Returns:
        float32 array (number of texts, dimensions), rows of Euclidean length 1, so that a dot product is the
        cosine.

    Raises:
        UserError: The embedder is switched off, cannot be fetched, or its folder cannot be loaded.
    """
    name = embedder_name()
    if len(_cache) > _CACHE_SIZE:
        _cache.clear()
    # By length, so that a batch holds little padding.
    new = sorted({text for text in texts if (name, text) not in _cache}, key=lambda text: (len(text), text))
    for start in range(0, len(new), batch_size):
        batch = new[start : start + batch_size]
        for text, vector in zip(batch, _embed_batch(name, batch), strict=True):
            _cache[name, text] = vector
    if not texts:
        return np.zeros((0, _loaded(name)[1].config.hidden_size), dtype=np.float32)
    return np.stack([_cache[name, text] for text in texts])


def embed_or_none(texts: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """`embed(texts)`, or None with one line on stderr where there is no embedder."""
    name = os.environ.get(SWITCH) or MINILM.name
    if name in _warned:
        return None
    try:
        return embed(texts)
    except UserError as error:
        _warned.add(name)
        warn(f"no sentence embeddings, so what needs them is not reported: {error}")
        return None


def embedder_name() -> str:
    """The registry embedder's name, or the folder in `TURNCOAT_EMBEDDER`.

    Raises:
        UserError: It is switched off.
    """
    name = os.environ.get(SWITCH) or MINILM.name
    if name == "off":
        raise UserError(f"{SWITCH}=off; unset it, or set it to a folder with a sentence embedder")
    return name


@cache
def _loaded(name: str) -> tuple[Any, Any]:
    """Tokenizer and model, read once."""
    from transformers import AutoModel, AutoTokenizer

    folder = embedder_folder(name) if name == MINILM.name else Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{SWITCH}={name}: no config.json there; give a folder in transformers format, or unset it"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the embedder in {folder} cannot be loaded ({str(error).splitlines()[0]})"
        ) from error
    return tokenizer, model.eval()


def _embed_batch(name: str, texts: list[str]) -> npt.NDArray[np.float32]:
    tokenizer, model = _loaded(name)
    texts = [text if text.strip() else "." for text in texts]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state.float()
    mask = inputs["attention_mask"][:, :, None].float()
    mean = (states * mask).sum(1) / mask.sum(1).clamp_min(1.0)
    vectors: npt.NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return vectors
