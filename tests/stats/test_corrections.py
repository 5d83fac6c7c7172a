"""Holm and Benjamini-Hochberg on hand-worked families."""

import numpy as np
import pytest
from turncoat.errors import UserError
from turncoat.stats.corrections import benjamini_hochberg, holm


def test_holm_and_benjamini_hochberg_by_hand():
    # Sorted: 0.005 x 4 = 0.02; 0.011 x 3 = 0.033; 0.02 x 2 = 0.04; 0.03 x 1 = 0.03, raised to 0.04 by the one
    # before.
    adjusted = holm({"c": 0.02, "a": 0.005, "d": 0.03, "b": 0.011})
    assert list(adjusted) == ["c", "a", "d", "b"]
    assert adjusted == pytest.approx({"a": 0.02, "b": 0.033, "c": 0.04, "d": 0.04})
    # m p / rank: 0.02, 0.022, 0.0267, 0.03; already rising.
    adjusted = benjamini_hochberg({"a": 0.005, "b": 0.011, "c": 0.02, "d": 0.03})
    assert adjusted == pytest.approx({"a": 0.02, "b": 0.022, "c": 0.08 / 3, "d": 0.03})
    adjusted = holm({"a": 0.01, "none": None, "nan": float("nan"), "b": 0.04})
    assert adjusted["none"] is None
    assert np.isnan(adjusted["nan"])  # type: ignore[arg-type]
    assert (adjusted["a"], adjusted["b"]) == (pytest.approx(0.02), pytest.approx(0.04))
    assert holm({}) == {} and holm({"a": None}) == {"a": None}
    with pytest.raises(UserError, match=r"1\.2 is not a p value"):
        holm({"a": 1.2})
