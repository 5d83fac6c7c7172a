"""The page of measured speeds holds the table of each record beside it."""

import re
from pathlib import Path
from statistics import median

import pytest
from turncoat.bench.table import as_markdown, read_record

FOLDER = Path(__file__).parents[2] / "results" / "bench"
RECORDS = sorted(FOLDER.glob("*.json"))
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_page_holds_the_table_of_each_record(path):
    assert f"## {path.stem}\n\n{as_markdown(read_record(path))}\n" in PAGE


def test_every_table_has_its_record():
    headings = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert headings == [path.stem for path in RECORDS] and RECORDS


def test_the_summary_gives_the_medians_of_the_records():
    rows = re.findall(r"^\| (W\d[\w ]*) \| ([\w.-]+) \| ([A-Za-z].+?) \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert len(rows) >= 15
    for name, model, way, shown in rows:
        record = read_record(FOLDER / f"{model}-{name.split()[0]}.json")
        (work,) = (work for work in record["works"] if work["work"] == name)
        (strategy,) = (one for one in work["strategies"] if one["name"] == way)
        assert f"{strategy['main_over_this']['median']:.2f}" == shown, (name, model, way)


def test_before_and_after_are_the_medians_of_their_turns():
    def fastest(path, name):
        works = [one for one in read_record(path)["works"] if one["work"] == name]
        rates = [one["rate"]["median"] for one in works[0]["strategies"] if one["ours"]] if works else [0.0]
        return max(rates)

    rows = re.findall(r"^\| (W\d[\w ]*) \| ([\w.-]+) \| ([\d.]+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 7
    for name, model, shown, turns in rows:
        pairs = [
            (fastest(old, name), fastest(old.with_name(old.name.replace("-old-", "-new-")), name))
            for old in sorted((FOLDER / "before").glob(f"{model}-*-old-*.json"))
        ]
        ratios = [new / old for old, new in pairs if old]
        assert (f"{median(ratios):.2f}", str(len(ratios))) == (shown, turns), name
