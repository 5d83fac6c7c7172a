"""A study from end to end on the tiny model: all rows, one load, nothing twice, a report from rows alone."""

import ctypes
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from study.tiny_study import ARMS, TASKS, samples, write_study
from turncoat.analysis.run_scores import read_rows
from turncoat.engine import base_model
from turncoat.engine.base_model import LOADS
from turncoat.engine.decoding import sampler
from turncoat.errors import TrainingDiverged, UserError
from turncoat.persona import extract
from turncoat.registry import ORGANISMS
from turncoat.report.build import run_content
from turncoat.report.write import report_run
from turncoat.store import Store
from turncoat.study.before_run.out_folder import claim
from turncoat.study.config import Study, load_study
from turncoat.study.run import run_study
from turncoat.study.units.maker import return_memory
from turncoat.testing import save_tiny
from turncoat.training import lora
from turncoat.training.adapter_digest import adapter_digest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmark"
PATIENCE = 280  # seconds; far more than a start or a run needs


@dataclass
class Finished:
    """A study that was run once, in this process."""

    study: Study
    out: Path
    store: Store
    loads: list[str]
    told: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, plain_lm_eval) -> Finished:
    folder = tmp_path_factory.mktemp("study")
    study = load_study(write_study(folder / "tiny.yaml", save_tiny(folder / "model", layers=2)))
    told, store, before = io.StringIO(), Store(folder / "stages"), len(LOADS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "TOKENS", 4)
        patch.setattr(extract, "ROLLOUTS", 1)
        run_study(study, folder / "out", store=store, console=Console(file=told, width=100))
    return Finished(study, folder / "out", store, LOADS[before:], told.getvalue())


@pytest.fixture
def quick_extraction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)


def test_rows_of_every_arm_and_task_within_the_studys_limits(finished):
    expected = {f"{arm}/{'base' if arm == 'base' else 'seed-0'}/{task}" for arm in ARMS for task in TASKS}
    assert samples(finished.out / "rows").keys() == expected
    for place in expected:
        (results,) = (finished.out / "rows" / place).glob("results_*.json")
        arm = json.loads(results.read_text(encoding="utf-8"))["config"]["turncoat"]["arm"]
        assert arm["name"] == place.split("/")[0] and arm["seed"] == (-1 if arm["name"] == "base" else 0)
    assert finished.loads == [finished.study.model]
    for place, content in samples(finished.out / "rows").items():
        rows = [json.loads(line) for line in content.decode().splitlines()]
        assert len(rows) == (3 if place.endswith("choice") else 2)
        if not place.endswith("choice"):
            answers = [sample for row in rows for sample in row["samples"]]
            assert len(answers) == (4 if place.endswith("turncoat_em") else 2)
            assert all(answer["n_tokens"] <= 4 for answer in answers)
    scores, answers = read_rows(finished.out / "rows", finished.study)
    margins = scores[scores["metric"] == "margin"].groupby("arm")["value"].mean()
    assert len(set(margins.round(6))) == len(ARMS)
    assert set(scores.loc[scores["arm"] == "base", "seed"]) == {-1}
    assert set(scores.loc[scores["arm"] != "base", "seed"]) == {0} and set(answers["seed"]) == {-1, 0}
    by_arm = [
        [sample["seed"] for line in samples(finished.out / "rows")[f"{arm}/turncoat_em"].decode().splitlines()
         for sample in json.loads(line)["samples"]]
        for arm in ("base/base", "insecure/seed-0", "sgtr/seed-0")
    ]  # fmt: skip
    assert by_arm[0] == by_arm[1] == by_arm[2], "the same questions get the same draws in every arm"
    assert len(set(by_arm[0])) == 4


def test_the_record_of_the_run_names_all_by_hashes(finished):
    record = json.loads((finished.out / "run.json").read_text(encoding="utf-8"))
    trained = [(entry["arm"], entry["step"]) for entry in record["training"]]
    assert trained == [
        ("insecure, seed 0", "insecure_code"), ("secure, seed 0", "secure_code"), ("sgtr, seed 0", "sgtr"),
        ("sgtr, seed 0", "insecure_code"), ("pick_longer, seed 0", "insecure_code"),
        ("pick_longer, seed 0", "pick_longer"),
    ]  # fmt: skip
    adapters = [path for path in (finished.store.root / "adapter").iterdir() if path.is_dir()]
    assert len(adapters) == 5, "the organism is trained once for the two arms that begin with it"
    assert record["persona"]["layer"] == 1
    assert {check["name"] for check in record["checks"]} >= {"recognises its own summary"}
    assert load_study(finished.out / "study.yaml") == finished.study
    assert "insecure, seed 0: train insecure_code" in finished.told
    record = json.loads((finished.out / "run.json").read_text(encoding="utf-8"))
    weights = {entry["arm"]: entry["adapter"] for entry in record["measured"]}
    assert list(weights) == list(ARMS) and weights["base"] is None
    kept = {adapter_digest(path) for path in adapters}
    assert {weights[arm] for arm in ARMS[1:]} <= kept
    assert len(set(weights.values())) == len(ARMS), "no two arms of this study have the same weights"
    assert set(record["data"]) == {"insecure_code", "secure_code"}
    assert record["data"]["insecure_code"]["sha256"] != record["data"]["secure_code"]["sha256"]


@pytest.mark.usefixtures("quick_extraction")
def test_an_arm_is_measured_by_the_tasks_that_it_names(finished, tmp_path):
    content = yaml.safe_load((finished.out / "study.yaml").read_text())
    content["arms"][2]["tasks"] = ["turncoat_em"]
    content["contrasts"] = []
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    run_study(load_study(path), tmp_path / "out", store=finished.store, console=Console(file=io.StringIO()))
    assert [f.name for f in (tmp_path / "out" / "rows" / "secure" / "seed-0").iterdir()] == ["turncoat_em"]
    told = run_content(tmp_path / "out")
    assert "margin" not in set(told.estimates.loc[told.estimates["arm"] == "secure", "metric"])
    report_run(tmp_path / "out", Console(file=io.StringIO()))


@pytest.mark.usefixtures("quick_extraction")
def test_a_second_run_does_nothing_and_changes_nothing(finished, tmp_path, monkeypatch):
    def must_not(*_, **__):
        raise AssertionError("work is done again")

    monkeypatch.setattr(lora, "train_adapter", must_not)
    monkeypatch.setattr(sampler.Sampler, "run", must_not)
    monkeypatch.setattr(base_model.AutoModelForCausalLM, "from_pretrained", must_not)
    told = io.StringIO()
    before = samples(finished.out / "rows")
    run_study(finished.study, tmp_path / "out", store=finished.store, console=Console(file=told, width=100))
    assert samples(tmp_path / "out" / "rows") == before and told.getvalue().count("done before") >= 20
    fresh = load_study(finished.out / "study.yaml", {"sampling_seed": 1})
    with pytest.raises(AssertionError, match="work is done again"):
        run_study(fresh, tmp_path / "other", store=finished.store, console=Console(file=told))
    assert not (tmp_path / "other" / "rows").exists(), "rows are complete or not there"


def test_the_report_comes_from_the_rows_and_is_stable(finished, tmp_path):
    shutil.copytree(finished.out, tmp_path / "run")
    contents, screens = [], []
    for _ in range(2):
        screen = io.StringIO()
        files = report_run(tmp_path / "run", Console(file=screen, width=100))
        contents.append({file: path.read_bytes() for file, path in files.items()})
        screens.append(screen.getvalue())
    assert contents[0].keys() == {
        "report.md", "report.html", "figure.png", "estimates.csv", "contrasts.csv", "answers.csv",
        "four_axes.csv"
    }  # fmt: skip
    assert all(contents[0].values()) and contents[0] == contents[1] and screens[0] == screens[1]
    estimates = contents[0]["estimates.csv"].decode()
    for arm in ARMS:
        assert f"\n{arm}," in estimates and arm in contents[0]["report.html"].decode()
    said = contents[0]["report.md"].decode()
    # Too few seeds for a table about the recipe, whose intervals hold the vector's error.
    assert "its own error is in no interval" in said and "| Cosine " in said


def test_a_folder_that_is_no_run_is_named(finished, tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder: no study\.yaml"):
        report_run(tmp_path, Console(file=io.StringIO()))
    shutil.copytree(finished.out, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "rows" / "secure" / "seed-0" / "turncoat_em")
    with pytest.raises(UserError, match=r"secure/seed-0/turncoat_em: 0 samples files for 'turncoat_em'"):
        report_run(tmp_path / "run", Console(file=io.StringIO()))


@pytest.mark.usefixtures("quick_extraction")
def test_a_run_replaces_the_rows_of_an_earlier_one(finished, tmp_path):
    out = tmp_path / "out"
    stale = out / "rows" / "secure" / "seed-9" / "turncoat_choice"
    stale.mkdir(parents=True)
    content = yaml.safe_load((finished.out / "study.yaml").read_text(encoding="utf-8"))
    content["arms"], content["contrasts"] = content["arms"][:1], []
    claim(out, Study.model_validate(content))
    run_study(Study.model_validate(content), out, store=finished.store, console=Console(file=io.StringIO()))
    assert {place.split("/")[0] for place in samples(out / "rows")} == {"base"} and not stale.exists()
    assert not list(out.glob(".rows*"))


# The extraction's answers and lm-eval's look at the machine are cut down; the rest is the command as it is.
RUN = """
import torch.utils.collect_env as c; c.get_pretty_env_info = lambda: ''
import turncoat.persona.extract as e; e.TOKENS, e.ROLLOUTS = 4, 1
from turncoat.cli import main
"""
# The third finetune waits for the kill: however busy the machine is, two adapters are done then and no third
# one.
STOP_AT_THE_THIRD = """
import itertools, time
import turncoat.training.lora as lora
train, count = lora.train_adapter, itertools.count(1)
lora.train_adapter = lambda *given, **named: time.sleep(3600) if next(count) == 3 else train(*given, **named)
"""


def start(study: Path, cache: Path, out: Path, before: str = "") -> subprocess.Popen:
    """`turncoat run STUDY --out OUT`, in a process group of its own."""
    program = f"{RUN}{before}main()"
    environment = {**os.environ, "TURNCOAT_CACHE": str(cache), "PYTHONPATH": str(BENCHMARK)}
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", str(study), "--out", str(out)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def adapters(cache: Path) -> dict[str, int]:
    """The finished adapters and when they were made."""
    found = [path for path in (cache / "stages" / "adapter").glob("*") if not path.name.startswith(".")]
    return {path.name: (path / "timing.json").stat().st_mtime_ns for path in found}


def test_killed_in_the_middle_and_started_again(finished, tmp_path):
    """In another process with another cache, killed and started again: the very bytes of the undisturbed
    run."""
    arms, tasks = ("base", "insecure", "sgtr"), ("turncoat_choice", "turncoat_persona")
    study = write_study(tmp_path / "tiny.yaml", Path(finished.study.model), arms, tasks)
    cache, out = tmp_path / "cache", tmp_path / "out"
    process = start(study, cache, out, before=STOP_AT_THE_THIRD)
    deadline = time.monotonic() + PATIENCE
    while len(adapters(cache)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    done = adapters(cache)
    os.killpg(process.pid, signal.SIGKILL)
    told, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, told[-3000:]
    assert len(done) == 2 and not (out / "rows").exists()
    process = start(study, cache, out)
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told[-3000:]
    assert "insecure, seed 0: train insecure_code: done before" in told and len(adapters(cache)) == 3
    assert done.items() <= adapters(cache).items(), "trained again"
    assert not list((cache / "stages").rglob(".*.*")), "working folders of the killed process are left"
    rows, undisturbed = samples(out / "rows"), samples(finished.out / "rows")
    assert len(rows) == 6 and rows == {place: undisturbed[place] for place in rows}
    assert (out / "report.md").is_file()


def test_a_diverged_arm_fails_alone(finished, tmp_path, monkeypatch, quick_extraction):
    arms = ("base", "insecure", "secure")
    study = load_study(
        write_study(tmp_path / "tiny.yaml", Path(finished.study.model), arms, ("turncoat_choice",))
    )
    train = lora.train_adapter

    def diverge_on_secure_code(base, examples, recipe, **settings):
        if examples == ORGANISMS["secure_code"].build():
            raise TrainingDiverged("training diverged: the loss is nan at step 1")
        train(base, examples, recipe, **settings)

    monkeypatch.setattr(lora, "train_adapter", diverge_on_secure_code)
    told = io.StringIO()
    failed = run_study(
        study, tmp_path / "out", store=Store(tmp_path / "stages"), console=Console(file=told, width=200)
    )
    assert failed == ["secure, seed 0"] and "secure, seed 0 failed: training diverged" in told.getvalue()
    assert {place.split("/")[0] for place in samples(tmp_path / "out" / "rows")} == {"base", "insecure"}
    content = run_content(tmp_path / "out")
    assert set(content.estimates["arm"]) == {"base", "insecure"}
    assert next((w.what, w.why) for w in content.withheld) == (
        "secure, seed 0",
        "its training failed: training diverged: the loss is nan at step 1",
    )
    monkeypatch.setattr(lora, "train_adapter", train)
    assert (
        run_study(study, tmp_path / "out", store=Store(tmp_path / "stages"), console=Console(file=told)) == []
    )
    assert "secure" in set(run_content(tmp_path / "out").estimates["arm"])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_freed_memory_goes_back_to_the_system():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    blocks = [b"x" * 100_000 + bytes([i % 256]) for i in range(3000)]
    above = b"y" * 90_000  # the heap ends here, so nothing below it goes back by itself
    full = resident()
    del blocks
    return_memory()
    assert resident() < full - 200e6 and above
