"""The notebooks run from top to bottom, on the tiny model."""

import json
from pathlib import Path

import pytest
from turncoat.testing import save_tiny

NOTEBOOKS = sorted((Path(__file__).parents[1] / "benchmark" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch, plain_lm_eval):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("turncoat.persona.extract.TOKENS", 4)
    monkeypatch.setattr("turncoat.persona.extract.ROLLOUTS", 1)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells), "saved without outputs"
    first, *others = ["".join(cell["source"]) for cell in cells]
    assert first.startswith("MODEL = ")
    names = {"MODEL": str(save_tiny(tmp_path / "model", layers=2))}
    for text in others:
        exec(compile(text, path.name, "exec"), names)
    assert names["problems"] == [] and names["failed"] == [] and len(names["content"].contrasts) == 2
    assert isinstance(names["answer"], str)
