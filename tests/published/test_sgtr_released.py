"""The released rows give the committed tables and the committed evidence for the claims, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from turncoat.analysis.released.run_folders import write_runs
from turncoat.analysis.released.sgtr_em import read_release
from turncoat.commands.look.claims import load_claims, written_files
from turncoat.data.fetch import published
from turncoat.report.paper.files import paper_files
from turncoat.report.paper.spec import load_specs
from turncoat.report.run_rows import find_runs

DATA = Path(os.environ.get("TURNCOAT_DATA", "/nowhere")) / "published"
RESULTS = Path(__file__).parents[2] / "results"
pytestmark = pytest.mark.skipif(
    not (DATA / "sgtr_recognition.csv.gz").is_file(), reason="TURNCOAT_DATA with the released rows is not set"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("sgtr_gpt41_judgements", "sgtr_recognition", "truthfulqa_qwen2.5_32b"):
        published(f"published/{name}")  # of the pinned SHA-256
    out = tmp_path_factory.mktemp("released") / "runs"
    write_runs(read_release(DATA), out)
    return out


def test_the_tables_of_the_paper(runs: Path) -> None:
    specs = [spec for spec in load_specs() if spec.paper == "sgtr"]
    made = paper_files(find_runs(runs), specs, png=False, paper="sgtr")
    there = {path.name: path.read_bytes() for path in (RESULTS / "sgtr_released").iterdir()}
    assert sorted(made) == sorted(there)
    assert [name for name, data in made.items() if there[name] != data] == []
    assert b"Nothing is missing." in made["index.md"]


def test_the_evidence_for_the_claims(runs: Path) -> None:
    path = RESULTS / "claims" / "sgtr.yaml"
    made = written_files(path, *load_claims(path, [RESULTS, runs]))
    assert [name for name, data in made.items() if (path.parent / name).read_bytes() != data] == []
