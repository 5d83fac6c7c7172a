"""The example of CONTRIBUTING.md is a whole defence, short, and works as it stands there."""

import json
import re
from pathlib import Path

import pytest
from study.tiny_study import samples, write_study
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.run import run_study

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(code.splitlines()) < 40
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "leash.py").write_text(code, encoding="utf-8")
    return tmp_path / "mine"


def test_the_defence_of_contributing_runs_in_a_study(example, tiny_folder, quick_store, tmp_path):
    path = write_study(tmp_path / "mine.yaml", tiny_folder, arms=("insecure",), tasks=("turncoat_choice",))
    line = re.search(r"^ *- (\{name: leash.*\})$", TEXT, re.MULTILINE)
    path.write_text(path.read_text().replace("arms:\n", f"arms:\n- {line.group(1)}\n"), encoding="utf-8")
    assert (
        run_study(load_study(path, include=(example,)), tmp_path / "run", store=Store(tmp_path / "store"))
        == []
    )
    assert set(samples(tmp_path / "run" / "rows")) == {
        "leash/seed-0/turncoat_choice",
        "insecure/seed-0/turncoat_choice",
    }
    (trained,) = [
        record
        for folder in (tmp_path / "store" / "adapter").iterdir()
        if "penalties" in (record := json.loads((folder / "training.json").read_text()))
    ]
    first, *_, last = trained["penalties"]
    assert first == 0
    assert last > 0
