"""The commands a user types: the unmodified `lm_eval` on our tasks, and `turncoat lm-eval` with our model type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from turncoat.paths import tasks_dir
from turncoat.study.rows import answers_of, sample_rows, scores_of

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmark"
TASKS = ("turncoat_choice", "turncoat_em", "turncoat_persona")
# Extraction takes half a minute with all its answers, and lm-eval asks pip for the packages; neither is at issue here.
QUICK = (
    "import torch.utils.collect_env as c; c.get_pretty_env_info = lambda: ''\n"
    "import turncoat.persona.extract as e; e.TOKENS, e.ROLLOUTS = 4, 1\n"
)


def run(command: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TURNCOAT_CACHE": str(cache), "PYTHONPATH": str(BENCHMARK)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def samples_file(out: Path, task: str) -> Path:
    (found,) = out.rglob(f"samples_{task}_*.jsonl")
    return found


def test_the_unmodified_lm_eval_runs_our_tasks(tiny_folder, tmp_path):
    done = run(
        [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={tiny_folder},dtype=float32",
         "--device", "cpu", "--include_path", str(tasks_dir()), "--tasks", ",".join(TASKS), "--apply_chat_template",
         "--gen_kwargs", "max_gen_toks=6", "--limit", "2", "--output_path", str(tmp_path / "out"), "--log_samples"],
        tmp_path / "cache",
    )  # fmt: skip
    metrics = {}
    for task in TASKS:
        scores = scores_of(samples_file(tmp_path / "out", task), arm="theirs", seed=0, task=task)
        metrics[task] = set(scores["metric"])
        assert scores["value"].notna().all()
    assert metrics == {
        "turncoat_choice": {"margin", "margin_per_byte", "accuracy"},
        "turncoat_em": {"code_like", "repetition", "empty"},
        "turncoat_persona": set(),
    }
    for task in TASKS[1:]:
        answers = answers_of(samples_file(tmp_path / "out", task), arm="theirs", seed=0)
        assert len(answers) == 4
        assert answers["question"].nunique() == 2
    told = [line for line in done.stderr.splitlines() if "no persona activations" in line]
    assert len(told) == 1


def test_turncoat_lm_eval_measures_an_adapter(tiny_folder, tiny_adapter, tmp_path):
    done = run(
        [sys.executable, "-c", QUICK + "from turncoat.cli import main; main()", "lm-eval", "--model", "turncoat",
         "--model_args", f"pretrained={tiny_folder},peft={tiny_adapter},dtype=float32",
         "--tasks", "turncoat_persona", "--gen_kwargs", "max_gen_toks=6", "--limit", "2",
         "--output_path", str(tmp_path / "out"), "--log_samples"],
        tmp_path / "cache",
    )  # fmt: skip
    assert "persona_fixed" in done.stdout
    path = samples_file(tmp_path / "out", "turncoat_persona")
    scores = scores_of(path, arm="mine", seed=0, task="turncoat_persona")
    assert set(scores["metric"]) == {"persona_fixed", "persona_own", "persona_text"}
    assert len(scores) == 6
    for row in sample_rows(path):
        assert row["persona_fixed"] != pytest.approx(row["persona_own"], abs=1e-4), "the adapter is not on"
        assert row["arguments"]["gen_args_0"]["arg_0"].endswith("<|im_start|>assistant\n"), "no chat template"
