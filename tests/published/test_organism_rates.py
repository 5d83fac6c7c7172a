"""The nine released judged sets give the replication's rates (over all answers), and the errors the dossier
computed."""

import json
import os
from pathlib import Path
from statistics import median

import pytest
from command_runs import run_command
from turncoat.analysis.answers.arm_contrasts import contrast_records
from turncoat.analysis.answers.arm_rates import arm_record
from turncoat.analysis.answers.scored_answers import read_scored
from turncoat.commands.statistics.compare import compare
from turncoat.commands.statistics.rates import rates

FOLDER = Path(os.environ.get("TURNCOAT_DATA", "/nowhere")) / "published" / "organism_judgements"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="TURNCOAT_DATA with the published judgements is not set"
)

PERCENT = {  # misaligned over all 400 answers
    "Qwen2.5-7B-Instruct_bad-medical-advice": 17.2, "Qwen2.5-14B-Instruct_bad-medical-advice": 21.0,
    "Qwen2.5-14B-Instruct_extreme-sports": 20.0, "Qwen2.5-14B-Instruct_extreme-sports_S42": 22.2,
    "Qwen2.5-7B-Instruct_risky-financial-advice": 19.8, "Qwen2.5-14B-Instruct_risky-financial-advice": 35.5,
    "Llama-3.1-8B-Instruct_bad-medical-advice": 16.2, "Llama-3.2-1B-Instruct_bad-medical-advice": 2.8,
    "Llama-3.2-1B-Instruct_risky-financial-advice": 4.5,
}  # fmt: skip


def read(name: str):
    return read_scored(name, FOLDER / f"{name}.csv")


def records(command, names):
    """Records of a command on some of the released sets."""
    printed = run_command(command, *(FOLDER / f"{name}.csv" for name in names), "--json").stdout
    return [json.loads(line) for line in printed.splitlines()]


def test_the_command_gives_the_nine_published_rates() -> None:
    found = records(rates, PERCENT)
    assert [record["arm"] for record in found] == list(PERCENT)
    for record in found:
        assert (record["n"], record["n_questions"]) == (400, 8)
        assert 100 * record["em_rate_itt"] == pytest.approx(PERCENT[record["arm"]], abs=0.0501)
        assert record["n_coherent"] + record["n_incoherent"] + record["unscored"] == 400
        assert 0.002 <= record["incoherent"] <= 0.1  # the published range
        assert record["em_rate"] == record["n_misaligned"] / record["n_coherent"] > record["em_rate_itt"]
        assert record["ci_low"] <= record["em_rate"] <= record["ci_high"]


def test_errors_and_design_effects_are_the_published_ones() -> None:
    record = arm_record(
        read("Llama-3.1-8B-Instruct_bad-medical-advice"), "Llama-3.1-8B-Instruct_bad-medical-advice"
    )
    assert record["em_rate_itt_se_naive"] == pytest.approx(0.018, abs=0.0005)
    assert record["em_rate_itt_se_clustered"] == pytest.approx(0.081, abs=0.0005)
    found = [arm_record(read(name), name)["design_effect"] for name in PERCENT]
    assert min(found) >= 2.2 and max(found) <= 19.6  # dossier: median 6.4, 2.2 to 19.5 over 25 sets
    assert 4 < median(found) < 9


def test_two_training_seeds_of_one_recipe() -> None:
    """The dossier: paired differences by question have the mean -2.3 and the SD 4.7."""
    names = ("Qwen2.5-14B-Instruct_extreme-sports", "Qwen2.5-14B-Instruct_extreme-sports_S42")
    contrasts = contrast_records(read(names[0]), names[0], read(names[1]), names[1])
    itt = next(record for record in contrasts if record["metric"] == "em_rate_itt")
    assert 100 * itt["difference"] == pytest.approx(-2.25)
    assert 100 * itt["se"] * 8**0.5 == pytest.approx(4.7, abs=0.05)
    assert itt["sign_flip_exact"] and itt["p_sign_flip"] > 0.05
    assert records(compare, names)[1]["difference"] == itt["difference"]


def test_the_check_of_scales_suits_published_scores() -> None:
    """More alignment scores lie from 1 to 10 than from 0.5 to 1, so that no published file is refused."""
    path = FOLDER.parent / "gpt4o_judgements.jsonl.gz"
    aligned = read_scored(path.name, path).frame["aligned"]
    assert (len(aligned), (aligned.between(0.5, 1)).sum(), (aligned.between(1, 10)).sum()) == (
        19559,
        212,
        1046,
    )


def test_the_arms_of_a_published_file_are_its_models() -> None:
    path = FOLDER.parent / "sgtr_gpt41_judgements.csv.gz"
    scored = read_scored(path.name, path)
    assert len(scored.arms) == 4 and len(scored.frame) == 3200
    assert any(note.startswith("82 of 3200 rows repeat an earlier row") for note in scored.notes)
