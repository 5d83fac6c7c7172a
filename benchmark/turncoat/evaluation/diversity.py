"""Diversity of a set of texts: Vendi score, clusters, distances, entropy of labels.

vendi_score(np.eye(4))          # 4.0: four texts with nothing in common
vendi_score(np.ones((4, 1)))    # 1.0: the same text four times

Vectors are rows of unit length (`evaluation.embedder.embed`), so a dot product is a cosine. All of these grow
with the number of texts: compare sets of equal size only.
"""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.floating]


def vendi_score(vectors: Vectors) -> float:
    """Effective number of distinct texts: exp of the entropy of the eigenvalues of K/n (arXiv:2210.02410).

    Args:
        vectors: Unit rows (n texts, dimensions); K is their matrix of cosines.

    Returns:
        Between 1 (all alike) and n (mutually orthogonal); NaN without texts.
    """
    if not len(vectors):
        return float("nan")
    # K = V V^T and V^T V have the same non-zero eigenvalues: the squared singular values.
    weights = np.linalg.svd(np.asarray(vectors, dtype=np.float64), compute_uv=False) ** 2 / len(vectors)
    weights = weights[weights > 1e-12]
    return float(np.exp(-(weights * np.log(weights)).sum()))


def mean_distance(vectors: Vectors) -> float:
    """Mean cosine distance (1 - cosine) over all pairs of different texts; NaN with fewer than two."""
    count = len(vectors)
    if count < 2:
        return float("nan")
    rows = np.asarray(vectors, dtype=np.float64)
    cosines = float(rows.sum(0) @ rows.sum(0)) - float((rows * rows).sum())
    return 1 - cosines / (count * (count - 1))


def cluster_counts(vectors: Vectors, thresholds: Sequence[float]) -> list[int]:
    """Number of groups at each cosine threshold, by average linkage.

    Two groups are joined while the mean cosine between their members is at least the threshold. Average
    linkage, since connected components chain dissimilar texts together and the published description names no
    linkage.

    Args:
        thresholds: Cosines between -1 and 1.
    """
    count = len(vectors)
    if count < 2:
        return [count] * len(thresholds)
    from scipy.cluster.hierarchy import average, fcluster
    from scipy.spatial.distance import squareform

    rows = np.asarray(vectors, dtype=np.float64)
    distance = np.clip(1 - rows @ rows.T, 0, 2)
    np.fill_diagonal(distance, 0)
    tree = average(squareform((distance + distance.T) / 2, checks=False))
    # A little above the limit: equal texts must meet at threshold 1, whatever rounding does to their cosine.
    return [
        int(fcluster(tree, t=1 - threshold + 1e-6, criterion="distance").max()) for threshold in thresholds
    ]


def label_entropy(labels: Sequence[Hashable]) -> float:
    """Shannon entropy of the labels' shares in bits (plug-in estimate); NaN without labels."""
    if not labels:
        return float("nan")
    shares = np.array(list(Counter(labels).values()), dtype=np.float64) / len(labels)
    return float(max(0.0, -(shares * np.log2(shares)).sum()))
