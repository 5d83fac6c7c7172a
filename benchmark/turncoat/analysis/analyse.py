"""Estimates, tests and corrections of a study, from its score table and pre-registered contrasts.

    analyse(scores, [ContrastSpec("organism", "insecure", "secure", ("em_rate_itt",), "primary")]).contrasts

Corrections run within families: one role under one kind of claim (`turncoat.stats.families`).
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from turncoat.errors import UserError
from turncoat.stats.contrasts import (
    CLAIMS,
    ROW_COLUMNS,
    Claim,
    Contrast,
    TooFewQuestions,
    contrast_grids,
    difference_of_grids,
    mean_difference,
)
from turncoat.stats.estimates import Estimate, check_confidence, estimate_mean
from turncoat.stats.families import ROLES, Role, TestedContrast, corrected_rows
from turncoat.stats.instrument import grids_again, with_instrument
from turncoat.stats.margins import Better, MarginTest, check_margin
from turncoat.stats.scores import Grid, check_scores, grid
from turncoat.stats.seed_noise import SeedNoise, seed_noise


@dataclass(frozen=True)
class ContrastSpec:
    """A contrast as a study names it before any data exist."""

    name: str  # Unique name
    treated: str  # Arm to subtract from, arm to subtract
    reference: str
    metrics: tuple[str, ...]  # Metrics to compare
    role: Role  # "primary", "secondary" or "exploratory"; each role is corrected as its own family
    # Treated and reference arm of a second difference that is subtracted from the first
    minus: tuple[str, str] | None = None
    # Metric -> largest difference that counts as none, in its units; no margin test of the others
    margins: Mapping[str, float] = field(default_factory=dict)
    margin_test: MarginTest = "equivalence"  # "equivalence" (both ways) or "non_inferiority"
    better: Better | None = None  # Direction that is better, for non-inferiority

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm that it needs."""
        return (self.treated, self.reference, *(self.minus or ()))


@dataclass(frozen=True)
class Analysis:
    """Tables of a study's estimates, tests and seed noise."""

    # Fields of `Estimate`; one row per arm, metric and seed, and one with a missing seed for their mean
    estimates: pd.DataFrame
    # `contrasts.ROW_COLUMNS` and `TestedContrast.COLUMNS`
    contrasts: pd.DataFrame
    # Fields of `SeedNoise` for every contrast of two trained arms, with `name` and `metric`
    seed_noise: pd.DataFrame
    n_dropped: int  # NaN values left out of the whole table
    confidence: float  # Confidence level; tests are at level 1 - confidence


def analyse(
    scores: pd.DataFrame, contrasts: Sequence[ContrastSpec], confidence: float = 0.95, seed: int = 0, *,
    rates: Collection[str] = (), pilot_seeds: Collection[int] = (), again: pd.DataFrame | None = None,
    barred: Mapping[str, str] | None = None,
) -> Analysis:  # fmt: skip
    """Estimate every arm, test every contrast under both kinds of claim, and correct for the number of tests.

    The order of rows and of contrasts changes no number: rows are sorted first, and each sign-flip test draws
    from its own generator, seeded by `seed` and the names in the test.

    Args:
        rates: Metrics that are shares from 0 to 1: they get exact intervals (`estimates.effective_trials`).
        pilot_seeds: Training seeds that something was chosen on. Estimates show them and contrasts leave them
            out, unless an arm has no others; the note of a contrast says which of the two.
        again: Values under re-extracted persona vectors (`persona_rows.read_persona_rows`): claims about the
            recipe then hold the vector's own error. Those about these adapters are about this vector too:
            nothing that was made once, adapter or vector, is a sample in them.
        barred: Metric -> why no difference in it is marked as significant, nor tested against a margin. Its
            tests stay in their families, so that a bar makes no other test easier or harder.

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
    tested: list[TestedContrast] = []
    noise: list[dict[str, Any]] = []
    for spec in contrasts:
        for metric in spec.metrics:
            for arm in spec.arms:
                if (arm, metric) not in grids:
                    grid(checked, arm, metric)  # raises the error that lists what there is
            sides, pilot = _without_pilots([grids[arm, metric] for arm in spec.arms], pilot_seeds)
            for claim in CLAIMS:
                contrast = _contrast(spec, sides, claim, confidence, seed)
                if claim == "recipe" and again is not None:
                    contrast = with_instrument(contrast, _again(sides, claim, again), confidence)
                contrast = replace(contrast, note="; ".join(filter(None, (pilot, contrast.note))))
                margin = spec.margins.get(metric)
                if barred and metric in barred:
                    contrast, margin = replace(contrast, barred=barred[metric]), None
                tested.append(TestedContrast(contrast, spec.role, margin, spec.margin_test, spec.better))
            if spec.minus is None and not (sides[0].is_base or sides[1].is_base):
                noise.append({"name": spec.name, "metric": metric, **asdict(seed_noise(*sides))})
    return Analysis(
        estimates=_frame([asdict(row) for row in estimates], _fields_of(Estimate)),
        contrasts=_frame(corrected_rows(tested, confidence), [*ROW_COLUMNS, *TestedContrast.COLUMNS]),
        seed_noise=_frame(noise, ["name", "metric", *_fields_of(SeedNoise)]),
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
            raise UserError(f"contrast '{spec.name}': role {spec.role!r}; choose one of {', '.join(ROLES)}.")
        if isinstance(spec.metrics, str) or not spec.metrics or len(set(spec.metrics)) < len(spec.metrics):
            raise UserError(
                f"contrast '{spec.name}': metrics = {spec.metrics!r} must be a tuple of metric names, each "
                "named once."
            )
        for margin in spec.margins.values():
            try:
                check_margin(margin, spec.margin_test, spec.better)
            except UserError as error:
                raise UserError(f"contrast '{spec.name}': {error}") from None


def _without_pilots(sides: list[Grid], pilot_seeds: Collection[int]) -> tuple[list[Grid], str]:
    """Sides of a contrast without the pilot seeds, and a note on them; all seeds if an arm has no others."""
    used = sorted({seed for side in sides for seed in side.seeds if seed in pilot_seeds})
    if not used:
        return sides, ""
    plural = "s" * (len(used) > 1)
    names = f"training seed{plural} {', '.join(map(str, used))}"
    if any(side.seeds and not set(side.seeds) - set(used) for side in sides):
        return sides, f"a pilot: the study was tuned on {names}, and there are no others"
    kept = [
        side._replace(
            values=side.values.drop(columns=used, errors="ignore"),
            dropped={seed: n for seed, n in side.dropped.items() if seed not in used},
        )
        for side in sides
    ]
    return kept, f"{names} left out: the study was tuned on {'them' if plural else 'it'}"


def _estimates(one: Grid, confidence: float, rate: bool) -> list[Estimate]:
    """One estimate per seed, then one for the mean over seeds (averaged within each question)."""

    def estimate(values: pd.Series, dropped: int, seed: int | None = None, n_seeds: int = 1) -> Estimate:
        mean = estimate_mean(
            values.dropna(), confidence, arm=one.arm, seed=seed, metric=one.metric, rate=rate, n_seeds=n_seeds
        )
        return replace(mean, n_dropped=dropped)

    rows = [estimate(one.values[seed], one.dropped[int(seed)], int(seed)) for seed in one.values.columns]
    return [*rows, estimate(one.values.mean(axis=1), one.n_dropped, n_seeds=one.values.shape[1])]


def _contrast(spec: ContrastSpec, sides: list[Grid], claim: Claim, confidence: float, seed: int) -> Contrast:
    """One contrast; a row with a note, not an error, where fewer than 2 common questions have values."""
    metric = sides[0].metric
    identity = "\n".join((*spec.arms, metric, claim))
    rng = np.random.default_rng([seed, zlib.crc32(identity.encode())])
    try:
        if spec.minus is None:
            return contrast_grids(sides[0], sides[1], claim, name=spec.name, confidence=confidence, rng=rng)
        pair, minus = (sides[0], sides[1]), (sides[2], sides[3])
        return difference_of_grids(pair, minus, claim, name=spec.name, confidence=confidence, rng=rng)
    except TooFewQuestions:
        common = set.intersection(*(set(side.values.index) for side in sides))
        if (
            len(common) < 2
        ):  # the study's mistake; with 2 or more the answers left too little, which is a finding
            raise
        both = "both arms" if spec.minus is None else "all four arms"
        note = f"undefined: fewer than 2 of {len(common)} common questions have a value in {both}"
        dropped = sum(side.n_dropped for side in sides)
        minus_arms = spec.minus or ("", "")
        names = (spec.name, metric, claim, spec.treated, spec.reference)
        return Contrast(*names, *minus_arms, note=note, n_dropped=dropped)


def _again(sides: list[Grid], claim: Claim, again: pd.DataFrame) -> list[float]:
    """A contrast's difference under each re-made instrument; empty where an arm's rows have none."""
    grids = [grids_again(again, side) for side in sides]
    if len({len(one) for one in grids}) > 1:
        return []
    differences = [mean_difference(remade, claim) for remade in zip(*grids, strict=True)]
    return [difference for difference in differences if difference is not None]


def _fields_of(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


_WHOLE = {"seed", "n_questions", "n_dropped", "n_seeds"}
_NUMBERS = {
    *("value", "low", "high", "se", "df", "confidence", "difference"),
    *("p_value", "p_permutation", "p_mark", "p_adjusted", "seed_sd", "margin", "p_margin"),
    *("p_margin_adjusted", "simultaneous_low", "simultaneous_high"),
    *(
        "low_seeds", "high_seeds", "p_seeds", "low_two_way", "high_two_way", "se_two_way", "df_two_way",
        "p_two_way", "instrument_se",
    ),
    *("sd_treated", "sd_control", "sd_paired", "sd_unpaired", "sd_mismatched", "variance_ratio"),
}  # fmt: skip


def _frame(records: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A table whose number columns are numbers (missing where undefined) even if every value is missing."""
    table = pd.DataFrame(records, columns=columns)
    for column in columns:
        if column in _WHOLE:
            table[column] = pd.to_numeric(table[column]).astype("Int64")
        elif column in _NUMBERS:
            table[column] = pd.to_numeric(table[column]).astype(float)
    return table
