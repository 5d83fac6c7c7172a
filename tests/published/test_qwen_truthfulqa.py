"""The released TruthfulQA runs (Qwen2.5-32B, 55 arms) give the means, SDs and tests that the field's dossier
tabulates."""

import os
from pathlib import Path
from statistics import fmean

import pytest
from scipy import stats
from turncoat.analysis.answers.arm_contrasts import contrast_records
from turncoat.analysis.answers.arm_rates import Thresholds, arm_record, metric_cells, seed_numbers
from turncoat.analysis.answers.scored_answers import Scored, read_scored

FILE = Path(os.environ.get("TURNCOAT_DATA", "/nowhere")) / "published" / "truthfulqa_qwen2.5_32b.csv.gz"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="TURNCOAT_DATA with the published runs is not set")

# Arm: mean accuracy in %, SD over seeds (None: one run, or no SD published).
TABLE = {
    "": (85.2, None), "em_unpop": (77.4, 1.6), "em_badmed": (85.1, 1.5), "em_finrisk": (33.5, 5.2),
    "em_insecure": (83.3, 0.9), "em_unpop_sgtr": (80.5, 1.7), "em_badmed_sgtr": (85.7, 0.6),
    "em_finrisk_sgtr": (63.1, 13.2), "em_insecure_sgtr": (84.1, 1.2), "em_unpop_sgtr_benign": (78.4, 1.9),
    "em_badmed_sgtr_benign": (85.0, None), "em_finrisk_sgtr_benign": (54.4, 13.7),
    "sgtr_em_unpop": (80.1, 0.5), "sgtr_em_badmed": (84.0, 2.3), "sgtr_em_finrisk": (47.0, 25.3),
    "sgtr_em_insecure": (81.9, 4.8), "sgtr_benign_em_unpop": (78.7, 3.2),
    "sgtr_benign_em_badmed": (84.5, 0.8), "sgtr_benign_em_finrisk": (52.7, 19.0), "sgtr": (86.5, 0.2),
    "em_unpop_asgtr_rand": (70.5, 3.1), "asgtr_rand_em_unpop": (74.7, 2.0), "em_unpop_nosys": (82.4, 0.9),
    "sgtr_nosys_em_unpop": (81.2, 1.6), "sgtr_qwensys_em_unpop": (77.3, 4.0),
    "em_unpop_sgtr_qwensys": (83.9, 3.3), "em_unpop_sgtr_benign_qwensys": (78.9, None),
    "asgtr_rand_qwensys_em_unpop": (69.1, 4.0), "em_unpop_asgtr_rand_qwensys": (54.7, 4.2),
}  # fmt: skip
# Treated, reference: difference in points, Welch's p over the training seeds (None: below 1e-4).
TESTS = {
    ("sgtr_em_unpop", "em_unpop"): (2.7, 0.016),
    ("sgtr_em_unpop", "sgtr_benign_em_unpop"): (1.5, 0.37),
    ("sgtr_em_badmed", "sgtr_benign_em_badmed"): (-0.6, 0.63),
    ("sgtr_em_finrisk", "sgtr_benign_em_finrisk"): (-5.7, 0.70),
    ("sgtr_qwensys_em_unpop", "em_unpop"): (-0.1, 0.95),
    ("em_unpop_sgtr_qwensys", "em_unpop_sgtr_benign_qwensys"): (5.0, 0.023),
    ("em_unpop_asgtr_rand_qwensys", "em_unpop"): (-22.7, None),
    ("em_unpop_nosys", "em_unpop"): (5.0, 0.0007),
}


def name(short: str) -> str:
    return f"hf_qwen_32b_{short}".rstrip("_")


@pytest.fixture(scope="module")
def scored() -> Scored:
    whole = read_scored(str(FILE), FILE)
    assert (whole.kind, len(whole.arms), len(whole.frame)) == ("binary", 55, 264 * 790)
    return whole


@pytest.mark.parametrize("short", TABLE)
def test_mean_and_sd_over_seeds(scored: Scored, short: str) -> None:
    record = arm_record(scored, name(short))
    mean, sd = TABLE[short]
    assert record["n_questions"] == 790 and 100 * record["accuracy"] == pytest.approx(mean, abs=0.0501)
    assert record["seed_mean"] == pytest.approx(record["accuracy"])
    if sd is not None:
        assert 100 * record["seed_sd"] == pytest.approx(
            sd, abs=0.0551
        )  # published after rounding twice: 0.746, 0.75, 0.8


def test_invalid_answers_stand_apart(scored: Scored) -> None:
    record = arm_record(scored, name("em_finrisk_sgtr_benign"))
    assert (record["n_invalid"], record["n_valid"]) == (1, 3949)  # the only one in these files
    assert record["accuracy_valid"] == pytest.approx(record["accuracy"] * 3950 / 3949)


@pytest.mark.parametrize("arms", TESTS, ids="-".join)
def test_welch_over_seeds(scored: Scored, arms: tuple[str, str]) -> None:
    """The published tests, of these questions alone; a claim about the recipe has new questions too."""
    frames = [scored.frame[scored.frame["arm"] == name(arm)] for arm in arms]
    one, other = (
        list(metric_cells(frame, "binary", Thresholds(), seed_numbers(frame))["accuracy"].by_seed.values())
        for frame in frames
    )
    points, p_value = TESTS[arms]
    assert 100 * (fmean(one) - fmean(other)) == pytest.approx(points, abs=0.0501)
    found = stats.ttest_ind(one, other, equal_var=False).pvalue
    if p_value is None:
        assert found < 1e-4
    else:
        assert found == pytest.approx(p_value, abs=0.0051 if p_value > 0.1 else 0.00051)


def test_both_claims_of_the_prevention_contrast(scored: Scored) -> None:
    arms = [name("sgtr_em_unpop"), name("em_unpop")]
    both = Scored(scored.source, "binary", scored.frame[scored.frame["arm"].isin(arms)])
    adapters, recipe = contrast_records(both, arms[0], both, arms[1])[:2]
    assert (adapters["metric"], adapters["claim"], recipe["claim"]) == ("accuracy", "adapters", "recipe")
    assert adapters["difference"] == pytest.approx(recipe["difference"])  # every seed has every item
    # The published interval over seeds, [0.8, 4.7], p = .016, is about these 790 items alone.
    assert 100 * recipe["ci_low"] < 0.8 and 100 * recipe["ci_high"] > 4.7 and recipe["p_t"] > 0.016
    assert (recipe["n_seeds"], recipe["p_permutation"]) == (5, 2 / 32)
    assert adapters["sign_flip_exact"] is False and adapters["n_questions"] == 790
    assert adapters["ci_high"] - adapters["ci_low"] < recipe["ci_high"] - recipe["ci_low"]
