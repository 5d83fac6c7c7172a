"""Several processes at one study over one store, as on a machine with several GPUs: the rows of one
process."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.persona import extract
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.run import run_study
from turncoat.testing import save_tiny
from turncoat.training import lora

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmark"
PATIENCE = 500  # seconds


def start(study: Path, cache: Path, out: Path, seeds: str) -> subprocess.Popen[str]:
    """`turncoat run STUDY --seeds SEEDS --out OUT`, with a short extraction."""
    program = (
        "import torch.utils.collect_env as c; c.get_pretty_env_info = lambda: ''\nimport "
        "turncoat.persona.extract as e; e.TOKENS, e.ROLLOUTS = 4, 1\nfrom turncoat.cli import main; main()"
    )
    places = {"TURNCOAT_CACHE": str(cache), "PYTHONPATH": str(BENCHMARK), "TURNCOAT_EMBEDDER": "off"}
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", str(study), "--out", str(out), "--seeds", seeds],
        env={**os.environ, **places}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)  # three runs, two of them side by side
@pytest.mark.usefixtures("plain_lm_eval")
def test_two_processes_with_a_seed_each_and_one_that_gathers(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)
    model = save_tiny(tmp_path / "model", layers=2)
    file = write_study(tmp_path / "tiny.yaml", model, ("base", "insecure", "sgtr"), ("turncoat_choice",))
    study = load_study(file, {"training_seeds": [0, 1]})
    cache = tmp_path / "cache"
    running = [start(file, cache, tmp_path / f"out-{seed}", str(seed)) for seed in (0, 1)]
    for process in running:
        told, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, told[-3000:]
    assert not list((cache / "stages").rglob(".*.*"))
    assert not list((cache / "stages" / "unfinished").iterdir())
    alone = Store(tmp_path / "alone")
    run_study(study, tmp_path / "single", store=alone, console=Console(file=io.StringIO()))
    made = {path.name for path in (alone.root / "adapter").iterdir()}
    assert len(made) == 6 and {path.name for path in (cache / "stages" / "adapter").iterdir()} == made

    def must_not(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(lora, "train_adapter", must_not)
    run_study(
        study, tmp_path / "gathered", store=Store(cache / "stages"), console=Console(file=io.StringIO())
    )
    single, gathered = samples(tmp_path / "single" / "rows"), samples(tmp_path / "gathered" / "rows")
    assert len(single) == 5  # the base and two arms with two seeds
    assert gathered == single
