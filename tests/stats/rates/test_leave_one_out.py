"""Leave one question out: against doing it by hand, and a planted question that carries everything."""

import numpy as np
import pytest
from stats.score_tables import grids, score_table
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.rates.leave_one_out import leave_one_question_out


def arms(values):
    return grids(values, "org", "ctl")


def noisy(n_seeds: int, questions: int = 8) -> dict[tuple[str, int], np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        (arm, s): rng.normal(0.3 * (arm == "org"), 0.3, questions)
        for arm in ("org", "ctl")
        for s in range(n_seeds)
    }


@pytest.mark.parametrize("claim", ["adapters", "recipe"])
def test_equals_the_contrast_without_each_question(claim) -> None:
    values = noisy(3)
    found = leave_one_question_out(*arms(values), claim)
    by_hand = [
        paired_contrast(
            score_table({k: np.delete(v, n) for k, v in values.items()}), "org", "ctl", "m", claim
        )
        for n in range(8)
    ]
    assert found.each is not None
    assert found.each["difference"].tolist() == pytest.approx([c.difference for c in by_hand])
    assert found.each["p_value"].tolist() == pytest.approx([c.p_value for c in by_hand])


def test_a_question_that_carries_everything_is_found() -> None:
    values = {("org", 0): np.zeros(10) + np.linspace(-0.1, 0.05, 10), ("ctl", 0): np.zeros(10)}
    values["org", 0][6] = 4.0
    found = leave_one_question_out(*arms(values), "adapters")
    assert found.most_influential == "q006"
    assert found.difference is not None and found.difference_low is not None
    assert found.difference_low < 0 < found.difference


def test_questions_without_a_value_and_undefined_cases():
    values = noisy(1)
    values["ctl", 0][2] = np.nan
    found = leave_one_question_out(*arms(values), "adapters")
    assert found.each is not None and found.n_questions == len(found.each) == 7
    assert "q002" not in set(found.each["question"])
    assert "3 are needed" in leave_one_question_out(*arms(noisy(1, 2)), "adapters").note
    few = leave_one_question_out(*arms(noisy(2)), "recipe")
    assert few.p_value is None and "no claim about the recipe" in few.note
    assert few.difference_low is not None
