"""The examples in the docstrings are run."""

import doctest

import pytest
from turncoat.stats import corrections, estimates, two_way
from turncoat.stats.rates import prediction_powered, ratios


@pytest.mark.parametrize(
    "module",
    [corrections, estimates, two_way, prediction_powered, ratios],
    ids=lambda module: module.__name__,
)
def test_docstring_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0 and result.failed == 0
