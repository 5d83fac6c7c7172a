"""Sentences: every number in them comes from the analysis, and none says more than the data allow."""

import re

import numpy as np
import pandas as pd
import pytest
from stats.score_tables import score_table
from turncoat.analysis.analyse import Analysis, ContrastSpec, analyse
from turncoat.analysis.plain_words import plain_words
from turncoat.formats import three_digits
from turncoat.stats.power import detectable_by_seeds, seed_sd_interval

CONTROL = {("ctl", 0): np.zeros(9), ("ctl", 1): np.zeros(9)}


def analysis_of(n_seeds: int, confidence: float = 0.95) -> Analysis:
    rng = np.random.default_rng(2)
    tables = []
    for metric, effect in (("margin", -1.0), ("shift", 0.0)):
        values = {("base", -1): rng.normal(0, 0.3, 20)}
        for arm, size in (("org", effect), ("ctl", 0.0)):
            for seed in range(n_seeds):
                values[arm, seed] = values["base", -1] + size + rng.normal(0, 0.05) + rng.normal(0, 0.2, 20)
        tables.append(score_table(values, metric))
    specs = [
        ContrastSpec("organism against control", "org", "ctl", ("margin", "shift"), "primary"),
        ContrastSpec("misalignment of the organism", "org", "base", ("margin", "shift"), "secondary"),
    ]
    return analyse(pd.concat(tables), specs, confidence)


def recipe_of(scores: pd.DataFrame, *metrics: str) -> list[str]:
    """The sentences about the recipe of one contrast, org against ctl."""
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", metrics, "primary")]))
    (start,) = [number for number, line in enumerate(lines) if line.startswith("About the training recipe")]
    return lines[start + 1 :]


def line_with(lines: list[str], *words: str) -> str:
    (found,) = [line for line in lines if all(word in line for word in words)]
    return found


def test_significant_and_not_are_said_with_their_numbers() -> None:
    analysis = analysis_of(3)
    lines = plain_words(analysis, {"margin": "nats"})
    margin, shift = analysis.contrasts.iloc[0], analysis.contrasts.iloc[2]
    assert list(margin[["metric", "claim"]]) == ["margin", "adapters"]
    assert list(shift[["metric", "claim"]]) == ["shift", "adapters"]
    said = line_with(lines, "organism against control", "margin", "20 questions")
    assert said.startswith("Significant: ")
    assert f"{three_digits(margin['difference'], signed=True)} nats" in said
    assert (
        f"{three_digits(margin['low'], signed=True)} to {three_digits(margin['high'], signed=True)}" in said
    )
    said = line_with(lines, "organism against control", "shift", "20 questions")
    assert said.startswith("Not significant: ")
    assert (
        f"could have seen a difference of {three_digits(shift['detectable_adjusted'])} or larger with 80% "
        "power" in said
    )


def test_three_seeds_allow_a_claim_about_the_recipe_with_its_floor() -> None:
    lines = plain_words(analysis_of(3))
    for metric, start in (("margin", "Significant"), ("shift", "Not significant")):
        said = line_with(lines, "organism against control", metric, "3 training seeds)")
        assert said.startswith(start) and "cannot go below p = 0.25" in said


def test_two_seeds_allow_none_and_the_price_of_more_is_told() -> None:
    analysis = analysis_of(2)
    lines = plain_words(analysis, {"margin": "nats"})
    assert (
        lines.count(
            "No claim: 2 training seeds allow none for any of these 2 differences; at least 3 are needed."
        )
        == 2
    )  # once for each role: its two metrics
    rows = analysis.contrasts.query("claim == 'recipe' and role == 'primary'")
    assert list(rows["metric"]) == ["margin", "shift"]
    said = line_with(lines, "With 5 / 8 seeds", "org minus ctl: ")
    for row in rows.itertuples():
        sizes = detectable_by_seeds(row.seed_sd, (5, 8))
        unit = " nats" if row.metric == "margin" else ""
        assert f"{row.metric} {three_digits(sizes[5])} / {three_digits(sizes[8])}{unit}" in said
        factors = seed_sd_interval(1.0, 2)
        ends = f"{three_digits(factors.low)} to {three_digits(factors.high)} times"
        assert sum(ends in line for line in lines) == 2
    assert not any("training seeds)" in line for line in lines)


def test_the_level_of_the_analysis_is_the_level_of_the_plan() -> None:
    analysis = analysis_of(2, confidence=0.9)
    (row,) = analysis.contrasts.query(
        "claim == 'recipe' and role == 'primary' and metric == 'margin'"
    ).itertuples()
    sizes = detectable_by_seeds(row.seed_sd, (5, 8), alpha=0.1)
    lines = plain_words(analysis)
    line_with(
        lines, "one test at 10%", f"org minus ctl: margin {three_digits(sizes[5])} / {three_digits(sizes[8])}"
    )
    factors = seed_sd_interval(1.0, 2, 0.9)
    assert sum(f"to {three_digits(factors.high)} times" in line and "90%" in line for line in lines) == 2


def test_equal_seeds_promise_nothing_and_seeds_that_differ_do_beside_them() -> None:
    equal, different = (
        score_table({("org", 0): np.full(9, 1.0), ("org", 1): np.full(9, second), **CONTROL}, metric)
        for metric, second in (("equal", 1.0), ("different", 2.0))
    )
    lines = recipe_of(equal, "equal")
    assert lines == [
        "No claim: 2 training seeds allow none for this difference; at least 3 are needed.",
        "These seeds show no spread between seeds, so what more seeds would detect is unknown.",
    ]
    lines = recipe_of(pd.concat([equal, different]), "equal", "different")
    sizes = detectable_by_seeds(np.sqrt(0.5), (5, 8))
    assert (
        f"differences on these questions in org minus ctl: different {three_digits(sizes[5])} / "
        f"{three_digits(sizes[8])}." in lines[1]
    )
    assert lines[2] == "Unknown, because no spread between seeds was seen: x (org minus ctl), equal."
    assert "times as large" in lines[3] and len(lines) == 4


def test_arms_that_share_fewer_seeds_are_counted_by_what_they_share() -> None:
    scores = score_table(
        {("org", 0): np.full(9, 1.0), ("org", 1): np.full(9, 2.0), **CONTROL, ("one", 0): np.ones(9)}
    )
    specs = [ContrastSpec(arm, "org", arm, ("m",), "primary") for arm in ("ctl", "one")]
    lines = plain_words(analyse(scores, specs))
    line_with(lines, "No claim: 1 or 2 training seeds allow none for any of these 2 differences")
    line_with(lines, "An SD from 2 seeds")


@pytest.mark.parametrize("n_seeds", [1, 2, 3])
def test_a_contrast_with_the_base_is_only_a_change_after_finetuning(n_seeds: int) -> None:
    lines = plain_words(analysis_of(n_seeds))
    against_base = [line for line in lines if "org minus base" in line]
    # Both metrics: one sentence each about the adapters; about the recipe one each, one together, none.
    assert len(against_base) == {3: 4, 2: 3, 1: 2}[n_seeds]
    assert all("change after finetuning (any finetuning moves this)" in line for line in against_base)
    assert not any("misalignment" in line for line in lines)


def test_order_is_significant_then_not_then_no_claim_then_the_plan_and_it_is_deterministic() -> None:
    lines = plain_words(analysis_of(2))
    assert lines == plain_words(analysis_of(2))
    starts = ("Significant: ", "Not significant: ", "No claim: ", "With 5 / 8 seeds, ", "An SD from 2 seeds ")
    groups: list[list[int]] = []
    for line in lines:
        if line.endswith(":"):
            groups.append([])
        else:
            groups[-1].append(*[rank for rank, start in enumerate(starts) if line.startswith(start)])
    adapters, recipe = groups[::2], groups[1::2]
    assert adapters == [[0, 1], [0, 1]] and recipe == [[2, 3, 4], [2, 3, 4]]


def test_what_cannot_be_said():
    scores = score_table({("org", 0): np.zeros(30), ("ctl", 0): np.zeros(30)}, "em_rate")
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", ("em_rate",), "primary")]))
    assert "what could have been seen is unknown" in line_with(lines, "30 questions")
    scores = score_table({("org", 0): [np.nan, *np.arange(9.0)], ("ctl", 0): np.linspace(1, 3, 10)})
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", ("m",), "primary")]))
    assert "1 missing value left out" in line_with(lines, "9 questions")
    lines = plain_words(analysis_of(1))
    no_claim = "No claim: 1 training seed allows none for any of these 2 differences; at least 3 are needed."
    unknown = "One seed shows no spread between seeds, so what more seeds would detect is unknown."
    assert [line for line in lines if line in (no_claim, unknown)] == [no_claim, unknown] * 2
    assert not any("times as large" in line or "With 5" in line for line in lines)


def test_every_number_has_at_most_three_significant_digits() -> None:
    for line in plain_words(analysis_of(2)):
        for number in re.findall(r"[+-]?\d+\.\d+", line):
            assert len(number.lstrip("+-0.").replace(".", "")) <= 3, (number, line)


SAMENESS = re.compile(
    r"comparable|equivalent|changes nothing|no change|neither|no effect|the same(?! difference)|identical|"
    r"as (good|bad) as|not worse|no worse|no different|unchanged",
    re.IGNORECASE,
)


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 8])
@pytest.mark.parametrize("effect", [0.0, 1e-9, 0.05, 2.0])
def test_no_sentence_claims_sameness_without_a_margin(n_seeds: int, effect: float) -> None:
    rng = np.random.default_rng(n_seeds)
    values = {("base", -1): rng.normal(0, 1, 20)}
    for arm, shift in (("org", effect), ("ctl", 0.0)):
        for seed in range(n_seeds):
            values[arm, seed] = shift + rng.normal(0, 0.1) + rng.normal(0, 0.3, 20)
    values["twin", 0] = values["ctl", 0].copy()
    scores = pd.concat([score_table(values, metric) for metric in ("a", "b")])
    contrasts = [("org", "ctl"), ("org", "base"), ("twin", "ctl")]
    for role in ("primary", "secondary", "exploratory"):
        specs = [ContrastSpec(f"{t} {r}", t, r, ("a", "b"), role) for t, r in contrasts]  # type: ignore[arg-type]
        claimed = [line for line in plain_words(analyse(scores, specs)) if SAMENESS.search(line)]
        assert claimed == []
    with_margin = ContrastSpec("x", "org", "ctl", ("a", "b"), "primary", margins={"a": 9.0})
    claimed = [line for line in plain_words(analyse(scores, [with_margin])) if SAMENESS.search(line)]
    assert claimed
    assert all("margin set beforehand" in line or "no test" in line for line in claimed)
    assert not any(" b:" in line or ", b," in line for line in claimed)
