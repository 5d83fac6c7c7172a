"""The instrument's error in a contrast: what is added, and how often the interval covers over new
instruments."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from turncoat.stats.contrasts import Contrast, filled_contrast
from turncoat.stats.instrument import with_instrument
from turncoat.stats.paired import Differences
from turncoat.stats.t_errors import TError


def contrast_of(cells: np.ndarray, claim: str = "recipe") -> Contrast:
    """A contrast of paired differences, one row per question and one column per seed."""
    table = pd.DataFrame(cells)
    differences = Differences(
        table.mean(axis=1), table, True, table.shape[1], len(table), 0, float(np.abs(cells).max()), []
    )
    return filled_contrast(Contrast("c", "m", claim, "a", "b"), differences, rng=None)


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    rng = np.random.default_rng(5)
    return 0.5 + rng.normal(0, 0.2, (24, 1)) + rng.normal(0, 0.1, 6) + rng.normal(0, 0.1, (24, 6))


def test_variances_add_with_satterthwaites_degrees_of_freedom(cells):
    plain = contrast_of(cells)
    replicates = [0.3, 0.5, 0.6, 0.9]
    found = with_instrument(plain, replicates)
    v = np.var(replicates, ddof=1)
    assert found.row()["instrument_se"] == pytest.approx(v**0.5) and plain.row()["instrument_se"] is None
    assert (found.difference, found.note, found.two_way) == (plain.difference, plain.note, plain.two_way)
    n = len(plain.errors)
    assert found.errors[:n] == plain.errors and len(found.errors) == 2 * n
    for before, after in zip(plain.errors, found.errors[n:], strict=True):
        whole = before.se**2 + v
        assert after.se == pytest.approx(whole**0.5) and after.method == before.method
        assert after.df == pytest.approx(whole**2 / (before.se**4 / before.df + v**2 / 3))
    widest = max(found.errors, key=lambda e: e.half_width(0.95))
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, widest.df) * widest.se)
    assert found.p_value == pytest.approx(
        max(2 * stats.t.sf(abs(found.difference) / e.se, e.df) for e in found.errors)
    )
    assert found.p_mark >= found.p_value > plain.p_value


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.05, 0.2, 1.0])
def test_no_interval_gets_narrower_however_small_the_instruments_error(cells, spread):
    """Few seeds have few degrees of freedom: a sum with a part of 19 alone would be narrower."""
    plain = contrast_of(cells[:, :3])
    found = with_instrument(plain, plain.difference + spread * np.linspace(-1, 1, 20))
    assert found.low <= plain.low and plain.high <= found.high and found.p_value >= plain.p_value
    assert (found.high > plain.high) == (spread > 0.5)


def test_equal_instruments_change_nothing_and_an_untested_contrast_stays_as_it_is(cells):
    plain = contrast_of(cells)
    same = with_instrument(plain, [plain.difference] * 20)
    assert (same.low, same.high, same.p_value) == (plain.low, plain.high, plain.p_value)
    assert with_instrument(plain, [0.4]) is plain
    untested = contrast_of(cells[:, :2])
    assert untested.p_value is None and with_instrument(untested, [0.1, 0.2]) is untested
    pilot = replace(plain, p_permutation=0.2)
    assert with_instrument(pilot, [0.5, 0.5001]).p_value == 0.2, "exact flips over 6 seeds still bound the p"


def test_a_sum_is_less_skewed_than_its_skewed_part():
    error = TError(0.3, 23, "t over questions", 0.4).plus(TError(0.4, 19))
    assert error.se == pytest.approx(0.5) and error.skew == pytest.approx(0.4 * (0.3 / 0.5) ** 3)


def test_the_interval_covers_over_new_extractions_only_with_the_instruments_error():
    """Whole experiments: a direction and unit from 20 questions, then 32 other questions and 5 seeds.

    Truth: the mean difference over new extractions, seeds and questions. 250 experiments: two Monte-Carlo
    standard errors are 2.8 points at 95 %.
    """
    rng = np.random.default_rng(11)
    d, made_of, questions, seeds, extractions = 12, 20, 32, 5, 20
    moved = np.r_[0.5, 0.3, -0.2, np.zeros(d - 3)]

    def extraction(turns: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
        direction = turns.mean(0) / np.linalg.norm(turns.mean(0))
        return direction / (ordinary @ direction).std(ddof=1)  # projections on it are in its own unit

    def questions_of_an_extraction() -> tuple[np.ndarray, np.ndarray]:
        turns = np.eye(d)[0] + rng.normal(0, 1.0, (made_of, d))
        return turns, rng.normal(0, 1.0, (made_of, d))

    truth = np.mean([moved @ extraction(*questions_of_an_extraction()) for _ in range(4000)])
    covered = np.zeros(2)
    n = 250
    for _ in range(n):
        turns, ordinary = questions_of_an_extraction()
        states = moved + rng.normal(0, 0.15, (questions, 1, d)) + rng.normal(0, 0.05, (1, seeds, d))
        states = states + rng.normal(0, 0.1, (questions, seeds, d))
        again = []
        for _ in range(extractions):
            drawn = rng.integers(0, made_of, made_of)
            again.append(states.mean((0, 1)) @ extraction(turns[drawn], ordinary[drawn]))
        without = contrast_of(states @ extraction(turns, ordinary))
        for which, one in enumerate((without, with_instrument(without, again))):
            covered[which] += one.low <= truth <= one.high
    assert 0.92 <= covered[1] / n <= 0.98, covered / n
    assert covered[0] / n < 0.75, covered / n
