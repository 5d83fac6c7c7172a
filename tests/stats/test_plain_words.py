"""Sentences: every number in them comes from the analysis, and none says more than the data allow."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from stats.score_tables import score_table
from turncoat.stats.analysis import Analysis, ContrastSpec, analyse
from turncoat.stats.plain_words import p_text, plain_words, signed, unsigned
from turncoat.stats.power import detectable_by_seeds


def analysis_of(n_seeds: int) -> Analysis:
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
    return analyse(pd.concat(tables), specs)


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
    assert f"{signed(margin['difference'])} nats" in said
    assert f"{signed(margin['low'])} to {signed(margin['high'])}" in said
    said = line_with(lines, "organism against control", "shift", "20 questions")
    assert said.startswith("Not significant: ")
    assert f"could have seen a difference of {unsigned(shift['detectable_adjusted'])} or larger with 80% power" in said


def test_three_seeds_allow_a_claim_about_the_recipe_with_its_floor() -> None:
    lines = plain_words(analysis_of(3))
    for metric, start in (("margin", "Significant"), ("shift", "Not significant")):
        said = line_with(lines, "organism against control", metric, "3 training seeds)")
        assert said.startswith(start)
        assert "cannot go below p = 0.25" in said


def test_two_seeds_allow_none_and_the_price_of_more_is_told() -> None:
    analysis = analysis_of(2)
    lines = plain_words(analysis)
    said = line_with(lines, "organism against control", "margin", "No claim")
    row = analysis.contrasts.iloc[1]
    assert "2 training seeds allow no claim about the recipe" in said
    for n, size in detectable_by_seeds(row["seed_sd"], (5, 8)).items():
        assert f"{unsigned(size)} with {n} seeds" in said
    assert "may truly lie from" in said
    assert not any(line.startswith("Significant") and "training seeds)" in line for line in lines)


def test_one_seed_cannot_even_say_what_more_would_buy() -> None:
    said = line_with(plain_words(analysis_of(1)), "organism against control", "margin", "No claim")
    assert "1 training seed allows no claim" in said
    assert "unknown" in said


@pytest.mark.parametrize("n_seeds", [1, 2, 3])
def test_a_contrast_with_the_base_is_only_a_change_after_finetuning(n_seeds: int) -> None:
    lines = plain_words(analysis_of(n_seeds))
    against_base = [line for line in lines if "org minus base" in line]
    assert len(against_base) == 4
    assert all("change after finetuning (any finetuning moves this)" in line for line in against_base)
    assert not any("misalignment" in line for line in lines)


def test_order_is_significant_then_not_then_no_claim_and_it_is_deterministic() -> None:
    lines = plain_words(analysis_of(2))
    assert lines == plain_words(analysis_of(2))
    rank = {"Significant": 0, "Not significant": 1, "No claim": 2}
    groups: list[list[int]] = []
    for line in lines:
        if line.endswith(":"):
            groups.append([])
        else:
            groups[-1].append(rank[line.split(":")[0]])
    assert len(groups) == 4
    assert all(group == sorted(group) for group in groups)


def test_without_spread_nothing_is_promised() -> None:
    scores = score_table({("org", 0): np.zeros(30), ("ctl", 0): np.zeros(30)}, "em_rate")
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", ("em_rate",), "primary")]))
    assert "what could have been seen is unknown" in line_with(lines, "30 questions")


def test_missing_values_are_told() -> None:
    scores = score_table({("org", 0): [np.nan, *np.arange(9.0)], ("ctl", 0): np.linspace(1, 3, 10)})
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", ("m",), "primary")]))
    assert "1 missing value left out" in line_with(lines, "9 questions")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "+0.100"),
        (-0.0123456, "-0.0123"),
        (1234.5, "+1230"),
        (0.0, "0"),
        (0.099996, "+0.100"),
        (2e-6, "+2.00e-06"),
    ],
)
def test_numbers_have_three_significant_digits_and_a_sign(value: float, text: str) -> None:
    assert signed(value) == text


def test_p_values() -> None:
    assert p_text(0.0123456) == "p = 0.0123"
    assert p_text(1e-9) == "p < 0.0001"


def test_every_number_has_at_most_three_significant_digits() -> None:
    for line in plain_words(analysis_of(2)):
        for number in re.findall(r"[+-]?\d+\.\d+", line):
            assert len(number.lstrip("+-0.").replace(".", "")) <= 3, (number, line)
