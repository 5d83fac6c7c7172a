"""From the score table and the pre-registered contrasts to every estimate, every test and its correction, in one call.

Holm's correction runs within each family: one role (primary or secondary) under one kind of claim (adapters or
recipe). A family holds the tests that exist; a contrast that allows no test is listed, explained and not counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from turncoat.errors import UserError
from turncoat.stats.contrasts import CLAIMS, Claim, Contrast, TooFewQuestions, contrast_grids
from turncoat.stats.corrections import holm
from turncoat.stats.estimates import Estimate, check_confidence, estimate_mean
from turncoat.stats.grids import Grid, check_scores, grid
from turncoat.stats.pairing import SeedNoise, seed_noise_grids
from turncoat.stats.power import detectable_effect

Role = Literal["primary", "secondary"]
ROLES: tuple[Role, ...] = ("primary", "secondary")


@dataclass(frozen=True)
class ContrastSpec:
    """A contrast as a study names it before any data exist.

    Attributes:
        name: Unique name.
        treated: Arm to subtract from.
        reference: Arm to subtract.
        metrics: Metrics to compare.
        role: "primary" or "secondary"; each role is corrected as its own family.
    """

    name: str
    treated: str
    reference: str
    metrics: tuple[str, ...]
    role: Role


@dataclass(frozen=True)
class Analysis:
    """All that a table, a figure or a sentence needs.

    Attributes:
        estimates: The fields of `Estimate`; one row per arm, metric and seed, and one with a missing seed for their
            mean.
        contrasts: The fields of `Contrast`, with `role` and `detectable_adjusted`: the effect that Holm's correction is
            sure to find with 80 % power (its strictest level, alpha over the size of the family).
        seed_noise: The fields of `SeedNoise` for every contrast of two trained arms, with `name` and `metric`.
        n_dropped: NaN values left out of the whole table.
        confidence: Confidence level; tests are at level 1 - confidence.
    """

    estimates: pd.DataFrame
    contrasts: pd.DataFrame
    seed_noise: pd.DataFrame
    n_dropped: int
    confidence: float


def analyse(
    scores: pd.DataFrame,
    contrasts: Sequence[ContrastSpec],
    confidence: float = 0.95,
    seed: int = 0,
    *,
    rates: Collection[str] = (),
) -> Analysis:
    """Estimate every arm, test every contrast under both kinds of claim, and correct for the number of tests.

    The order of rows and of contrasts changes no number: rows are sorted first, and each sign-flip test draws from
    its own generator, seeded by `seed` and the names in the test.

    Args:
        scores: The tidy score table (see `check_scores`).
        contrasts: The contrasts to test.
        confidence: Confidence level of all intervals.
        seed: Seed of the Monte-Carlo sign flips.
        rates: Metrics that are shares from 0 to 1; if every question is 0 (or 1) they get an exact interval.

    Raises:
        UserError: The table is malformed, or a contrast names an arm or metric that it does not hold.
    """
    check_confidence(confidence)
    checked = check_scores(scores)
    _contrasts_iv(contrasts)
    grids = {
        (str(arm), str(metric)): grid(rows, str(arm), str(metric))
        for (arm, metric), rows in checked.groupby(["arm", "metric"])
    }
    estimates = [row for one in grids.values() for row in _estimates(one, confidence, one.metric in rates)]
    tested: list[tuple[Role, Contrast]] = []
    noise: list[dict[str, Any]] = []
    for spec in contrasts:
        for metric in spec.metrics:
            for arm in (spec.treated, spec.reference):
                if (arm, metric) not in grids:
                    grid(checked, arm, metric)  # raises the error that lists what there is
            treated, reference = grids[spec.treated, metric], grids[spec.reference, metric]
            tested += [(spec.role, _contrast(spec, treated, reference, claim, confidence, seed)) for claim in CLAIMS]
            if not (treated.is_base or reference.is_base):
                noise.append({"name": spec.name, "metric": metric, **asdict(seed_noise_grids(treated, reference))})
    noise_columns = ["name", "metric", *(field.name for field in fields(SeedNoise))]
    return Analysis(
        estimates=_frame([asdict(row) for row in estimates], [field.name for field in fields(Estimate)]),
        contrasts=_corrected(tested, confidence),
        seed_noise=_frame(noise, noise_columns),
        n_dropped=int(checked["value"].isna().sum()),
        confidence=confidence,
    )


def _contrasts_iv(contrasts: Sequence[ContrastSpec]) -> None:
    names: set[str] = set()
    for spec in contrasts:
        if spec.name in names:
            raise UserError(f"two contrasts are called '{spec.name}'; give each its own name.")
        names.add(spec.name)
        if spec.role not in ROLES:
            raise UserError(f"contrast '{spec.name}' has the role {spec.role!r}; choose one of {', '.join(ROLES)}.")
        if isinstance(spec.metrics, str) or not spec.metrics or len(set(spec.metrics)) < len(spec.metrics):
            raise UserError(
                f"contrast '{spec.name}': metrics = {spec.metrics!r} must be a tuple of metric names, each named once."
            )


def _estimates(one: Grid, confidence: float, rate: bool) -> list[Estimate]:
    """One estimate per seed, then one for the mean over seeds (averaged within each question)."""
    rows = []
    for seed in one.values.columns:
        of_seed = estimate_mean(
            one.values[seed].dropna(), confidence, arm=one.arm, seed=int(seed), metric=one.metric, rate=rate
        )
        rows.append(replace(of_seed, n_dropped=one.dropped[int(seed)]))
    over_seeds = estimate_mean(
        one.values.mean(axis=1).dropna(),
        confidence,
        arm=one.arm,
        metric=one.metric,
        rate=rate,
        n_seeds=one.values.shape[1],
    )
    return [*rows, replace(over_seeds, n_dropped=one.n_dropped)]


def _contrast(
    spec: ContrastSpec, treated: Grid, reference: Grid, claim: Claim, confidence: float, seed: int
) -> Contrast:
    """One contrast; where the values leave fewer than 2 common questions, a row that says so instead of an error."""
    identity = "\n".join((spec.treated, spec.reference, treated.metric, claim))
    rng = np.random.default_rng([seed, zlib.crc32(identity.encode())])
    try:
        return contrast_grids(treated, reference, claim, name=spec.name, confidence=confidence, rng=rng)
    except TooFewQuestions:
        asked = treated.values.index.intersection(reference.values.index)
        if len(asked) < 2:  # the study asked too little; with 2 or more the answers left too little, which is a finding
            raise
        dropped = treated.n_dropped + reference.n_dropped
        note = f"undefined: fewer than 2 of {len(asked)} common questions have a value in both arms"
        return Contrast(spec.name, treated.metric, claim, spec.treated, spec.reference, note=note, n_dropped=dropped)


def _corrected(tested: list[tuple[Role, Contrast]], confidence: float) -> pd.DataFrame:
    """The contrasts as a table, with Holm's correction inside each (role, claim) family."""
    alpha = round(1 - confidence, 12)
    families: dict[tuple[Role, Claim], dict[int, float | None]] = {}
    for index, (role, contrast) in enumerate(tested):
        families.setdefault((role, contrast.claim), {})[index] = contrast.p_value
    rows: dict[int, dict[str, Any]] = {}
    for (role, claim), p_values in families.items():
        size = sum(p is not None for p in p_values.values())
        family = f"{role}/{claim} ({size} test{'' if size == 1 else 's'})"
        for index, p_adjusted in holm(p_values).items():
            contrast = replace(tested[index][1], p_adjusted=p_adjusted, family=family)
            detectable = None
            if contrast.se is not None and contrast.df is not None:
                detectable = detectable_effect(contrast.se, contrast.df, alpha / size)
            rows[index] = {**asdict(contrast), "role": role, "detectable_adjusted": detectable}
    columns = [*(field.name for field in fields(Contrast)), "role", "detectable_adjusted"]
    return _frame([rows[index] for index in sorted(rows)], columns)


_WHOLE = {"seed", "df", "n_questions", "n_dropped", "n_seeds"}
_NUMBERS = {
    *("value", "low", "high", "se", "confidence", "difference", "detectable", "detectable_adjusted"),
    *("p_value", "p_permutation", "p_adjusted", "seed_sd"),
    *("sd_treated", "sd_control", "sd_paired", "sd_unpaired", "sd_mismatched", "variance_ratio"),
}


def _frame(records: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A table whose number columns are numbers (missing where undefined) even if every value is missing."""
    table = pd.DataFrame(records, columns=columns)
    for column in columns:
        if column in _WHOLE:
            table[column] = pd.to_numeric(table[column]).astype("Int64")
        elif column in _NUMBERS:
            table[column] = pd.to_numeric(table[column]).astype(float)
    return table
