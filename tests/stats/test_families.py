"""Correction of each family, in the analysis' own table; margins and differences of differences in
it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from stats.score_tables import score_table
from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.errors import UserError
from turncoat.stats.contrasts import difference_of_grids
from turncoat.stats.corrections import benjamini_hochberg, holm
from turncoat.stats.scores import check_scores, grid

METRICS = ("a", "b", "c")


def scores(n_seeds: int = 4, questions: int = 30) -> pd.DataFrame:
    """An organism 0.3 above its control, which the defence brings down to 0.05; two arms without any
    difference."""
    rng = np.random.default_rng(6)
    shifts = {"org": 0.3, "ctl": 0.0, "org_def": 0.05, "ctl_def": 0.0, "like_ctl": 0.0}
    tables = []
    for metric in METRICS:
        level = rng.normal(0, 0.5, questions)
        values = {
            (arm, seed): level + shift + rng.normal(0, 0.03) + rng.normal(0, 0.1, questions)
            for arm, shift in shifts.items()
            for seed in range(n_seeds)
        }
        tables.append(score_table(values, metric))
    return pd.concat(tables, ignore_index=True)


def spec(
    role: str, treated: str = "org", metrics: tuple[str, ...] = METRICS, margin: float | None = None,
    **more: object,
) -> ContrastSpec:  # fmt: skip
    margins = {} if margin is None else dict.fromkeys(metrics, margin)
    named = (f"{role} {treated}", treated, "ctl", metrics, role)
    return ContrastSpec(*named, margins=margins, **more)  # type: ignore[arg-type]


def test_a_single_primary_test_stands_alone_and_is_not_corrected() -> None:
    analysis = analyse(scores(), [spec("primary", metrics=("a",)), spec("secondary"), spec("exploratory")])
    table = analysis.contrasts
    primary = table[table["role"] == "primary"]
    assert primary["p_adjusted"].tolist() == primary["p_value"].tolist()
    assert set(primary["correction"]) == {"none: tested alone"}


def test_several_primaries_and_the_secondaries_get_holm_the_exploratory_benjamini_hochberg() -> None:
    specs = [spec(r, arm) for r in ("primary", "secondary", "exploratory") for arm in ("org", "like_ctl")]
    analysis = analyse(scores(), specs)
    for (role, _), rows in analysis.contrasts.groupby(["role", "claim"]):
        method = benjamini_hochberg if role == "exploratory" else holm
        assert rows["p_adjusted"].tolist() == pytest.approx(list(method(dict(rows["p_value"])).values()))
        assert set(rows["correction"]) == {"Benjamini-Hochberg" if role == "exploratory" else "Holm"}
    assert {"exploratory/adapters (6 tests)", "secondary/recipe (6 tests)"} <= set(
        analysis.contrasts["family"]
    )


def test_comparable_needs_a_margin_a_passed_test_and_enough_units() -> None:
    without = analyse(scores(), [spec("primary", "like_ctl", ("a",))])
    assert without.contrasts["p_margin_adjusted"].isna().all()
    wide, narrow = (
        analyse(scores(n_seeds=6), [spec("primary", "like_ctl", ("a",), margin=m)]).contrasts
        for m in (0.5, 1e-4)
    )
    assert (wide["p_margin_adjusted"] < 0.05).all() and set(wide["barred"]) == {""}
    assert (narrow["p_margin"] > 0.05).all()
    few = analyse(scores(n_seeds=5), [spec("primary", "like_ctl", ("a",), margin=0.5)]).contrasts
    assert few["barred"].str.contains("over 5 training seeds").tolist() == [False, True]


def test_a_margin_beside_the_test_of_the_same_contrast_costs_nothing() -> None:
    plain, margin = (
        analyse(scores(), [spec("primary", metrics=("a",), margin=m)]).contrasts for m in (None, 0.5)
    )
    assert margin["p_adjusted"].tolist() == plain["p_adjusted"].tolist()
    assert margin["p_margin_adjusted"].tolist() == pytest.approx(np.maximum(margin["p_margin"], 0).tolist())
    assert plain["p_margin"].isna().all()


def test_non_inferiority_looks_one_way() -> None:
    kept, lost = (
        analyse(
            scores(n_seeds=6),
            [spec("primary", metrics=("a",), margin=0.1, margin_test="non_inferiority", better=better)],
        ).contrasts
        for better in ("higher", "lower")
    )
    assert (kept["p_margin_adjusted"] < 0.05).all() and (lost["p_margin_adjusted"] > 0.05).all()


def test_margins_without_a_test():
    with pytest.raises(UserError, match="contrast 'primary org': margin = -1"):
        analyse(scores(), [spec("primary", margin=-1.0)])
    analysis = analyse(scores(n_seeds=2), [spec("primary", "like_ctl", ("a",), margin=0.5)])
    recipe = analysis.contrasts.query("claim == 'recipe'").iloc[0]
    assert pd.isna(recipe["p_margin"])


def test_differences_of_differences_are_rows():
    table = scores()
    did = ContrastSpec("defence", "org_def", "ctl_def", ("a",), "primary", minus=("org", "ctl"))
    analysis = analyse(table, [did])
    for claim in ("adapters", "recipe"):
        row = analysis.contrasts.query("claim == @claim").iloc[0]
        one, two, three, four = (
            grid(check_scores(table), arm, "a") for arm in ("org_def", "ctl_def", "org", "ctl")
        )
        alone = difference_of_grids((one, two), (three, four), claim)  # type: ignore[arg-type]
        assert row["difference"] == alone.difference == pytest.approx(-0.25, abs=0.1)
        assert (row["low"], row["p_value"]) == (alone.low, alone.p_value)
    assert analysis.seed_noise.empty
    adapters, recipe = analysis.contrasts.to_dict("records")
    assert adapters["p_adjusted"] < 0.05 and not adapters["withheld"]
    assert "over 4 training seeds" in recipe["withheld"]
    table = scores()
    table.loc[(table["arm"] == "ctl_def") & (table["metric"] == "a"), "value"] = np.nan
    did = ContrastSpec(
        "defence", "org_def", "ctl_def", ("a",), "primary", minus=("org", "ctl"), margins={"a": 0.1}
    )
    rows = analyse(table, [did]).contrasts
    assert rows["note"].str.contains("in all four arms").all()
    assert rows[["p_adjusted", "p_margin_adjusted", "difference"]].isna().all(axis=None)
    assert set(rows["minus_treated"]) == {"org"}


def test_simultaneous_intervals_beside_holm_are_bonferronis() -> None:
    specs = [spec("primary", metrics=("a",)), spec("secondary"), spec("exploratory")]
    table = analyse(scores(n_seeds=1), specs).contrasts
    table = table[table["claim"] == "adapters"]
    values = scores(n_seeds=1).pivot_table("value", ["metric", "question"], "arm")
    for row in table.itertuples():
        tests = {"primary": 1, "secondary": 3, "exploratory": None}[row.role]
        if tests is None:
            assert np.isnan(row.simultaneous_low) and np.isnan(row.simultaneous_high)
            continue
        own = values.loc[row.metric]
        ends = stats.ttest_rel(own["org"], own["ctl"]).confidence_interval(1 - 0.05 / tests)
        assert (row.simultaneous_low, row.simultaneous_high) == pytest.approx((ends.low, ends.high))
