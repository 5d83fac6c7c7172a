"""A study with `generation: vllm` on the tiny model, with a vLLM that is a fake."""

import io
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from engine.vllm.fake_vllm import fake_python, notes
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.engine.base_model import load_base
from turncoat.engine.vllm import sampler
from turncoat.engine.vllm.arms import ADAPTERS
from turncoat.engine.vllm.process import VARIABLE
from turncoat.errors import UserError
from turncoat.leaderboard.submission.from_run import draft_of_run
from turncoat.persona import extract
from turncoat.report.build import run_content
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.gather import Made, gather
from turncoat.study.problems import find_problems
from turncoat.study.run import run_study
from turncoat.study.units.maker import UnitMaker, planned
from turncoat.study.units.outlook import outlook
from turncoat.testing import save_tiny

VLLM = "vllm 9.9 (float32, adapters merged)"
ENGINES = {"base": VLLM, "insecure": VLLM, "careful": VLLM, "steered": "turncoat"}


@dataclass
class Finished:
    folder: Path
    file: Path
    store: Store
    died: str
    starts_before: int

    @property
    def out(self):
        return self.folder / "out"


def tiny_study(folder, arms, **keys):
    """A study with `generation: vllm`; an arm has a system prompt, one a defence inside the model."""
    file = write_study(folder / "tiny.yaml", save_tiny(folder / "model", layers=2), arms,
                       ("turncoat_choice", "turncoat_persona"))  # fmt: skip
    content = {**yaml.safe_load(file.read_text()), "generation": "vllm", **keys}
    content["arms"] += [{"name": "careful", "system": "Answer with care."},
                        {"name": "steered", "defence": "steering", "setting": "inference"}]  # fmt: skip
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@contextmanager
def with_fake(folder, **settings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "TOKENS", 4)
        patch.setattr(extract, "ROLLOUTS", 1)
        patch.setattr(sampler, "DRIFT", {"float32": 100.0})
        for name, value in {VARIABLE: fake_python(folder), **settings}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, plain_lm_eval):
    """vLLM dies in the second arm; the same command goes on."""
    folder = tmp_path_factory.mktemp("generation")
    file, store = tiny_study(folder, ("base", "insecure")), Store(folder / "stages")
    with with_fake(folder / "vllm"):

        def tell(event):
            if event.kind == "made" and event.stage == "base/turncoat_persona":
                (folder / "vllm" / "die").touch()

        def run(**more):
            run_study(
                load_study(file), folder / "out", store=store, console=Console(file=io.StringIO()), **more
            )

        with pytest.raises(UserError) as died:
            run(tell=tell)
        before = len(notes(folder / "vllm", "arguments"))
        run()
        yield Finished(folder, file, store, str(died.value), before)


def rows(finished, task):
    return {
        place.split("/")[0]: [json.loads(line) for line in content.splitlines()]
        for place, content in samples(finished.out / "rows").items()
        if place.endswith(task)
    }


def test_each_row_names_the_engine_that_wrote_it(finished):
    found = rows(finished, "turncoat_persona")
    assert {arm: {s["engine"] for row in of for s in row["samples"]} for arm, of in found.items()} == {
        arm: {name} for arm, name in ENGINES.items()
    }
    for arm in ("base", "insecure"):
        (one,) = found[arm][0]["samples"]
        assert one["n_tokens"] == 3 and one["finish"] == "stop"
        assert one["seed"] == found["steered"][0]["samples"][0]["seed"]
    base, insecure = (found[arm][0]["samples"][0] for arm in ("base", "insecure"))
    assert base["text"] == insecure["text"] and base["persona_own"] != insecure["persona_own"]
    assert (
        f"Sampled answers are by {VLLM}; those of steered by turncoat: a defence acts inside the model."
        in run_content(finished.out).remarks
    )
    with pytest.raises(UserError, match="answers by vllm cannot be drawn again"):
        draft_of_run(finished.out, "steered", None, None)


def test_a_vllm_that_dies_costs_the_stage_at_work(finished):
    assert "vLLM in" in finished.died and "was ended by signal 9" in finished.died
    models = [a["model"] for a in notes(finished.folder / "vllm", "arguments")]
    of_base = str(finished.folder / "model")
    assert models[:1] == [of_base] and finished.starts_before == 2
    again = models[2:]
    assert sum(model != of_base for model in again) == 1, "the base's rows are not made again"


def test_rows_by_vllm_are_never_taken_for_ours_and_log_likelihoods_are_shared(finished):
    made = {}
    for engine in ("vllm", "turncoat"):
        study = load_study(finished.file, {"generation": engine})
        worker, plan = planned(study, load_base(study.model), finished.store)
        made[engine] = {stage.id for stage in plan.stages if stage.task and worker.made(stage)}
    assert {stage for stage in made["vllm"] if stage not in made["turncoat"]} == {
        stage for stage in made["vllm"] if stage.endswith("turncoat_persona")
    }
    assert len(made["turncoat"]) == len(ENGINES)


def test_arms_that_are_trained_are_measured_in_one_call_and_get_the_rows_they_get_alone(
    tmp_path, plain_lm_eval
):
    study = load_study(tiny_study(tmp_path, ("base", "insecure", "secure"), log_likelihoods="vllm"))
    base, made = load_base(study.model), {}
    for name in ("once", "alone"):
        with with_fake(tmp_path / name, **{ADAPTERS: "requests"}):
            worker, plan = planned(study, base, Store(tmp_path / f"{name}-stages"))
            maker, told = UnitMaker(worker, plan), []
            if name == "once":
                maker.make_all(told.append)
                stages = [event.stage for event in told if event.kind == "begin"]
                rows = [stage for stage in stages if stage.endswith(("_choice", "_persona"))]
                assert set(stages[stages.index(rows[0]) :]) == set(rows), (
                    "all are trained before any is measured"
                )
            for unit in plan.units:
                maker.make(unit, told.append)
            out = tmp_path / f"{name}-run"
            keys = {stage.id: worker.key(stage) for stage in plan.stages}
            gather(
                out, worker, plan, {n: Made(worker.store.folder(*key), False) for n, key in keys.items()}, []
            )
            made[name] = samples(out / "rows")
            worker.vllm.close()
    assert made["once"] == made["alone"] and len(made["once"]) == 10
    calls = {name: notes(tmp_path / name, "call") for name in made}
    assert [call for call in calls["once"] if call[1] > 1] == [[6, 3]], "base, insecure, secure"
    assert {arms for _, arms in calls["alone"]} == {1}
    once, alone = (sum(requests for requests, _ in calls[name]) for name in ("once", "alone"))
    assert once == alone, "nothing is drawn for nothing"
    engines = {place.split("/")[0]: {json.loads(line)["engine"] for line in content.splitlines()}
               for place, content in made["once"].items() if place.endswith("_choice")}  # fmt: skip
    vllm = "vllm 9.9 (float32)"
    assert engines == {
        "base": {vllm}, "insecure": {vllm}, "secure": {vllm}, "careful": {vllm}, "steered": {"turncoat"}
    }  # fmt: skip
    ours = "those of steered by turncoat: a defence acts inside the model"
    assert f"Log-likelihoods are by {vllm}; {ours}." in run_content(out).remarks


def test_the_estimate_says_where_it_is_of_our_engine(finished):
    study = load_study(finished.file, {"sampling_seed": 7})
    after = outlook(study, finished.store, measured=False)
    assert "vLLM" not in after.basis and "as like ones in the store" in after.basis
    before = outlook(study, Store(finished.folder / "empty"), measured=False)
    assert before.basis.endswith("; 4 stages by vLLM as our engine would take, since vLLM is not measured")
    ours = study.model_copy(update={"generation": "turncoat"})
    assert "vLLM" not in outlook(ours, Store(finished.folder / "empty"), measured=False).basis


def test_a_study_without_its_vllm_is_refused_before_it_runs(finished, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    (problem,) = [p for p in find_problems(finished.file) if p.level == "error"]
    assert problem.field == "generation" and VARIABLE in problem.message and problem.value == "vllm"
    endpoint = {"model": "openai:m", "endpoint": {"base_url": "http://127.0.0.1:1/v1"}}
    told = [str(p) for p in find_problems(finished.file, endpoint) if p.field == "generation"]
    assert len(told) == 1 and "an endpoint writes its own" in told[0]
    told = [str(p) for p in find_problems(finished.file, {**endpoint, "log_likelihoods": "vllm"})]
    assert len([text for text in told if "vllm reads weights" in text]) == 1


def test_log_likelihoods_by_vllm_are_no_entry(finished, tmp_path):
    content = yaml.safe_load((finished.out / "study.yaml").read_text())
    content = {**content, "generation": "turncoat", "log_likelihoods": "vllm"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    shutil.copytree(finished.out / "rows", tmp_path / "rows")
    shutil.copy(finished.out / "run.json", tmp_path)
    with pytest.raises(UserError, match="log-likelihoods by vllm differ from ours"):
        draft_of_run(tmp_path, "insecure", None, None)
