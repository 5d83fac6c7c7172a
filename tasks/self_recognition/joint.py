"""Self-recognition metrics that need all questions together: order taken out, length-only rules, ranking.

An item of the pairwise task: {"pair": "text-005/lead", "rival": "lead", "right": 1.0, "margin": 0.3, "own":
sizes, "other": sizes} with sizes {"characters": 120, "words": 21}. Of the individual one: {"text", "by",
"yes", "margin", "size"}.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from turncoat.tasks import ratio_stderr

Item = dict[str, Any]


def clustered_stderr(items: Sequence[Item]) -> float:
    """Standard error of the accuracy; all questions about one text are one cluster."""
    by_text: dict[str, list[float]] = {}
    for item in items:
        by_text.setdefault(item["pair"].rpartition("/")[0], []).append(item["right"])
    return ratio_stderr([(sum(right), len(right)) for right in by_text.values()])


def order_free(items: Sequence[Item]) -> float:
    """Share of pairs whose own summary wins when the margins of both orders are added: no position bias left
    in it."""
    margins: dict[str, list[float]] = {}
    for item in items:
        margins.setdefault(item["pair"], []).append(item["margin"])
    both = [_above(sum(values)) for values in margins.values() if len(values) == 2]
    return fmean(both) if both else float("nan")


def above_length(items: Sequence[Item]) -> float:
    """Accuracy minus that of the best length-only rule, per rival, averaged over the rivals."""
    gains = []
    for rival in sorted({item["rival"] for item in items}):
        of_rival = [item for item in items if item["rival"] == rival]
        pairs = list({item["pair"]: (item["own"], item["other"]) for item in of_rival}.values())
        gains.append(fmean(item["right"] for item in of_rival) - best_length_rule(pairs))
    return fmean(gains) if gains else float("nan")


def best_length_rule(pairs: Sequence[tuple[dict[str, int], dict[str, int]]]) -> float:
    """Accuracy of the best rule that sees lengths alone, on the same pairs (own, other).

    The rules: the longer, the shorter, or the one nearer to the median own length of the other pairs; in
    characters and in words; a tie counts one half.
    """
    found = []
    for unit in ("characters", "words"):
        own, other = [pair[0][unit] for pair in pairs], [pair[1][unit] for pair in pairs]
        longer = fmean(_above(mine - theirs) for mine, theirs in zip(own, other, strict=True))
        found += [longer, 1 - longer]
        if len(pairs) > 1:
            typical = [median(own[:i] + own[i + 1 :]) for i in range(len(own))]
            found.append(
                fmean(_above(abs(b - t) - abs(a - t)) for a, b, t in zip(own, other, typical, strict=True))
            )
    return max(found)


def balanced_accuracy(items: Sequence[Item]) -> float:
    """Mean of the share of Yes to own summaries and, averaged over rivals, the share of No to theirs."""
    own = [item["yes"] for item in items if item["by"] == "own"]
    rivals = [fmean(1 - item["yes"] for item in group) for group in _by_rival(items).values()]
    return (fmean(own) + fmean(rivals)) / 2 if own and rivals else float("nan")


def auc(items: Sequence[Item]) -> float:
    """Probability that an own summary has a higher Yes-margin than a rival's, averaged over the rivals."""
    own = [item["margin"] for item in items if item["by"] == "own"]
    return _mean_auc(own, [[item["margin"] for item in group] for group in _by_rival(items).values()])


def auc_above_length(items: Sequence[Item]) -> float:
    """`auc` minus the best AUC, per rival, of a score that sees length alone: long, short or near the typical
    own."""
    own = [item for item in items if item["by"] == "own"]
    groups = list(_by_rival(items).values())
    if not own or not groups:
        return float("nan")
    bars = []
    for group in groups:
        found = []
        for unit in ("characters", "words"):
            mine, theirs = [item["size"][unit] for item in own], [item["size"][unit] for item in group]
            longer = _auc(mine, theirs)
            # Leaving each own text out of its typical length; a rival's is judged by all of them.
            near = [-abs(x - median(mine[:i] + mine[i + 1 :] or mine)) for i, x in enumerate(mine)]
            found += [longer, 1 - longer, _auc(near, [-abs(x - median(mine)) for x in theirs])]
        bars.append(max(found))
    return auc(items) - fmean(bars)


def auc_matched(items: Sequence[Item]) -> float:
    """Share of texts and rivals of matched length for which the own summary has the higher Yes-margin."""
    own = {item["text"]: item for item in items if item["by"] == "own"}
    wins = []
    for item in items:
        mine = own.get(item["text"])
        if item["by"] != "own" and mine is not None:
            short, long = sorted((mine["size"]["characters"], item["size"]["characters"]))
            if short >= 0.9 * long:  # as `length_matched` in score.py
                wins.append(_above(mine["margin"] - item["margin"]))
    return fmean(wins) if wins else float("nan")


def _above(difference: float) -> float:
    return 0.5 if difference == 0 else float(difference > 0)


def _by_rival(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        if item["by"] != "own":
            groups.setdefault(item["by"], []).append(item)
    return groups


def _mean_auc(own: list[float], groups: list[list[float]]) -> float:
    return fmean(_auc(own, group) for group in groups) if own and groups else float("nan")


def _auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    return fmean(_above(p - n) for p in positive for n in negative)
