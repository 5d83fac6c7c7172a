"""Rows of each engine: byte for byte those of one process, also when a worker is killed while it trains."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.persona import extract
from turncoat.registry import discover
from turncoat.store import Store
from turncoat.study.config import Study, load_study
from turncoat.study.engines import engine_from_name
from turncoat.study.run import run_study, run_unit
from turncoat.testing import save_tiny
from turncoat.training import lora

# What fixtures do in this process, for the workers; the first of them to train anything is killed.
_PLUG_IN = """\
import os, signal
from pathlib import Path

import torch.utils.collect_env
from turncoat.defences import defence
from turncoat.persona import extract
from turncoat.training import lora

extract.TOKENS, extract.ROLLOUTS = 4, 1
torch.utils.collect_env.get_pretty_env_info = lambda: ""
train = lora.train_adapter


def killed_once(*arguments, **options):
    try:
        Path(__file__).with_name("killed").touch(exist_ok=False)
    except FileExistsError:
        return train(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)


if os.getpid() != DRIVER:
    lora.train_adapter = killed_once
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    model = save_tiny(folder / "model", layers=2)
    file = write_study(folder / "tiny.yaml", model, ("base", "insecure"), ("turncoat_choice",))
    return load_study(file, {"training_seeds": [0, 1]})


@pytest.fixture(autouse=True)
def short(monkeypatch, plain_lm_eval) -> None:
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)


@pytest.fixture(scope="module")
def alone(study, tmp_path_factory, plain_lm_eval) -> dict[str, bytes]:
    """Rows by `--only`, unit after unit in this process, and one run that gathers."""
    folder = tmp_path_factory.mktemp("alone")
    store, printed = Store(folder / "stages"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "TOKENS", 4)
        patch.setattr(extract, "ROLLOUTS", 1)
        for unit in ("insecure/1", "vector/evil", "base", "insecure/0"):
            assert run_unit(study, unit, store=store, console=Console(file=io.StringIO())) == []
        assert run_study(study, folder / "out", store=store, console=Console(file=printed, width=120)) == []
    assert printed.getvalue().count("done before") == 6, "nothing is made twice"
    return samples(folder / "out" / "rows")


def check_rows(name: str, study: Study, tmp_path: Path, alone: dict[str, bytes]) -> None:
    plug_ins = tmp_path / "plug_ins"
    plug_ins.mkdir()
    (plug_ins / "quick.py").write_text(_PLUG_IN.replace("DRIVER", str(os.getpid())), encoding="utf-8")
    discover([plug_ins])
    printed = io.StringIO()
    assert not run_study(
        study, tmp_path / "out", store=Store(tmp_path / "stages"), engine=engine_from_name(name),
        console=Console(file=printed, width=300),
    )  # fmt: skip
    assert samples(tmp_path / "out" / "rows") == alone and len(alone) == 3
    assert printed.getvalue().count(" again: ") == 1, printed.getvalue()
    assert (plug_ins / "killed").exists() and lora.train_adapter.__module__ == "turncoat.training.lora"


def test_processes(study, tmp_path, alone):
    check_rows("processes:2", study, tmp_path, alone)


@pytest.mark.slow
def test_ray(study, tmp_path, alone, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "benchmark"))
    try:
        check_rows("ray:workers=2", study, tmp_path, alone)
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_jobs_of_submitit(study, tmp_path, alone, monkeypatch):
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "benchmark"))
    check_rows("slurm:local,most=2", study, tmp_path, alone)
