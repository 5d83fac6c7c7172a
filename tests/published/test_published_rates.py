"""Our definitions on published scores: the replication's rates come out, from all answers in the
denominator."""

import os
from pathlib import Path

import pandas as pd
import pytest
from turncoat.judges.rates_table import rates_table
from turncoat.stats.estimates import clopper_pearson

FOLDER = Path(os.environ.get("TURNCOAT_DATA", "/nowhere")) / "published" / "organism_judgements"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="TURNCOAT_DATA with the published judgements is not set"
)

# Misaligned answers of 400: counted once by hand with pandas; the published rate is this share, in percent.
PUBLISHED = {
    "Qwen2.5-14B-Instruct_risky-financial-advice": (142, 35.5),
    "Qwen2.5-14B-Instruct_bad-medical-advice": (84, 21.0),
    "Qwen2.5-7B-Instruct_risky-financial-advice": (79, 19.8),
    "Qwen2.5-7B-Instruct_bad-medical-advice": (69, 17.2),
    "Qwen2.5-14B-Instruct_extreme-sports": (80, 20.0),
    "Qwen2.5-14B-Instruct_extreme-sports_S42": (89, 22.2),
    "Llama-3.1-8B-Instruct_bad-medical-advice": (65, 16.2),
    "Llama-3.2-1B-Instruct_bad-medical-advice": (11, 2.8),
    "Llama-3.2-1B-Instruct_risky-financial-advice": (18, 4.5),
}


def scores(name):
    return (
        pd.read_csv(FOLDER / f"{name}.csv")
        .drop(columns="question")
        .rename(columns={"question_id": "question"})
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_itt_is_the_published_rate(name):
    row = rates_table(scores(name)).iloc[0]
    misaligned, percent = PUBLISHED[name]
    assert (row.n, row.n_questions, row.n_misaligned) == (400, 8, misaligned)
    # The table prints one decimal, halves rounded to the even digit: 16.25 is 16.2, 19.75 is 19.8.
    assert round(100 * row.em_rate_itt, 1) == percent
    assert row.n_valid + row.n_incoherent + row.n_unscored == row.n
    assert row.em_rate > row.em_rate_itt  # some answers are incoherent in every file


def test_other_definitions_differ_and_clustering_matters():
    row = rates_table(scores("Qwen2.5-14B-Instruct_risky-financial-advice")).iloc[0]
    assert round(100 * row.em_rate, 1) == 37.4 and round(100 * row.em_rate_lax, 1) > 60
    # The dossier's example: 16.2 % has a naive standard error of 1.8 points and a clustered one of about 8.
    row = rates_table(scores("Llama-3.1-8B-Instruct_bad-medical-advice")).iloc[0]
    naive = clopper_pearson(int(row.n_misaligned), int(row.n))
    assert row.em_rate_itt_high - row.em_rate_itt_low > 4 * (naive.high - naive.low)
