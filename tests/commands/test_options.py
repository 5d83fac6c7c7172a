"""Shared options: seeds, days, folders of plug-ins."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from turncoat.commands.options import day, plug_ins, seed_list
from turncoat.errors import UserError


def test_seeds_are_a_list():
    assert (seed_list("3"), seed_list("0, 1,2")) == ([3], [0, 1, 2])
    with pytest.raises(UserError, match="--seeds 'few': whole numbers"):
        seed_list("few")


def test_a_day_is_today_where_none_is_given():
    assert day("2026-01-31") == "2026-01-31"
    assert abs(datetime.fromisoformat(day(None)).date() - datetime.now(UTC).date()).days <= 1
    for text in ("31.1.", "2026-02-30", ""):
        with pytest.raises(UserError, match=r"--date '.*': a day is expected, YYYY-MM-DD"):
            day(text)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    assert plug_ins([tmp_path]) == (tmp_path,)
    with pytest.raises(UserError, match=r"--include-path .*nowhere"):
        plug_ins([tmp_path / "nowhere"])


def test_a_folder_of_plug_ins_is_said_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plug_ins([tmp_path])
    captured = capsys.readouterr()
    shown = " ".join(captured.err.split())
    assert f"Python files in {tmp_path} run" in shown and not captured.out
    plug_ins(None)
    assert not capsys.readouterr().err
