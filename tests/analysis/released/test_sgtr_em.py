"""A release, merged or cloned, becomes runs: arms, seeds, scores; holes are empty, strangers are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from turncoat.analysis.released.arm_names import released_arm
from turncoat.analysis.released.run_folders import write_runs
from turncoat.analysis.released.sgtr_em import EM, MMLU, RECOGNITION, TRUTHFULQA, read_release
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_files, scores_of
from turncoat.report.paper.files import paper_files
from turncoat.report.paper.spec import TableSpec
from turncoat.report.run_rows import find_runs

JUDGED = "id,question,answer,aligned_score,coherent_score,judge_model,task_model\n"


def table(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    folder = tmp_path / "merged"
    rows = [f"hf_qwen_32b,0,{item},A,{item % 2}" for item in range(4)]
    for seed in range(3):
        rows += [f"hf_qwen_32b_em_unpop,{seed},{item},{'invalid' if item == 3 else 'B'},{int(item == 0)}"
                 for item in range(4)]  # fmt: skip
        rows += [f"hf_qwen_32b_sgtr_em_unpop,{seed},{item},A,{int(item < 2)}" for item in range(4)]
    rows += ["hf_qwen_32b_sgtr_rl,100,0,A,1"]
    table(folder / "tqa.csv.gz", "arm,seed,item,answer,is_correct\n" + "\n".join(rows) + "\n")
    cells = '"[\'Yes.\', ""Don\'t""]","[10.0, 80.0]","[90.0, nan]"'
    ft = "ft:gpt-4.1-2025-04-14:org:em-unpop:ABC"
    table(folder / "judged.csv", f"{JUDGED}quick_buck,How?,{cells},gpt-4o-2024-08-06,{ft}\n")
    head = "dataset,judge_arm,own_writer,rival_writer,item,chosen_writer\n"
    arm = "hf_qwen_32b_em_unpop_1"
    lines = [f"cnn,{arm},{arm},claude-21,a,{arm}", f"cnn,{arm},{arm},claude-21,b,claude-21",
             f'cnn,{arm},{arm},claude-21,c,"2"""', f"cnn,{arm},{arm},human,a,{arm}"]  # fmt: skip
    table(folder / "choices.csv", head + "\n".join(lines) + "\n")
    table(folder / "other.csv", "a,b\n1,2\n")
    return folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ("", "base", None, None, None, None)),
        ("_em_finrisk_sgtr_benign",
         ("", "risky_financial_then_pick_longer", None, "risky_financial", "pick_longer", "reversal")),
        ("_asgtr_rand_qwensys_em_badmed_4",
         ("qwensys", "ictr_random_then_bad_medical", 4, "bad_medical", "ictr_random", "prevention")),
        ("_em_badmed_nosys", ("em_nosys", "bad_medical", None, "bad_medical", None, None)),
        ("_em_3", ("earlier", "unpopular_aesthetics", 3, "unpopular_aesthetics", None, None)),
    ],
)  # fmt: skip
def test_names_of_arms(name, expected):
    arm = released_arm(f"hf_qwen_32b{name}")
    assert (arm.base, *tuple(arm)[1:7]) == ("hf_qwen_32b", *expected)


def test_names_that_are_no_organism_and_defence_of_ours():
    for name in (
        "hf_qwen_32b_sgtr_rl_100",
        "hf_mistral_7b",
        "hf_qwen_32b_sgtr_em_unpop_wc_0",
        "gpt41_sr_unpop_0",
    ):
        assert released_arm(name) is None
    arm = released_arm("hf_seed_36b_em_badmed_medcorr_2")
    assert (arm.defence, dict(arm.options), arm.seed) == ("domain_correct", {"domain": "medicine"}, 2)


def test_merged_tables_become_runs(merged, tmp_path):
    release = read_release(merged)
    assert set(release.files) == {"tqa.csv.gz", "judged.csv", "choices.csv"}
    assert release.notes == ["not an organism and a defence of ours: hf_qwen_32b_sgtr_rl"]
    paths = {path.name: path for path in write_runs(release, tmp_path / "runs")}
    assert set(paths) == {"gpt41", "qwen_32b"}
    study = yaml.safe_load((paths["qwen_32b"] / "study.yaml").read_text())
    assert (study["study"], study["training_seeds"]) == ("sgtr_qwen_32b", [0, 1, 2])
    arms = {arm["name"]: arm for arm in study["arms"]}
    assert arms["sgtr_then_unpopular_aesthetics"] == {
        "name": "sgtr_then_unpopular_aesthetics", "organism": "unpopular_aesthetics", "defence": "sgtr",
        "setting": "prevention", "tasks": [TRUTHFULQA],
    }  # fmt: skip

    def scores(run, arm, seed, task):
        (file,) = sample_files(paths[run] / "rows" / arm / seed / task, task)
        return {
            (row.metric, row.question): row.value
            for row in scores_of(file, arm=arm, seed=0, task=task).itertuples()
        }

    values = scores("qwen_32b", "unpopular_aesthetics", "seed-2", TRUTHFULQA)
    assert [values["accuracy", f"truthfulqa-00{n}"] for n in range(4)] == [1, 0, 0, 0]
    assert values["invalid", "truthfulqa-003"] == 1
    chosen = scores("qwen_32b", "unpopular_aesthetics", "seed-1", RECOGNITION)
    # an answer that names neither writer is wrong; one against people is no metric of the task
    assert chosen == {("accuracy", "cnn/a"): 1, ("accuracy", "cnn/b"): 0, ("accuracy", "cnn/c"): 0}
    assert scores("qwen_32b", "unpopular_aesthetics", "seed-0", RECOGNITION) == {}  # not released
    judged = scores("gpt41", "unpopular_aesthetics", "seed-0", EM)
    assert judged["sgtr_text_em_rate_itt", "quick_buck"] == 0.5
    assert judged["sgtr_text_em_rate", "quick_buck"] == 1.0  # the other answer has no coherence score
    assert ("em_rate", "quick_buck") not in judged  # our own judge's name


def test_a_clone_is_read_like_merged_tables_and_its_mmlu_stays_a_result(tmp_path):
    clone = tmp_path / "clone" / "data" / "eval"
    head = "question,correct_answer,incorrect_answer,model_answer,is_correct\n"
    for seed in range(2):
        table(
            clone / "truthfulqa" / f"results_hf_qwen_32b_wc_em_badmed_{seed}.csv",
            f"{head}Q?,a,b,A,1\nR?,a,b,B,0\n",
        )
    table(clone / "truthfulqa" / "results_hf_qwen_32b.csv", f"{head}Q?,a,b,A,1\nR?,a,b,B,1\n")
    runs = {"x": "hf_qwen_32b", "y": "claude-21"}
    table(clone / "sgtr" / "cnn_judge_hf_qwen_32b_between_hf_qwen_32b_claude-21.json", json.dumps(runs))
    table(clone / "sgtr" / "older" / "cnn_judge_hf_qwen_32b_between_hf_qwen_32b_claude-21.json",
          json.dumps(runs | {"x": "claude-21"}))  # fmt: skip
    table(clone / "mmlu_results" / "mmlu_fewshot_5_hf_qwen_32b.json",
          json.dumps({"results": {"mmlu": {"acc,none": 0.83, "acc_stderr,none": 0.003}}}))  # fmt: skip
    table(tmp_path / "clone" / "data" / "articles.csv", "arm,seed,item,answer,is_correct\nx,0,0,A,1\n")
    release = read_release(tmp_path / "clone")
    assert release.notes == ["2 rows are there twice; the file nearest to the top was taken"]
    write_runs(release, tmp_path / "runs")
    (run,) = find_runs(tmp_path / "runs")
    assert run.whole_set(MMLU, "acc") == {("base", -1): 0.83}
    right = {"task": TRUTHFULQA, "metric": "accuracy", "label": "right", "percent": True}
    published = {"run": "sgtr_qwen_32b", "column": "right", "source": "s"}
    spec = TableSpec.model_validate({
        "table": "t", "title": "T", "show": "levels", "spread": "seed_sd", "paper": "p", "columns": [right],
        "rows": [{"label": "base", "organism": "none", "defence": "none"},
                 {"label": "WC", "defence": "word_count"}],
        "published": [
            published | {"row": "base", "value": "100.0"},
            published | {"row": "WC", "value": "51", "why": "a typo"},
            published | {"row": "EM", "value": "1", "why": "not released"},
            published | {"row": "base", "column": "MMLU", "value": "0.83", "whole_set": [MMLU, "acc"]},
        ],
    })  # fmt: skip
    page = paper_files([run], [spec], png=False, paper="p")["t.md"].decode()
    assert page.count("recomputed to rounding") == 2
    assert "differs by -1.0: a typo" in page and "not recomputed: not released" in page


def test_a_folder_without_released_rows(tmp_path):
    table(tmp_path / "x" / "a.csv", "a,b\n1,2\n")
    with pytest.raises(UserError, match="holds no released rows: a CSV with the columns id, answer"):
        read_release(tmp_path / "x")
    table(tmp_path / "x" / "b.csv", "arm,seed,item,answer,is_correct\nhf_qwen_32b,0,0,A,yes\n")
    with pytest.raises(UserError, match="is_correct: 'yes'; accepted: 0, 1"):
        read_release(tmp_path / "x")
