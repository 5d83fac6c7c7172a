"""Rows of a run that were lost, doubled, changed or put into another arm's folder are refused."""

import shutil
from pathlib import Path

import pytest
from command_runs import write
from turncoat.analysis.measured_rows import check_measured
from turncoat.analysis.run_scores import read_rows
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.study.config import load_study

RUN = Path(__file__).parents[2] / "results" / "demo"
ARM, TASK = "rows/insecure/seed-0/turncoat_choice", "turncoat_choice"


def samples() -> Path:
    return next((RUN / ARM).glob("samples_*.jsonl.gz"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def rewritten(run: Path, change) -> None:
    path = run / ARM / samples().name
    write(path, change(list(sample_rows(path))))


def tables(run: Path):
    return read_rows(run / "rows", load_study(run / "study.yaml"))


def test_the_rows_that_were_measured_are_read(run):
    rewritten(run, lambda rows: rows)
    assert len(tables(run)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:48], "48 rows of 48 documents, but 96 documents were measured"),
        (lambda rows: rows + rows[:4], "100 rows of 96 documents, but 96 documents were measured"),
        (
            lambda rows: [row | {"margin": row["margin"] + 1} for row in rows],
            "the mean of margin is .* rows were changed",
        ),
    ],
)
def test_lost_doubled_and_changed_rows_are_refused(run, change, message):
    rewritten(run, change)
    with pytest.raises(UserError, match=message):
        tables(run)


@pytest.mark.parametrize("other", ["rows/secure/seed-0", "rows/insecure/seed-1", "rows/base/base"])
def test_the_rows_of_another_arm_or_seed_are_refused(run, other):
    shutil.rmtree(run / other)
    shutil.copytree((run / ARM).parent, run / other)
    with pytest.raises(UserError, match="these are the rows of arm 'insecure', seed 0"):
        tables(run)


def test_rows_without_a_results_file_are_taken(tmp_path):
    path = tmp_path / "samples_x.jsonl"
    check_measured(path, list(sample_rows(samples()))[:3], arm="a", seed=0, task=TASK)
