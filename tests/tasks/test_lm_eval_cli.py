"""The commands a user types: the unmodified `lm_eval` on our tasks, and `turncoat lm-eval` with our model
type."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from turncoat.evaluation.samples_file import answers_of, sample_rows, scores_of
from turncoat.evaluation.task_catalogue import metric_facts, task_content, task_metrics, task_names
from turncoat.paths import tasks_dir

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmark"
PUBLISHED = ("turncoat_betley_", "turncoat_truthfulqa_")  # read from files that do not ship
RECOGNITION = (
    "turncoat_recognition_pairwise",
    "turncoat_recognition_individual",
)  # need the model's own texts first
ARTICLES = ("turncoat_recognition_xsum", "turncoat_recognition_cnn")  # read fetched articles, see their test
ADVICE = tuple(t for t in task_names() if task_content(t)["tag"] == "turncoat_advice")  # likewise
NEEDING = (*RECOGNITION, *ARTICLES, *ADVICE)
SHIPPED = sorted(t for t in task_names() if not t.startswith(PUBLISHED) and t not in NEEDING)
# Extraction takes half a minute with all its answers, and lm-eval asks pip for the packages; neither is at
# issue here.
QUICK = (
    "import torch.utils.collect_env as c; c.get_pretty_env_info = lambda: ''\nimport "
    "turncoat.persona.extract as e; e.TOKENS, e.ROLLOUTS = 4, 1\n"
)


def run(command: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TURNCOAT_CACHE": str(cache), "PYTHONPATH": str(BENCHMARK)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def samples_file(out: Path, task: str) -> Path:
    (found,) = out.rglob(f"samples_{task}_2*.jsonl")  # the date follows; a task's name may begin another's
    return found


def lm_eval(model: Path, out: Path, tasks: Sequence[str], *more: str) -> list[str]:
    return [
        sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32",
        "--device", "cpu", "--batch_size", "16", "--include_path", str(tasks_dir()), "--tasks",
        ",".join(tasks), "--apply_chat_template", "--gen_kwargs", "max_gen_toks=4", "--limit", "2",
        "--output_path", str(out), "--log_samples", *more,
    ]  # fmt: skip


def shares_are_shares(path: Path, task: str) -> None:
    """A report gives a metric of unit "share" the exact interval of a rate: all its values are 0 to 1."""
    scores = scores_of(path, arm="theirs", seed=0, task=task)
    of = {metric: facts["unit"] for metric, facts in metric_facts(task).items()}
    for metric, values in scores.groupby("metric")["value"]:
        assert of.get(str(metric)) != "share" or values.dropna().between(0, 1).all(), (task, metric)


def test_the_unmodified_lm_eval_runs_every_task_that_ships(tiny_folder, tmp_path):
    out = tmp_path / "out"
    done = run(lm_eval(tiny_folder, out, SHIPPED), tmp_path / "cache")
    metrics = {}
    for task in SHIPPED:
        path = samples_file(out, task)
        rows = list(sample_rows(path))
        questions = 1 if task == "turncoat_identity_published" else 2  # it has no more
        assert len(rows) == questions, task
        assert len({json.dumps(row["doc"], sort_keys=True) for row in rows}) == questions, task
        scores = scores_of(path, arm="theirs", seed=0, task=task)
        metrics[task] = set(scores["metric"])
        shares_are_shares(path, task)
        assert metrics[task] <= set(task_metrics(task)), task
        answers = answers_of(path, arm="theirs", seed=0)
        if "samples" in rows[0]["metrics"]:
            repeats = int(task_content(task).get("repeats", 1))
            assert len(answers) == questions * repeats, f"{task} lost samples"
    assert metrics["turncoat_choice"] == {"margin", "margin_per_byte", "accuracy"}
    assert metrics["turncoat_em"] == {"code_like", "repetition", "empty"}, (
        "no judge, no activations: no more than that"
    )
    assert metrics["turncoat_persona"] == set()
    told = [line for line in done.stderr.splitlines() if "no persona activations" in line]
    assert told and len(told) == len(set(told)), "said once per task"


def test_the_unmodified_lm_eval_recognises_texts_that_it_wrote_before(tiny_folder, tmp_path):
    """Two commands: the model writes its own texts, then tells them from others'."""
    cache = tmp_path / "cache"
    run(lm_eval(tiny_folder, tmp_path / "texts", ["turncoat_recognition_texts"]), cache)
    own = samples_file(tmp_path / "texts", "turncoat_recognition_texts")
    run(lm_eval(tiny_folder, tmp_path / "out", RECOGNITION, "--metadata", f"own_texts={own}"), cache)
    for task in RECOGNITION:
        scores = scores_of(samples_file(tmp_path / "out", task), arm="theirs", seed=0, task=task)
        assert len(scores) and set(scores["metric"]) <= set(task_metrics(task))


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
def test_the_unmodified_lm_eval_runs_the_published_sets(tiny_folder, tmp_path):
    tasks = [task for task in task_names() if task.startswith(PUBLISHED)]
    run(lm_eval(tiny_folder, tmp_path / "out", tasks), tmp_path / "cache")
    for task in tasks:
        path = samples_file(tmp_path / "out", task)
        assert len(list(sample_rows(path))) == 2, task
        shares_are_shares(path, task)


def test_turncoat_lm_eval_measures_an_adapter(tiny_folder, tiny_adapter, tmp_path):
    done = run(
        [sys.executable, "-c", QUICK + "from turncoat.cli import main; main()", "lm-eval", "--model",
         "turncoat", "--model_args", f"pretrained={tiny_folder},peft={tiny_adapter},dtype=float32",
         "--tasks", "turncoat_persona", "--gen_kwargs", "max_gen_toks=6", "--limit", "2",
         "--output_path", str(tmp_path / "out"), "--log_samples"],
        tmp_path / "cache",
    )  # fmt: skip
    assert "persona_fixed" in done.stdout
    path = samples_file(tmp_path / "out", "turncoat_persona")
    scores = scores_of(path, arm="mine", seed=0, task="turncoat_persona")
    assert set(scores["metric"]) == {"persona_fixed", "persona_own", "persona_text"} and len(scores) == 6
    for row in sample_rows(path):
        assert row["persona_fixed"] != pytest.approx(row["persona_own"], abs=1e-4), "the adapter is not on"
        assert row["arguments"]["gen_args_0"]["arg_0"].endswith("<|im_start|>assistant\n"), "no chat template"
