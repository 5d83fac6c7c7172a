"""progress.json: what a reader sees of a run that works, was stopped, or ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from turncoat.errors import UserError
from turncoat.study import progress_file
from turncoat.study.progress_file import NAME, ProgressFile, curves, read_progress
from turncoat.study.units.plan import Stage

STAGES = [Stage("v", "vector", "vector", 1.0), *(Stage(n, "rows", n, 1.0, arm=n, seed=0) for n in "ab")]


def test_a_reader_sees_each_stage_and_the_file_goes_when_the_run_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_progress(tmp_path) is None
    record = ProgressFile(tmp_path, STAGES, lambda: 12.5)
    record.end("v", None, "persona/" + "0" * 20)
    record.begin("a")
    monkeypatch.setattr(progress_file, "_EVERY", 0.0)
    record.update("a", 3, 4, "step 3")
    record.fail("b", 0, "diverged")
    seen = read_progress(tmp_path)
    assert seen and seen.alive and seen.left == 12.5
    assert [(one.state, one.share, one.note) for one in seen.stages] == [
        ("done before", 1.0, ""), ("under way", 0.75, "step 3"), ("failed", 0.0, "diverged"),
    ]  # fmt: skip
    assert seen.stages[0].result == "persona/" + "0" * 20
    record.end("a", 2.0, "../../etc")
    assert read_progress(tmp_path).stages[1].result == "", "only keys of the store are passed on"
    gone = seen.model_copy(update={"pid": os.getpid() + 2**22})
    assert not gone.alive and not gone.model_copy(update={"host": "another", "updated": 0.0}).alive
    record.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", [('"result":""', '"result":"rows/../../x"'), ('"seed":0', '"seed":[]'), ("{", "")]
)
def test_a_file_that_no_run_wrote_is_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    ProgressFile(tmp_path, STAGES)
    path = tmp_path / NAME
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(UserError, match=NAME):
        read_progress(tmp_path)


def test_a_folder_that_cannot_be_written_does_not_stop_the_study(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ProgressFile(tmp_path / "file", STAGES).begin("a")


def test_curves_are_means_over_stretches_and_end_at_the_last_step() -> None:
    losses = [float(n) for n in range(120)]
    loss = curves({"losses": losses})["loss"]
    assert len(loss) == 60 and loss[0] == [2, 0.5] and loss[-1] == [120, 118.5]
    assert curves({"losses": [1.0, 3.0], "penalties": [0.5]}) == {
        "loss": [[1, 1.0], [2, 3.0]],
        "penalty": [[1, 0.5]],
    }
