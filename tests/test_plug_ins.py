"""Plug-ins (`tasks/`, `baselines/`) import the public faces and nothing else of Turncoat."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from turncoat.import_closure import FACES
from turncoat.paths import baselines_dir, tasks_dir

ROOT = Path(__file__).parents[1]
FILES = sorted([*tasks_dir().rglob("*.py"), *tasks_dir().rglob("*.yaml"), *baselines_dir().rglob("*.py")])


def named_modules(path: Path) -> set[str]:
    """Modules of Turncoat's that a Python file or a task's YAML names."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return {name.rpartition(".")[0] for name in re.findall(r"!function (turncoat(?:\.\w+)+)", text)}
    nodes = list(ast.walk(ast.parse(text)))
    modules = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {module for module in modules if module.partition(".")[0] == "turncoat"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(path.parents[1]).as_posix())
def test_a_plug_in_imports_the_faces_only(path):
    assert named_modules(path) <= set(FACES), f"{path}: import from {' or '.join(FACES)}"


def test_the_contributors_guide_imports_the_faces_only():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:from|import) (turncoat(?:\.\w+)*)", guide)) <= set(FACES)


def test_a_deep_import_would_be_noticed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from turncoat.judges.rates import ratio\n", encoding="utf-8")
    assert named_modules(file) == {"turncoat.judges.rates"}
    task = tmp_path / "mine.yaml"
    task.write_text("aggregation: !function turncoat.judges.rates.ratio\n", encoding="utf-8")
    assert named_modules(task) == {"turncoat.judges.rates"}
