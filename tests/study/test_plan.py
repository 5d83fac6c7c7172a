"""Plan of a study: ids, order and costs of its stages, what is done, and that a run computes each thing
once."""

import io
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml
from rich.console import Console
from study.tiny_study import write_study
from turncoat.engine.base_model import load_base
from turncoat.persona import extract
from turncoat.registry import DEFENCES, ORGANISMS
from turncoat.store import Store
from turncoat.study import worker as worker_module
from turncoat.study.adapters import Adapters
from turncoat.study.config import Study, TaskUse, load_study
from turncoat.study.plan import Plan, study_plan
from turncoat.study.run import run_study
from turncoat.study.worker import Worker
from turncoat.testing import save_tiny

KL = {"name": "kl", "organism": "insecure_code", "defence": "kl", "setting": "in_training"}
STEERED = {"name": "steered", "organism": "insecure_code", "defence": "steering", "setting": "inference"}
TASKS = ("turncoat_choice", "turncoat_persona")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("plan")
    path = write_study(folder / "tiny.yaml", save_tiny(folder / "model", layers=2), tasks=TASKS)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["arms"] += [KL, STEERED]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_study(path)


def plan_of(study: Study) -> Plan:
    return study_plan(study, organism=lambda name: ORGANISMS[name].build())


IDS = """
vector/evil
base/turncoat_choice base/turncoat_persona
insecure/0/adapter insecure/0/check-sgtr insecure/0/turncoat_choice insecure/0/turncoat_persona
secure/0/adapter secure/0/check-sgtr secure/0/turncoat_choice secure/0/turncoat_persona
sgtr/0/examples-1 sgtr/0/adapter-1 sgtr/0/check-sgtr
sgtr/0/adapter sgtr/0/check-sgtr-2 sgtr/0/turncoat_choice sgtr/0/turncoat_persona
pick_longer/0/adapter-1 pick_longer/0/examples pick_longer/0/adapter
pick_longer/0/check-pick_longer pick_longer/0/check-sgtr
pick_longer/0/turncoat_choice pick_longer/0/turncoat_persona
kl/0/examples kl/0/adapter kl/0/check-sgtr kl/0/turncoat_choice kl/0/turncoat_persona
steered/0/adapter steered/0/check-sgtr steered/0/turncoat_choice steered/0/turncoat_persona
"""


def test_ids_say_what_a_stage_is_whatever_the_other_arms(study):
    assert [stage.id for stage in plan_of(study).stages] == IDS.split()
    more = study.model_copy(update={"training_seeds": (0, 1), "arms": study.arms[::-1]})
    assert set(IDS.split()) < {stage.id for stage in plan_of(more).stages}


def test_what_an_earlier_stage_makes_costs_nothing(study):
    costs = {stage.id: stage.cost for stage in plan_of(study).stages}
    free = {name for name, cost in costs.items() if cost == 0}
    assert free == {"pick_longer/0/adapter-1", "steered/0/adapter", "steered/0/check-sgtr"}
    assert costs["kl/0/adapter"] == 1.5 * costs["insecure/0/adapter"]
    assert plan_of(study).cost == pytest.approx(sum(costs.values()))
    assert study_plan(study, organism=lambda name: ORGANISMS[name].build(), scale=2.0).cost == pytest.approx(
        2 * plan_of(study).cost
    )


def test_another_traits_vector_is_a_stage_of_its_own_with_its_cost(study):
    humour = TaskUse(task="turncoat_persona_humour")
    vectors = plan_of(study.model_copy(update={"tasks": (*study.tasks, humour)})).vectors
    assert [(stage.id, stage.trait) for stage in vectors] == [
        ("vector/evil", "evil"), ("vector/humour", "humour"),
    ]  # fmt: skip
    assert vectors[0].cost == plan_of(study).vectors[0].cost and vectors[1].cost > 0


@pytest.fixture(scope="module")
def counted(study, tmp_path_factory, plain_lm_eval) -> tuple[Store, Counter[str]]:
    """The study run once: its store, and how often each thing was asked for."""
    folder, counts = tmp_path_factory.mktemp("run"), Counter[str]()

    def count(name: str, function: Any) -> Any:
        def counting(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*args, **options)

        return counting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "TOKENS", 4)
        patch.setattr(extract, "ROLLOUTS", 1)
        for table in (ORGANISMS, DEFENCES):
            for name, entry in list(table.items()):
                patch.setitem(table, name, replace(entry, build=count(name, entry.build)))
        patch.setattr(Adapters, "_new_finetune", count("keys of adapters", Adapters._new_finetune))
        patch.setattr(worker_module, "evaluation_spec", count("keys of rows", worker_module.evaluation_spec))
        run_study(study, folder / "out", store=Store(folder / "stages"), console=Console(file=io.StringIO()))
    return Store(folder / "stages"), counts


def test_a_run_asks_for_each_thing_once(counted):
    _, counts = counted
    assert counts == {
        **dict.fromkeys(("insecure_code", "secure_code", "sgtr", "pick_longer", "kl", "steering"), 1),
        "keys of adapters": 6,  # pick_longer starts from the arm insecure's adapter, steered has it
        "keys of rows": 14,
    }


def test_all_but_examples_is_done_after_a_run(study, counted, monkeypatch):
    store, _ = counted
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)
    worker = Worker(study, load_base(study.model), store)
    assert {stage.id for stage in plan_of(study).stages if not worker.done(stage)} == {
        "sgtr/0/examples-1", "pick_longer/0/examples", "kl/0/examples",
    }  # fmt: skip
