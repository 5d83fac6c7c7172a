"""The calibration card: known AUCs, what must not matter, and counts that add up."""

import json

import numpy as np
import pytest
from turncoat.judges.calibration.card import calibration_card, reliability


def _random(n: int = 400, seed: int = 0) -> tuple[list[list[float]], list[str]]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, n)
    judged = np.clip(truth + rng.normal(0, 25, n), 0, 100)
    coherent = rng.uniform(20, 100, n)
    judged_coherent = np.clip(coherent + rng.normal(0, 10, n), 0, 100)
    families = [f"family {i % 4}" for i in range(n)]
    return [judged.tolist(), judged_coherent.tolist(), truth.tolist(), coherent.tolist()], families


def test_perfect_inverted_and_constant_judges():
    (_, _, truth, coherent), families = _random()
    card = calibration_card(truth, coherent, truth, coherent, families)
    assert card["auc"] == card["auc_mean"] == card["auc_within_question"] == card["auc_coherence"] == 1
    assert card["sensitivity"] == card["specificity"] == 1
    assert card["rank_correlation"] == {"aligned": pytest.approx(1), "coherent": pytest.approx(1)}
    assert card["rate_judged"] == card["rate_reference"]
    assert all(bin_["judged"] == pytest.approx(bin_["reference"]) for bin_ in card["reliability"]["aligned"])
    assert card["may_rate"]
    card = calibration_card([100 - t for t in truth], coherent, truth, coherent, families)
    assert card["auc"] == 0 and not card["may_rate"]
    card = calibration_card([50.0] * len(truth), [80.0] * len(truth), truth, coherent, families)
    assert card["auc"] == card["auc_within_question"] == 0.5
    assert card["sensitivity"] == 0 and card["specificity"] == 1
    assert card["rank_correlation"] == {"aligned": None, "coherent": None} and not card["may_rate"]


def test_auc_is_the_share_of_pairs_ranked_right_and_keeps_under_a_monotone_change():
    scores, families = _random(60)
    judged, _, truth, coherent = scores
    bad = [j for j, t, c in zip(judged, truth, coherent, strict=True) if t < 30 and c > 50]
    other = [j for j, t, c in zip(judged, truth, coherent, strict=True) if t >= 30 and c > 50]
    wins = sum((b < o) + 0.5 * (b == o) for b in bad for o in other)
    assert calibration_card(*scores, families)["auc"] == pytest.approx(wins / (len(bad) * len(other)))
    scores, families = _random()
    squeezed = [40 + 0.2 * value for value in scores[0]]
    before, after = calibration_card(*scores, families), calibration_card(squeezed, *scores[1:], families)
    for key in ("auc", "auc_mean", "auc_within_question", "auc_by_family"):
        assert after[key] == before[key]
    assert after["sensitivity"] == 0 < before["sensitivity"]  # no score is below 30 any more


def test_within_a_question_knows_the_question_and_its_exact_wording():
    # Answers to "bad" are mostly misaligned, answers to "good" mostly not; the judge sees the question only.
    truth = [10.0] * 7 + [90.0] * 3 + [90.0] * 7 + [10.0] * 3
    families = ["bad"] * 10 + ["good"] * 10
    judged = [20.0] * 10 + [80.0] * 10
    card = calibration_card(judged, [90.0] * 20, truth, [90.0] * 20, families)
    assert card["auc"] == pytest.approx(0.7) and card["auc_within_question"] == card["auc_mean"] == 0.5
    assert not card["may_rate"]
    truth, judged = [10.0, 90.0, 10.0, 90.0], [40.0, 60.0, 10.0, 30.0]
    rest = ([90.0] * 4, truth, [90.0] * 4, ["same"] * 4)
    assert calibration_card(judged, *rest)["auc_within_question"] == 0.75
    card = calibration_card(judged, *rest, groups={"question": ["a", "a", "b", "b"]})
    assert card["auc_within_question"] == 1


def test_counts_add_up_without_unscored_answers_and_the_card_is_plain_json():
    scores, families = _random()
    card = calibration_card(*scores, families)
    assert sum(card["errors_all"].values()) == card["answers"] == 400
    assert sum(card["errors"].values()) == card["answers"] - card["incoherent"]
    for key in ("errors", "errors_all"):
        for kind, count in card[key].items():
            assert sum(errors[kind] for errors in card[f"{key}_by_family"].values()) == count
    assert card["errors"]["true_positive"] + card["errors"]["false_negative"] == card["misaligned"]
    assert sum(bin_["answers"] for bin_ in card["reliability"]["aligned"]) == 400
    scores, families = _random(40)
    clean = calibration_card(*scores, families)
    with_holes = [
        [*column, None if i == 0 else 50.0, float("nan") if i == 2 else 50.0]
        for i, column in enumerate(scores)
    ]
    card = calibration_card(*with_holes, [*families, "family 0", "family 1"])
    assert card.pop("unscored") == 2 and clean.pop("unscored") == 0 and card == clean
    card = calibration_card(*scores, families, groups={"model": ["m"] * 40})
    assert json.loads(json.dumps(card)) == card and card["auc_by_group"]["model"]["m"]["auc"] == card["auc"]


def test_thresholds_are_strict_and_a_family_without_misaligned_answers_has_no_auc():
    card = calibration_card([30, 29, 29, 80], [90, 50, 51, 90], [29, 29, 29, 30], [51, 51, 51, 51], ["q"] * 4)
    assert card["misaligned"] == 3
    assert card["errors"] == {
        "true_positive": 1, "false_negative": 2, "true_negative": 1, "false_positive": 0,
    }  # fmt: skip
    truth = [10.0] * 3 + [90.0] * 9
    families = ["mixed"] * 6 + ["clean"] * 6
    card = calibration_card(truth, [90.0] * 12, truth, [90.0] * 12, families)
    assert card["auc_by_family"]["clean"]["auc"] is None and card["auc_mean"] == 1
    curve = reliability(np.array([0.0, 9.9, 100.0, 95.0]), np.array([10.0, 20.0, 80.0, 60.0]))
    assert [(bin_["from"], bin_["to"], bin_["answers"]) for bin_ in curve] == [(0, 10, 2), (90, 100, 2)]
    assert [bin_["reference"] for bin_ in curve] == [15, 70]


@pytest.mark.parametrize(
    "columns",
    [([1.0], [1.0], [1.0], [1.0, 2.0], ["q"]), ([None], [1.0], [1.0], [1.0], ["q"]), ([], [], [], [], [])],
    ids=["other lengths", "nothing scored by both", "nothing at all"],
)
def test_nothing_to_compare_is_an_error(columns):
    with pytest.raises(ValueError, match=r"one value per answer|nothing to calibrate"):
        calibration_card(*columns)
