"""Numbers and model output as text."""

import numpy as np
import pandas as pd
import pytest
from turncoat import formats


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0368154, ".0368"), (0.05, ".0500"), (0.11, ".110"), (0.001, ".00100"), (0.000999, "<.001"),
        (0.0, "<.001"), (1.0, "1.00"), (0.9999, "1.00"), (None, "n/a"), (float("nan"), "n/a"), (pd.NA, "n/a"),
    ],
)  # fmt: skip
def test_p_values_have_three_significant_digits(p: object, shown: str) -> None:
    assert formats.p_value(p) == shown


@pytest.mark.parametrize(
    ("value", "signed", "shown"),
    [(0.1234, True, "+0.12"), (-0.1234, True, "-0.12"), (-0.001, True, "0.00"), (-0.001, False, "0.00"),
     (2, False, "2.00"), (np.float32("nan"), False, "n/a"), (float("inf"), False, "n/a")],
)  # fmt: skip
def test_numbers_have_fixed_decimals_and_no_negative_zero(value: object, signed: bool, shown: str) -> None:
    assert formats.number(value, 2, signed=signed) == shown


@pytest.mark.parametrize(("width", "decimals"), [(0.031, 3), (0.31, 2), (3.1, 1), (31.0, 0), (1e-9, 5)])
def test_decimals_show_two_digits_of_the_interval(width: float, decimals: int) -> None:
    assert formats.decimals_for([width, float("nan")], [100.0]) == decimals


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
    assert formats.three_digits(value, signed=True) == text


def test_shares_in_percent_with_their_interval() -> None:
    assert [formats.percent(share) for share in (0.1234, -0.0001, None, float("nan"))] == [
        "12.3",
        "0.0",
        "n/a",
        "n/a",
    ]
    assert formats.percent(0.25, 0, signed=True) == "+25"
    ends = formats.percent_interval(0.1, 0.205)
    assert formats.with_interval("15.0", ends) == "15.0 [10.0, 20.5]"
    assert formats.with_interval("15.0", formats.percent_interval(None, 0.2)) == "15.0 [n/a]"
    assert formats.with_interval("n/a", "n/a") == "n/a"
    assert formats.confidence_level(0.95) == "95%"


@pytest.mark.parametrize("value", [None, pd.NA, pd.NaT, float("nan"), np.inf, np.float32("nan")])
def test_what_is_missing(value: object) -> None:
    assert formats.is_missing(value)


def test_counts_have_their_noun_and_models_their_size() -> None:
    assert [formats.counted(n, "task") for n in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
    sizes = (812, 49_312, 134_515_008, 7_615_616_512)
    assert [formats.weights(n) for n in sizes] == ["812", "49.3k", "135M", "7.62B"]
