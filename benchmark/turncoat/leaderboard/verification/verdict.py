"""Verdict over compared rows: agreement, leaning differences, equivalence of differing answers."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev, stdev
from typing import Any

from turncoat.leaderboard.verification.draw import Compared, Tolerances

VERIFIED = "verified"
_FEWEST = 10  # questions that a claim of equivalence rests on
_FEW = 5  # values that can lean


def agreement_table(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """Per role and task: rows, how many agree, answers and how many are equal, the largest difference of each
    kind."""
    groups: dict[tuple[str, str], list[Compared]] = {}
    for item in compared:
        groups.setdefault((item.drawn.role, item.drawn.task), []).append(item)
    return [{"role": role, "task": task, **_agreement(items)} for (role, task), items in groups.items()]


def _agreement(items: Sequence[Compared]) -> dict[str, Any]:
    worst: dict[str, Any] = {"rows": len(items), "agreeing": sum(item.agrees for item in items)}
    every = [difference for item in items for difference in item.differences]
    answers = [difference for difference in every if difference.kind == "answer"]
    if answers:
        worst |= {"answers": len(answers), "equal": sum(difference.within for difference in answers)}
    for kind in ("log_likelihood", "projection", "score"):
        sizes = [difference.size for difference in every if difference.kind == kind]
        if sizes:
            # JSON has no infinity: a value that is there on one side only.
            worst[kind] = "missing" if math.isinf(max(sizes)) else max(sizes)
    return worst


def verdict_of(compared: Sequence[Compared], tolerances: Tolerances) -> str:
    """`VERIFIED`, or why not, in words.

    Every log-likelihood, projection, score and prompt has to agree, and no answer may contradict its seed
    (`replay`); of the sampled answers of each role the share that `tolerances.answers` names has to be the
    same or to follow from its seed (all but one of a few), or their scores have to be equivalent.
    """
    every = [(item, difference) for item in compared for difference in item.differences]
    out = Counter(d.kind for _, d in every if d.kind != "answer" and not d.within)
    reasons = [
        f"{n} answers do not follow from their seeds"
        if kind == "draw"
        else f"{n} of the {kind.replace('_', '-')}s differ"
        for kind, n in out.items()
    ]
    reasons += _leanings(compared, tolerances)
    fixed = [
        (f"{i.drawn.role}, {i.drawn.task}", d.kind) for i, d in every if d.where.endswith("persona_fixed")
    ]
    in_all = Counter(arm for arm, _ in fixed)
    reasons += [
        f"{arm}: {n} of {in_all[arm]} readings of fixed texts are not compared: the base writes others here"
        for arm, n in Counter(arm for arm, kind in fixed if kind == "unread").items()
        if n > max(1, (1 - tolerances.answers) * in_all[arm])
    ]
    for role in dict.fromkeys(item.drawn.role for item in compared):
        answers = [d.within for item, d in every if d.kind == "answer" and item.drawn.role == role]
        if len(answers) - sum(answers) > max(1, (1 - tolerances.answers) * len(answers)):
            trouble = _not_equivalent([item for item in compared if item.drawn.role == role], tolerances)
            same = f"{sum(answers)} of {len(answers)} answers are the same, or follow from their seeds"
            reasons += [f"{role}: only {same}, and {trouble}"] if trouble else []
    if not compared:
        reasons.append("nothing could be compared")
    return "; ".join(reasons) or VERIFIED


def _leanings(compared: Sequence[Compared], tolerances: Tolerances) -> list[str]:
    """Values that are all off to one side: each within its tolerance, but noise has no direction."""
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for item in compared:
        for difference in item.differences:
            if difference.signed is not None and difference.within:
                where = difference.where.rpartition(".")[2]  # one field of all samples
                key = (item.drawn.role, item.drawn.task, difference.kind, where)
                groups.setdefault(key, []).append(difference.signed)
    reasons = []
    for (role, task, kind, where), signed in groups.items():
        mean, least = sum(signed) / len(signed), tolerances.lean * float(getattr(tolerances, kind))
        if len(signed) >= _FEW and abs(mean) > least:
            low, high = _interval(signed, 0.99)
            if low > 0 or high < 0:
                reasons.append(f"{role}, {task}: {where} is {mean:+.3g} off on average, always to one side")
    return reasons


def _not_equivalent(items: Sequence[Compared], tolerances: Tolerances) -> str:
    """Reason why a role's answers are not equivalent to the stored ones; "" if they are."""
    names = sorted({name for item in items for name in item.means})
    if not names:
        return "no score says whether they are equivalent"
    for name in names:
        by_question: dict[str, list[tuple[float, float]]] = {}
        for item in items:
            question = f"{item.drawn.task} {item.drawn.question}"
            if name in item.means:
                by_question.setdefault(question, []).append(item.means[name])
        if len(by_question) < _FEWEST:
            return (
                f"{len(by_question)} questions are too few to call them equivalent ({_FEWEST} or more; raise "
                "--fraction)"
            )
        differences = [sum(old - new for old, new in pairs) / len(pairs) for pairs in by_question.values()]
        stored = [old for pairs in by_question.values() for old, _ in pairs]
        margin = tolerances.score_margin if name.startswith("judge_") else 0.5 * pstdev(stored)
        low, high = _interval(differences)
        if low < -margin or high > margin:
            return f"the mean of {name} may differ by {max(-low, high):.3g}, more than {margin:.3g}"
        low, high = _interval(differences, 0.99)
        if abs(fmean(differences)) > tolerances.lean * margin and (low > 0 or high < 0):
            return f"the mean of {name} is {fmean(differences):+.3g} off, always to one side"
    return ""


def _interval(values: Sequence[float], confidence: float = 0.9) -> tuple[float, float]:
    """t interval of the mean; where the 90% one is inside a margin, two one-sided tests at 5% say
    equivalent."""
    from scipy import stats

    t = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    mean, half = fmean(values), t * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def agreeing_at_least(compared: Sequence[Compared]) -> float:
    """Lower end of the 95% Clopper-Pearson interval of the share of rows that agree."""
    from turncoat.stats.estimates import clopper_pearson

    return clopper_pearson(sum(item.agrees for item in compared), len(compared)).low if compared else 0.0
