"""The page of measured speeds holds the table of each record beside it."""

from pathlib import Path

import pytest
from turncoat.bench.table import as_markdown, read_record

FOLDER = Path(__file__).parents[2] / "results" / "bench"
RECORDS = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_page_holds_the_table_of_each_record(path):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"## {path.stem}\n\n{as_markdown(read_record(path))}\n" in page


def test_every_table_has_its_record():
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    headings = [line[3:] for line in lines if line.startswith("## ")]
    assert headings == [path.stem for path in RECORDS] and RECORDS
