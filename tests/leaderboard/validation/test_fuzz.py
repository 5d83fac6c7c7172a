"""Whatever is done to the facts of a good entry: nothing crashes, and nothing that changes a number is
accepted silently. `test_rows.py` does the same to its rows, place by place."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from leaderboard.entry_files import edit
from leaderboard.made_entry import make_entry
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.validation.validate import validate_entry

_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 120), st.floats(-200, 200, allow_nan=False),
    st.text(max_size=12),
    st.sampled_from([[], {}, [1, 2], {"em_rate": 0.0}, "-12.5", "=1+1", "</script>", 1e99, -0.0, 10**15]),
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_entry(tmp_path_factory.mktemp("good"))
    assert validate_entry(home) == []
    return home


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(object or list, key) of everything inside a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(children):
        yield value, key
        yield from places(child) if isinstance(child, dict | list) else ()


def numbers(home: Path) -> pd.DataFrame:
    return (
        load_entry(home)
        .scores()
        .sort_values(["arm", "seed", "task", "metric", "question"], ignore_index=True)
    )


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_place_of_the_facts(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    home = tmp_path / good.name
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(good, home)

    def change(told: dict[str, Any]) -> None:
        here, key = data.draw(st.sampled_from(list(places(told))))
        how = data.draw(st.sampled_from(["replace", "delete", "nudge", "add"]))
        if how == "delete":
            del here[key]
        elif how == "add" and isinstance(here, dict):
            here[f"{key}_mean"] = data.draw(_VALUES)
        elif how == "nudge" and isinstance(here[key], float | str):
            here[key] = here[key] * 1.02 + 0.001 if isinstance(here[key], float) else here[key] + "."
        else:
            here[key] = data.draw(_VALUES)

    edit(home, change)
    findings = validate_entry(home)
    assert all(one.rule and one.allowed and one.fix for one in findings)
    if not findings:
        pd.testing.assert_frame_equal(numbers(home), numbers(good))
