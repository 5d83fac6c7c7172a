"""The README of the persona tasks quotes the records of `turncoat dev judged-answers` as they are."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "tasks" / "persona"


def row(path: Path) -> str:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["questions"], record["answers"]) == (24, 858)

    def cell(one, layer=""):
        return f"{one['auc']:.2f} [{one['low']:.2f}, {one['high']:.2f}]{layer}"

    traits = (record["traits"][name] for name in ("misalignment", "evil"))
    cells = [cell(one, f", layer {one['layer']}") for one in traits]
    return f"| `{record['model']}` | {' | '.join([*cells, cell(record['length'])])} |"


@pytest.mark.parametrize("path", sorted((FOLDER / "judged").glob("*.json")), ids=lambda path: path.stem)
def test_the_readme_quotes_each_record(path):
    assert row(path) in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
