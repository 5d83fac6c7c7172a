"""Persona differences without the unit that a vector was extracted with: standardised, and as cosines.

The unit "base SD" is the base's SD over the extraction questions, on another set of short answers. Here each
difference stands in the SD of the base over the questions that are reported, with the error of both
(`turncoat.stats.standardised`), and as a difference of cosines, which has no unit.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.stats.standardised import sd_interval, standardised

COLUMNS = (
    *("metric", "name", "claim", "n_questions", "base_mean", "base_sd", "base_sd_low", "base_sd_high"),
    *("effect", "effect_low", "effect_high", "cosine", "cosine_low", "cosine_high", "n_again"),
)
_COSINE = "cosine of "


def persona_units(
    scores: pd.DataFrame, persona: pd.DataFrame, specs: Sequence[ContrastSpec], *, base: str | None,
    pilot_seeds: Collection[int] = (), confidence: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """One row per contrast, claim and persona metric; missing numbers where a run has no base or no cosines.

    Returns:
        `COLUMNS`: mean and SD of the base over its `n_questions`, in the metric's unit; `effect` = difference
        / that SD; `n_again` re-extracted vectors whose spread is in the recipe's interval of the metric.
    """
    rows: list[dict[str, Any]] = []
    for metric in persona["metric"].drop_duplicates():
        tested = [
            replace(s, metrics=(metric, _COSINE + metric), margins={}) for s in specs if metric in s.metrics
        ]
        if not tested:
            continue
        own, evidence = (table[table["metric"] == metric] for table in (scores, persona))
        levels = own.loc[(own["arm"] == base) & own["value"].notna(), "value"].to_numpy(dtype=float)
        n, sd = len(levels), float(np.std(levels, ddof=1)) if len(levels) > 1 else 0.0
        known = {"metric": metric, "n_questions": n}
        # in this SD the vector's own unit cancels, under each re-extracted vector too
        in_sd = own.assign(value=own["value"] / sd) if sd else own
        again = _in_own_sd(evidence, base) if sd else evidence
        cosines = own.drop(columns="value").merge(
            evidence[["arm", "seed", "question", "cosine"]].rename(columns={"cosine": "value"}),
            on=["arm", "seed", "question"],
        )
        table = pd.concat([in_sd, cosines.assign(metric=_COSINE + metric)], ignore_index=True)
        found = analyse(table, tested, confidence, pilot_seeds=pilot_seeds, again=again).contrasts
        if sd:
            ends = sd_interval(sd, n, confidence)
            known |= {"base_mean": levels.mean(), "base_sd": sd}
            known |= {"base_sd_low": ends.low, "base_sd_high": ends.high}
        sizes = {len(one) for one in evidence["again"]}
        known["n_again"] = sizes.pop() if len(sizes) == 1 else 0
        rows += [{**known, **row} for row in _joined(found, metric, sd, n, confidence)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _in_own_sd(evidence: pd.DataFrame, base: str | None) -> pd.DataFrame:
    """Values under each re-extracted vector in the base's SD under that vector."""
    of_base = [again for again in evidence.loc[evidence["arm"] == base, "again"] if again]
    scaled: list[tuple[float, ...]] = [()] * len(evidence)
    if len({len(one) for one in of_base}) == 1 and len(of_base) > 1:
        sds = np.std(np.array(of_base), axis=0, ddof=1)
        scaled = [tuple(np.array(one) / sds) if len(one) == len(sds) else () for one in evidence["again"]]
    return evidence.assign(again=pd.Series(scaled, index=evidence.index, dtype=object))


def _joined(found: pd.DataFrame, metric: str, sd: float, n: int, confidence: float) -> list[dict[str, Any]]:
    rows = []
    cosines = found[found["metric"] != metric].set_index(["name", "claim"])
    of_metric: list[Any] = list(found[found["metric"] == metric].itertuples())
    for one in of_metric:
        row: dict[str, Any] = {"name": one.name, "claim": one.claim}
        if sd and not pd.isna(one.difference):
            row["effect"] = one.difference
            if not pd.isna(one.se) and not pd.isna(one.low):
                ends = standardised(one.difference, one.se, one.df, 1.0, n, confidence)
                row |= {"effect_low": ends.low, "effect_high": ends.high}
        cosine = cosines.loc[(one.name, one.claim)]
        row |= {"cosine": cosine["difference"], "cosine_low": cosine["low"], "cosine_high": cosine["high"]}
        rows.append(row)
    return rows
