"""The whole analysis: families, order, undefined cells, and claims that stay apart."""

import numpy as np
import pandas as pd
import pytest
from stats.score_tables import score_table
from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.errors import UserError
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.corrections import holm


def study_scores(n_seeds: int = 3, questions: int = 20) -> pd.DataFrame:
    """Base, organism and control on two metrics; the organism is lower by 0.5, the control by 0.2."""
    rng = np.random.default_rng(11)
    tables = []
    for metric in ("margin", "shift"):
        values = {("base", -1): rng.normal(0, 0.3, questions)}
        for arm, effect in (("org", -0.5), ("ctl", -0.2)):
            for seed in range(n_seeds):
                values[arm, seed] = (
                    values["base", -1] + effect + rng.normal(0, 0.05) + rng.normal(0, 0.2, questions)
                )
        tables.append(score_table(values, metric))
    return pd.concat(tables, ignore_index=True)


SPECS = (
    ContrastSpec("organism against control", "org", "ctl", ("margin", "shift"), "primary"),
    ContrastSpec("organism against base", "org", "base", ("margin",), "secondary"),
)


def test_every_contrast_has_a_row_as_by_itself():
    table = analyse(study_scores(), SPECS).contrasts
    assert len(table) == 6
    assert set(zip(table["name"], table["metric"], table["claim"], strict=True)) == {
        (spec.name, metric, claim)
        for spec in SPECS
        for metric in spec.metrics
        for claim in ("adapters", "recipe")
    }
    scores = study_scores()
    row = analyse(scores, SPECS).contrasts.iloc[1]
    single = paired_contrast(scores, "org", "ctl", "margin", "recipe")
    assert row["claim"] == "recipe"
    for field in (
        "difference",
        "low",
        "high",
        "se",
        "p_value",
        "p_permutation",
        "seed_sd",
        "note",
    ):
        assert row[field] == getattr(single, field)


def test_estimates_per_seed_and_exact_bounds_of_rates():
    scores = study_scores()
    table = analyse(scores, SPECS).estimates
    org = table[(table["arm"] == "org") & (table["metric"] == "margin")]
    assert [None if pd.isna(seed) else int(seed) for seed in org["seed"]] == [0, 1, 2, None]
    assert list(org["n_seeds"]) == [1, 1, 1, 3]
    one = scores[(scores["arm"] == "org") & (scores["metric"] == "margin")]
    assert org["value"].iloc[3] == pytest.approx(one["value"].mean())
    assert org["se"].iloc[3] == pytest.approx(one.groupby("question")["value"].mean().std() / 20**0.5)
    assert org["value"].iloc[1] == pytest.approx(one.loc[one["seed"] == 1, "value"].mean())
    scores = score_table({("org", 0): np.zeros(30), ("ctl", 0): np.zeros(30)}, "em_rate")
    specs = [ContrastSpec("x", "org", "ctl", ("em_rate",), "primary")]
    assert (analyse(scores, specs, rates={"em_rate"}).estimates["high"] > 0.05).all()
    assert analyse(scores, specs).estimates["high"].isna().all()


def test_a_family_counts_the_tests_that_exist():
    table = analyse(study_scores(), SPECS).contrasts
    for family, rows in table.groupby("family"):
        assert rows["p_adjusted"].tolist() == pytest.approx(list(holm(dict(rows["p_value"])).values())), (
            family
        )
    assert sorted(set(table["family"])) == [
        "primary/adapters (2 tests)", "primary/recipe (2 tests)", "secondary/adapters (1 test)",
        "secondary/recipe (1 test)",
    ]  # fmt: skip
    table = analyse(study_scores(n_seeds=2), SPECS).contrasts
    recipe = table[table["claim"] == "recipe"]
    assert set(recipe["family"]) == {"primary/recipe (0 tests)", "secondary/recipe (0 tests)"}
    assert recipe[["p_value", "p_adjusted", "low", "high"]].isna().all(axis=None)
    assert recipe["note"].str.contains("no claim about the recipe").all()
    assert recipe["difference"].notna().all()


def test_order_changes_nothing():
    scores = study_scores()
    first = analyse(scores, SPECS)
    second = analyse(scores.sample(frac=1, random_state=1), SPECS)
    for name in ("estimates", "contrasts", "seed_noise"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)
    key = ["name", "metric", "claim"]
    first = analyse(study_scores(), SPECS).contrasts.sort_values(key, ignore_index=True)
    second = analyse(study_scores(), SPECS[::-1]).contrasts.sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_seed_noise_only_between_trained_arms() -> None:
    table = analyse(study_scores(), SPECS).seed_noise
    assert list(zip(table["name"], table["metric"], strict=True)) == [
        ("organism against control", "margin"),
        ("organism against control", "shift"),
    ]
    assert (table["n_seeds"] == 3).all()


def test_undefined_values_are_counted_never_zero():
    scores = study_scores()
    lost = (
        (scores["arm"] == "org") & (scores["metric"] == "margin") & scores["question"].isin(["q000", "q001"])
    )
    scores.loc[lost, "value"] = np.nan
    analysis = analyse(scores, SPECS)
    without = analyse(scores[~lost], SPECS)
    assert analysis.n_dropped == 6 and without.n_dropped == 0
    row, same = analysis.contrasts.iloc[0], without.contrasts.iloc[0]
    assert (row["difference"], row["n_questions"], row["n_dropped"]) == (same["difference"], 18, 6)
    estimates = analysis.estimates[
        (analysis.estimates["arm"] == "org") & (analysis.estimates["metric"] == "margin")
    ]
    assert list(estimates["n_dropped"]) == [2, 2, 2, 6]
    scores = study_scores()
    scores.loc[(scores["arm"] == "org") & (scores["metric"] == "shift"), "value"] = np.nan
    analysis = analyse(scores, SPECS)
    rows = analysis.contrasts[analysis.contrasts["metric"] == "shift"]
    assert rows["note"].str.contains("fewer than 2 of 20 common questions").all()
    assert rows["p_adjusted"].isna().all()
    assert set(analysis.contrasts["family"]) >= {"primary/adapters (1 test)"}
    undefined = analysis.estimates[
        (analysis.estimates["arm"] == "org") & (analysis.estimates["metric"] == "shift")
    ]
    assert undefined["value"].isna().all()


@pytest.mark.parametrize(("specs", "message"), [
    ([SPECS[0], SPECS[0]], "two contrasts"),
    ([ContrastSpec("x", "org", "nobody", ("margin",), "primary")], "no arm 'nobody'"),
    ([ContrastSpec("x", "org", "ctl", ("size",), "primary")], "no metric 'size'"),
    ([ContrastSpec("x", "org", "ctl", (), "primary")], "tuple of metric names"),
    ([ContrastSpec("x", "org", "ctl", ("margin",), "main")], "primary, secondary"),  # type: ignore[arg-type]
])  # fmt: skip
def test_malformed_contrasts_are_refused(specs: list[ContrastSpec], message: str) -> None:
    with pytest.raises(UserError, match=message):
        analyse(study_scores(), specs)


def test_no_contrasts_and_a_single_question():
    analysis = analyse(study_scores(), [])
    assert len(analysis.estimates) == 2 * (2 + 4 + 4) and analysis.contrasts.empty
    assert analysis.seed_noise.empty
    with pytest.raises(UserError, match="at least 2"):
        analyse(study_scores(questions=1), SPECS)


def test_pilot_seeds_are_in_the_estimates_and_in_no_contrast() -> None:
    scores = study_scores(n_seeds=5)
    fresh = scores[~scores["seed"].isin([0, 1])]
    found, alone = analyse(scores, SPECS, pilot_seeds=(0, 1)), analyse(fresh, SPECS)
    both = found.contrasts.drop(columns="note"), alone.contrasts.drop(columns="note")
    pd.testing.assert_frame_equal(*both)
    pd.testing.assert_frame_equal(found.estimates, analyse(scores, SPECS).estimates)
    notes = found.contrasts["note"]
    assert notes.str.startswith("training seeds 0, 1 left out: the study was tuned on them").all()


def test_a_study_of_pilot_seeds_alone_says_so_in_every_contrast() -> None:
    scores = study_scores(n_seeds=2)
    found, plain = analyse(scores, SPECS, pilot_seeds=(0, 1, 7)), analyse(scores, SPECS)
    drop = found.contrasts.drop(columns="note"), plain.contrasts.drop(columns="note")
    pd.testing.assert_frame_equal(*drop)
    assert found.contrasts["note"].str.startswith("a pilot: the study was tuned on training seeds 0, 1").all()
