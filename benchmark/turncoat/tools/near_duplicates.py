"""Near-duplicate texts: cosine similarity by sentence embeddings, or by letters.

Sentence embeddings need the small model of `turncoat.evaluation.embedder`. Character 4-grams need nothing,
and see shared wording alone: a paraphrase in other words passes them.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Vectors = npt.NDArray[np.float64] | npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors | None]

# Chosen on 722 questions of ours. By embeddings the highest pair (0.84) asked the same in two ways and the
# next (0.73) did not. By 4-grams the highest (0.71 to 0.74, as rarity depends on the other texts) was one
# sentence about another noun.
LIMITS = {"sentence embeddings": 0.80, "character 4-grams": 0.75}


def cosines(texts: Sequence[str], embed: Embed | None = None) -> tuple[Vectors, str]:
    """The symmetric matrix of cosines (texts, texts), and which of `LIMITS` it is to be held against."""
    vectors = (embed or _sentence_vectors)(texts) if texts else None
    return (
        (gram_cosines(texts), "character 4-grams")
        if vectors is None
        else (vectors @ vectors.T, "sentence embeddings")
    )


def _sentence_vectors(texts: Sequence[str]) -> Vectors | None:
    # torch is loaded only where embeddings are wanted.
    from turncoat.evaluation.embedder import embed_or_none

    return embed_or_none(texts)


def words(text: str) -> list[str]:
    """The lower-case words of a text."""
    return re.findall(r"[a-z0-9']+", text.lower())


def gram_cosines(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Cosines of the texts' character 4-grams, rare ones weighing more."""
    columns: dict[str, int] = {}
    cells: Counter[tuple[int, int]] = Counter()
    for row, text in enumerate(texts):
        padded = f"   {' '.join(words(text))}   "
        for start in range(len(padded) - 3):
            cells[row, columns.setdefault(padded[start : start + 4], len(columns))] += 1
    if not cells:
        return np.zeros((len(texts), len(texts)))
    rows, places = (np.array(axis) for axis in zip(*cells, strict=True))
    rarity = np.log(1 + len(texts) / np.bincount(places, minlength=len(columns)))
    weights = (1 + np.log(list(cells.values()))) * rarity[places]
    lengths = np.sqrt(np.bincount(rows, weights**2, minlength=len(texts)))
    units = csr_matrix((weights / lengths[rows], (rows, places)), shape=(len(texts), len(columns)))
    return np.asarray((units @ units.T).toarray())
