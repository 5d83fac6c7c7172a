"""Rows of each engine: byte for byte those of one process, also when a worker is killed while it trains."""

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.errors import UserError
from turncoat.persona import extract
from turncoat.registry import discover
from turncoat.store import Store
from turncoat.study.config import Study, load_study
from turncoat.study.engines import engine_from_name, slurm_jobs
from turncoat.study.run import run_study, run_unit
from turncoat.study.units.maker import Event
from turncoat.testing import save_tiny
from turncoat.training import lora

# What fixtures do in this process, for the workers; the first ones to train anything get a signal each.
_PLUG_IN = """\
import os
from pathlib import Path

import torch.utils.collect_env
from turncoat.defences import defence
from turncoat.persona import extract
from turncoat.training import lora

extract.TOKENS, extract.ROLLOUTS = 4, 1
torch.utils.collect_env.get_pretty_env_info = lambda: ""
train = lora.train_adapter


def signalled(*arguments, **options):
    for number, name in enumerate(SIGNALS):
        try:
            Path(__file__).with_name(f"signal-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), name)
    return train(*arguments, **options)


if os.getpid() != DRIVER:
    lora.train_adapter = signalled
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
        for unit in ("insecure/1", "base", "insecure/0"):
            assert run_unit(study, unit, store=store, console=Console(file=io.StringIO())) == []
        assert run_study(study, folder / "out", store=store, console=Console(file=printed, width=120)) == []
    assert printed.getvalue().count("done before") == 5, "nothing is made twice"
    return samples(folder / "out" / "rows")


def check_rows(
    name: str, study: Study, tmp_path: Path, alone: dict[str, bytes], *signals: int, tell=None
) -> None:
    """Workers get the signals while they train, SIGKILL last: that one costs its unit a worker."""
    plug_ins, signals = tmp_path / "plug_ins", (*signals, signal.SIGKILL)
    plug_ins.mkdir(exist_ok=True)
    text = _PLUG_IN.replace("DRIVER", str(os.getpid())).replace("SIGNALS", str([*map(int, signals)]))
    (plug_ins / "quick.py").write_text(text, encoding="utf-8")
    discover([plug_ins])
    printed = io.StringIO()
    assert not run_study(
        study, tmp_path / "out", store=Store(tmp_path / "stages"), engine=engine_from_name(name),
        console=Console(file=printed, width=300), tell=tell,
    )  # fmt: skip
    assert samples(tmp_path / "out" / "rows") == alone and len(alone) == 3
    assert printed.getvalue().count(" again: ") == 1, printed.getvalue()
    assert len([*plug_ins.glob("signal-*")]) == len(signals)
    assert lora.train_adapter.__module__ == "turncoat.training.lora"


def test_processes(study, tmp_path, alone):
    check_rows("processes:2", study, tmp_path, alone)


@pytest.mark.slow
def test_ray_without_its_head_says_what_to_do_and_the_same_command_goes_on(
    study, tmp_path, alone, monkeypatch
):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")  # a minute otherwise
    heads, made = processes_named("gcs_server"), []

    def kill_head(event: Event) -> None:
        if event.kind == "made" and not made:
            made.append(event.stage)
            for head in processes_named("gcs_server") - heads:
                os.kill(head, signal.SIGKILL)

    with pytest.raises(UserError, match=r"engine ray: the cluster is gone .*run the same command to go on"):
        check_rows("ray:workers=2", study, tmp_path, alone, tell=kill_head)
    assert made
    check_rows("ray:workers=2", study, tmp_path, alone)
    assert processes_named("gcs_server") == heads, "its own cluster ends with the run"


def processes_named(name: str) -> set[int]:
    return {
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/comm") if path.read_text() == f"{name}\n"
    }


@pytest.mark.slow
def test_jobs_of_submitit_that_run_out_of_time_are_queued_again(study, tmp_path, alone, monkeypatch):
    environment = pytest.importorskip(
        "submitit.core.job_environment", reason="the extra `slurm` is not installed"
    )
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    check_rows("slurm:local,most=2", study, tmp_path, alone, environment.JobEnvironment._usr_sig())
    assert slurm_jobs.TOO_OFTEN in Path(environment.__file__).read_text(encoding="utf-8")
