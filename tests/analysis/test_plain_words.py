"""Sentences: every number in them comes from the analysis, and none says more than the data allow."""

import re

import numpy as np
import pandas as pd
import pytest
from stats.score_tables import score_table
from turncoat.analysis.analyse import Analysis, ContrastSpec, analyse
from turncoat.analysis.plain_words import plain_words
from turncoat.formats import three_digits
from turncoat.stats.families import ROLES

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
    assert f"{three_digits(shift['low'], signed=True)} to {three_digits(shift['high'], signed=True)}" in said


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 5])
def test_no_sentence_after_a_run_says_what_it_could_have_found(n_seeds: int) -> None:
    analysis = analysis_of(n_seeds)
    assert not re.search("could have|detect|80 ?% power", " ".join(plain_words(analysis)))
    assert not [column for column in analysis.contrasts if "detectable" in column]


def test_three_seeds_allow_an_interval_and_no_mark_about_the_recipe() -> None:
    lines = plain_words(analysis_of(3))
    said = line_with(lines, "organism against control", "margin", "3 training seeds)")
    assert said.startswith("Not marked as significant: ")
    assert said.endswith("; exact sign flips over 3 training seeds cannot go below p = 0.25.")
    said = line_with(lines, "organism against control", "shift", "3 training seeds)")
    assert said.startswith("Not significant: ") and "sign flips" not in said


def test_a_marked_recipe_names_the_share_of_trainings_that_may_differ() -> None:
    """0 of 8 trainings differ: exact upper bound 1 - 0.05^(1/8)."""
    said = line_with(plain_words(analysis_of(8)), "organism against control", "margin", "8 training seeds)")
    share = f"{1 - 0.05 ** (1 / 8):.0%}"
    assert said.startswith("Significant: ")
    assert said.endswith(f"; 8 seeds cannot exclude that {share} of trainings differ from all of these.")


def test_two_seeds_allow_none_and_the_command_that_plans_more_is_named() -> None:
    lines = plain_words(analysis_of(2), {"margin": "nats"})
    start = "No claim: 2 training seeds allow none for any of these 2 differences; at least 3 are needed."
    said = [line for line in lines if line.startswith(start)]
    assert len(said) == 2 and "`turncoat power STUDY --pilot RUN`" in said[0]  # one for each role
    assert not any("training seeds)" in line for line in lines)


def test_arms_that_share_fewer_seeds_are_counted_by_what_they_share() -> None:
    scores = score_table(
        {("org", 0): np.full(9, 1.0), ("org", 1): np.full(9, 2.0), **CONTROL, ("one", 0): np.ones(9)}
    )
    specs = [ContrastSpec(arm, "org", arm, ("m",), "primary") for arm in ("ctl", "one")]
    lines = plain_words(analyse(scores, specs))
    line_with(lines, "No claim: 1 or 2 training seeds allow none for any of these 2 differences")


@pytest.mark.parametrize("n_seeds", [1, 2, 3])
def test_a_contrast_with_the_base_is_only_a_change_after_finetuning(n_seeds: int) -> None:
    lines = plain_words(analysis_of(n_seeds))
    against_base = [line for line in lines if "org minus base" in line]
    assert len(against_base) == {3: 4, 2: 2, 1: 2}[n_seeds]  # both metrics, adapters and, with 3, recipe
    assert all("change after finetuning (any finetuning moves this)" in line for line in against_base)
    assert not any("misalignment" in line for line in lines)


def test_order_is_significant_then_not_then_no_claim_and_it_is_deterministic() -> None:
    lines = plain_words(analysis_of(2))
    assert lines == plain_words(analysis_of(2))
    starts = ("Significant: ", "Not significant: ", "No claim: ")
    groups: list[list[int]] = []
    for line in lines:
        if line.endswith(":"):
            groups.append([])
        else:
            groups[-1].append(*[rank for rank, start in enumerate(starts) if line.startswith(start)])
    adapters, recipe = groups[::2], groups[1::2]
    assert adapters == [[0, 1], [0, 1]] and recipe == [[2], [2]]


def test_what_cannot_be_said():
    scores = score_table({("org", 0): np.zeros(30), ("ctl", 0): np.zeros(30)}, "em_rate")
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", ("em_rate",), "primary")]))
    assert line_with(lines, "30 questions").startswith("Not significant: ")
    scores = score_table({("org", 0): [np.nan, *np.arange(9.0)], ("ctl", 0): np.linspace(1, 3, 10)})
    lines = plain_words(analyse(scores, [ContrastSpec("x", "org", "ctl", ("m",), "primary")]))
    assert "1 missing value left out" in line_with(lines, "9 questions")
    lines = plain_words(analysis_of(1))
    no_claim = "No claim: 1 training seed allows none for any of these 2 differences; at least 3 are needed."
    assert sum(line.startswith(no_claim) for line in lines) == 2


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
    for role in ROLES:
        specs = [ContrastSpec(f"{t} {r}", t, r, ("a", "b"), role) for t, r in contrasts]
        claimed = [line for line in plain_words(analyse(scores, specs)) if SAMENESS.search(line)]
        assert claimed == []
    with_margin = ContrastSpec("x", "org", "ctl", ("a", "b"), "primary", margins={"a": 9.0})
    claimed = [line for line in plain_words(analyse(scores, [with_margin])) if SAMENESS.search(line)]
    assert claimed
    assert all("margin set beforehand" in line or "no test" in line for line in claimed)
    assert not any(" b:" in line or ", b," in line for line in claimed)


def test_a_note_of_all_contrasts_is_said_once() -> None:
    scores = pd.concat([score_table({("org", 0): np.arange(9.0), ("org", 1): np.ones(9), **CONTROL}, "m")])
    specs = [ContrastSpec("x", "org", "ctl", ("m",), "primary")]
    first, *lines = plain_words(analyse(scores, specs, pilot_seeds=(0,)))
    assert first == "Training seed 0 left out: the study was tuned on it."
    assert lines
    assert not [line for line in lines if "tuned" in line]
