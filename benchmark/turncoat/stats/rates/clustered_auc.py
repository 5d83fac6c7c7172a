"""Area under the ROC curve of scores that come in clusters, with its interval.

    clustered_auc([0.9, 0.2, 0.7, 0.4], [True, False, True, False], ["a", "a", "b", "b"]).value

The area is the share of (positive, negative) pairs in which the positive has the higher score, ties half.
With a_i and b_i the sums over cluster i of how far the placements of its positives and negatives are from the
area (M positives, N negatives, I clusters):

    Var = I / (I - 1) sum_i (a_i / M + b_i / N)^2

which is Obuchowski's variance where every cluster has both kinds. The interval is t with I - 1 degrees of
freedom on the logit. Where every pair is ranked alike, no variance can be estimated; then the end is the
exact bound for I clusters that were all ranked alike.

References:
    Obuchowski (1997), Biometrics 53(2); DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44(3).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from turncoat.errors import UserError
from turncoat.stats.estimates import check_confidence, zero_events_upper


@dataclass(frozen=True)
class ClusteredAuc:
    """Area under the curve; the interval is about new clusters of the same kind."""

    value: float
    low: float
    high: float
    n_positive: int
    n_negative: int
    n_clusters: int


def clustered_auc(
    scores: Sequence[float], positive: Sequence[bool], clusters: Sequence[Hashable], confidence: float = 0.95
) -> ClusteredAuc:
    """Area with its interval.

    Raises:
        UserError: There is no positive or no negative, or fewer than 2 clusters.
    """
    check_confidence(confidence)
    frame = pd.DataFrame(
        {"score": np.asarray(scores, dtype=float), "positive": np.asarray(positive, dtype=bool)}
    )
    groups, n = pd.factorize(pd.Series(list(clusters), dtype=object))[0], len(set(clusters))
    high = frame.loc[frame["positive"], "score"].to_numpy()
    low = frame.loc[~frame["positive"], "score"].to_numpy()
    if not len(high) or not len(low) or n < 2:
        raise UserError(
            f"{len(high)} positives and {len(low)} negatives in {n} cluster(s): an area under the curve "
            "needs both, from 2 clusters or more."
        )
    over = (high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :])
    area = float(over.mean())
    parts = np.zeros(len(frame))
    parts[frame["positive"]] = (over.mean(axis=1) - area) / len(high)
    parts[~frame["positive"]] = (over.mean(axis=0) - area) / len(low)
    by_cluster = np.bincount(groups, parts, minlength=n)
    se = float(np.sqrt(n / (n - 1) * (by_cluster**2).sum()))
    counts = (len(high), len(low), n)
    if area in (0.0, 1.0):
        reach = zero_events_upper(n, confidence)
        return ClusteredAuc(area, *((1 - reach, 1.0) if area else (0.0, reach)), *counts)
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * se / (area * (1 - area))
    ends = special.expit(special.logit(area) + np.array([-half, half]))
    return ClusteredAuc(area, float(ends[0]), float(ends[1]), *counts)
