"""Whatever is done to a good entry: nothing crashes, and nothing that changes a number is accepted
silently."""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from leaderboard.entry_files import edit, rewrite_rows
from leaderboard.made_entry import make_entry
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.validation.validate import validate_entry

_RUNS = settings(max_examples=10, suppress_health_check=list(HealthCheck))
_TASKS = (
    "turncoat_choice", "turncoat_persona", "turncoat_em", "turncoat_em_cue", "turncoat_insecure_code_loss",
)  # fmt: skip

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 120),
    st.floats(-200, 200, allow_nan=False),
    st.text(max_size=12),
    st.sampled_from([[], {}, [1, 2], {"em_rate": 0.0}, "-12.5", "=1+1", "</script>", 1e99, -0.0, 10**15]),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    home = make_entry(tmp_path_factory.mktemp("good"))
    assert validate_entry(home) == []
    return home, load_entry(home).scores()


@pytest.fixture
def spoil(good, tmp_path: Path):
    """A fresh copy of the good entry for each example, and the good one's numbers."""

    def fresh() -> tuple[Path, pd.DataFrame]:
        home = tmp_path / "sgtr"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(good[0], home)
        return home, good[1]

    return fresh


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything inside a JSON value."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (*path, key)
        yield from leaves(child, (*path, key))


def mutated(value: Any, path: tuple[Any, ...], new: Any, how: str) -> Any:
    """A copy with one place replaced, deleted, nudged or doubled."""
    whole = copy.deepcopy(value)
    here = whole
    for key in path[:-1]:
        here = here[key]
    last = path[-1]
    if how == "delete":
        del here[last]
    elif how == "add" and isinstance(here, dict):
        here[f"{last}_mean"] = new
    elif how == "nudge" and isinstance(here[last], int | float) and not isinstance(here[last], bool):
        here[last] = here[last] * 1.02 + 0.001
    elif how == "nudge" and isinstance(here[last], str):
        here[last] = here[last].replace("1", "2") if "1" in here[last] else here[last] + "."
    else:
        here[last] = new
    return whole


def refused_or_the_same(home: Path, before: pd.DataFrame) -> bool:
    """True where an entry is refused; otherwise its numbers are those from before."""
    findings = validate_entry(home)
    for finding in findings:
        assert finding.rule and finding.allowed and finding.fix, finding
        assert str(finding).isascii() or finding.allowed
    if not findings:
        order = ["arm", "seed", "task", "metric", "question"]
        now = load_entry(home).scores().sort_values(order, ignore_index=True)
        pd.testing.assert_frame_equal(now, before.sort_values(order, ignore_index=True))
    return bool(findings)


@_RUNS
@given(data=st.data())
def test_one_place_of_one_row_with_its_hash_set_right(spoil, data):
    home, before = spoil()
    role, seed = data.draw(
        st.sampled_from([("defended", "seed-1"), ("organism", "seed-0"), ("base", "base")])
    )
    task = data.draw(st.sampled_from(_TASKS))
    how = data.draw(st.sampled_from(["replace", "delete", "nudge", "nudge", "add"]))

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        line = data.draw(st.integers(0, len(rows) - 1))
        path = data.draw(st.sampled_from(list(leaves(rows[line]))))
        return [*rows[:line], mutated(rows[line], path, data.draw(_VALUES), how), *rows[line + 1 :]]

    rewrite_rows(home, role, seed, task, change)
    refused_or_the_same(home, before)


@_RUNS
@given(data=st.data())
def test_rows_dropped_doubled_or_moved(spoil, data):
    home, before = spoil()
    task = data.draw(st.sampled_from(_TASKS))
    how = data.draw(st.sampled_from(["drop", "double", "swap", "other-arm"]))

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        line = data.draw(st.integers(0, len(rows) - 2))
        if how == "drop":
            return rows[:line] + rows[line + 1 :]
        if how == "double":
            return [*rows, rows[line]]
        if how == "swap":
            rows[line], rows[line + 1] = rows[line + 1], rows[line]
            return rows
        rows[line] = {**rows[line], **{key: rows[line + 1][key] for key in ("resps", *rows[line]["metrics"])}}
        return rows

    rewrite_rows(home, "defended", "seed-0", task, change)
    refused = refused_or_the_same(home, before)
    assert refused or how == "swap", "the order of rows says nothing; anything else does"


@_RUNS
@given(data=st.data())
def test_one_place_of_the_facts(spoil, data):
    home, before = spoil()

    def change(told: dict[str, Any]) -> None:
        path = data.draw(st.sampled_from(list(leaves(told))))
        new = mutated(
            told, path, data.draw(_VALUES), data.draw(st.sampled_from(["replace", "delete", "nudge", "add"]))
        )
        told.clear()
        told.update(new)

    edit(home, change)
    refused_or_the_same(home, before)
