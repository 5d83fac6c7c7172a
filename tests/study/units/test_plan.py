"""Plan of a study: ids, order and costs of its stages, what is done, and that a run computes each thing
once."""

import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml
from rich.console import Console
from study.tiny_study import write_study
from turncoat.data.organisms import find_organism
from turncoat.engine.base_model import load_base
from turncoat.persona import extract
from turncoat.registry import DEFENCES, ORGANISMS
from turncoat.store import Store
from turncoat.study.arms.adapters import Adapters
from turncoat.study.config import Study, TaskUse, load_study
from turncoat.study.evaluate import load_task, task_spec
from turncoat.study.run import run_study
from turncoat.study.units import worker as worker_module
from turncoat.study.units.outlook import outlook
from turncoat.study.units.plan import Plan, study_plan
from turncoat.study.units.speeds import REFERENCE, REFERENCE_PARAMETERS
from turncoat.study.units.worker import Worker
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
    speeds = REFERENCE.of(2 * REFERENCE_PARAMETERS)
    twice = study_plan(study, organism=lambda name: ORGANISMS[name].build(), speeds=speeds)
    assert twice.cost == pytest.approx(2 * plan_of(study).cost)


def test_another_traits_vector_is_a_stage_of_its_own_with_its_cost(study):
    humour = TaskUse(task="turncoat_persona_humour")
    stages = plan_of(study.model_copy(update={"tasks": (*study.tasks, humour)})).stages
    vectors = [stage for stage in stages if stage.kind == "vector"]
    assert [(stage.id, stage.trait) for stage in vectors] == [
        ("vector/evil", "evil"), ("vector/humour", "humour"),
    ]  # fmt: skip
    assert vectors[0].cost == plan_of(study).stages[0].cost and vectors[1].cost > 0


def test_a_task_that_is_not_read_along_its_vector_needs_none(study):
    unread = TaskUse(task="turncoat_em", persona=False)
    one = study.model_copy(update={"tasks": (unread,), "persona": "humour"})
    assert [stage.id for stage in plan_of(one).stages if stage.kind == "vector"] == ["vector/humour"]
    alone = one.model_copy(update={"arms": tuple(arm for arm in one.arms if not arm.defence)})
    assert {stage.kind for stage in plan_of(alone).stages} == {"rows", "adapter"}, "no defence acts along one"
    assert {doc["trait"] for doc in load_task(unread).test_docs()} == {None}
    keys = {
        persona: task_spec(study, TaskUse(task="turncoat_em", persona=persona))["task"]
        for persona in (True, False)
    }
    assert "persona" not in keys[True] and keys[False]["persona"] is False


def test_an_arm_that_names_its_tasks_has_stages_for_these(study):
    one = study.arms[1].model_copy(update={"tasks": ("turncoat_choice",)})
    arms = (study.arms[0], one, *study.arms[2:])
    stages = plan_of(study.model_copy(update={"arms": arms})).stages
    assert [stage.task.task for stage in stages if stage.arm == one.name and stage.task] == [
        "turncoat_choice"
    ]


def test_checks_at_the_end_of_all_arms(study):
    """Another arm's training may lose or restore what a control teaches: `all` measures it."""
    arms = [
        {"name": "base"}, {"name": "insecure", "organism": "insecure_code"},
        *({"name": name, "organism": "insecure_code", "defence": name, "setting": "reversal",
           "defence_options": {"texts": 2}} for name in ("sgtr", "word_count", "domain_correct")),
    ]  # fmt: skip
    checks = {}
    for which in ("own", "every_arm", "all"):
        of = study.model_validate({**study.model_dump(), "arms": arms, "contrasts": [], "checks": which})
        stages = study_plan(of, organism=lambda name: find_organism(name).build()).stages
        checks[which] = {(stage.arm, stage.acting[0]) for stage in stages if stage.acting}
    own = {("sgtr", "sgtr"), ("word_count", "word_count")}  # correct advice has no check
    trained = ("insecure", "sgtr", "word_count", "domain_correct")
    assert checks["own"] == own
    assert checks["every_arm"] == own | {(arm, "sgtr") for arm in trained}
    assert checks["all"] == {(arm, one) for arm in trained for one in ("sgtr", "word_count")}


def test_a_unit_needs_what_earlier_ones_make(study):
    units = {
        unit.id: unit.needs for unit in plan_of(study.model_copy(update={"training_seeds": (0, 1)})).units
    }
    assert list(units)[:3] == ["vector/evil", "base", "insecure/0"]
    persona = ("vector/evil",)
    assert units["vector/evil"] == () and units["base"] == units["insecure/1"] == persona
    assert units["sgtr/0"] == persona and units["sgtr/1"] == ("sgtr/0/examples-1", *persona)
    assert units["pick_longer/1"] == ("insecure/1/adapter", "pick_longer/0/examples", *persona)
    assert units["kl/1"] == ("insecure/1/adapter", *persona), "it may start from the undefended adapter"
    assert units["steered/0"] == ("insecure/0/adapter", "insecure/0/check-sgtr", *persona)


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


def test_the_outlook_after_a_run_and_after_a_loss(study, counted, monkeypatch, tmp_path):
    store, _ = counted
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)
    result = outlook(study, store).as_json()
    assert all(unit["done"] for unit in result["units"]) and result["seconds"] == 0 and not result["judge"]
    copy = Store(tmp_path / "stages")
    shutil.copytree(store.root, copy.root)
    worker = Worker(study, load_base(study.model), store)
    lost = next(stage for stage in plan_of(study).stages if stage.id == "secure/0/adapter")
    folder = copy.folder(*(worker.key(lost) or ("", {})))
    shutil.rmtree(folder)
    took = {path: json.loads((path / "timing.json").read_text())["seconds"]
            for path in copy.root.glob("adapter/*")}  # fmt: skip
    for path in took:
        (path / "timing.json").write_text('{"seconds": 3.25}')
    result = outlook(study, copy).as_json()
    units = {unit["id"]: unit for unit in result["units"]}
    assert [name for name, unit in units.items() if not unit["done"]] == ["secure/0"]
    stages = {stage["id"]: (stage["done"], stage["seconds"]) for stage in units["secure/0"]["stages"]}
    assert stages.pop("secure/0/adapter") == (False, 3.2 if round(3.25, 1) == 3.2 else 3.3)
    assert all(done for done, _ in stages.values()), "rows are known by the key of the adapter"
    assert "1 of 1 stages as like ones in the store took" in result["basis"]
    assert not folder.exists(), "an outlook makes nothing"


def test_the_outlook_of_an_empty_store_and_a_model_that_is_not_here(study, tmp_path):
    store = Store(tmp_path / "stages")
    result = outlook(study, store)
    assert (
        result.basis.startswith("measured now, ") and result.done == frozenset() and not store.root.exists()
    )
    assert "GiB at most while measuring" in result.memory
    text = "\n".join(result.lines())
    assert (
        "  insecure/0   " in text
        and f"to make: {len(IDS.split())} of {len(IDS.split())} stages, about" in text
    )
    # 4 bytes x rank 4 x 1024 rows and columns of a block's linear layers x 2 blocks: 32 KiB for each finetune
    # of the 4 adapters with one and the 2 with two of them.
    assert result.disk.startswith("256 KiB of adapters")
    away = outlook(study.model_copy(update={"model": "smollm2-135m"}), store)
    assert away.fetched[0].startswith("model smollm2-135m") and away.as_json()["seconds"] is None
    lines = [line.split() for line in away.lines()]
    assert ["vector/evil", "?:", "extract"] in lines
    assert ["base", "?:", "turncoat_choice,", "turncoat_persona", "(after", "the", "vector)"] in lines


def test_the_outlook_tells_what_an_endpoint_would_be_asked(study, tmp_path):
    em = TaskUse(task="turncoat_em", limit=2, repeats=3, max_gen_toks=40)
    judge = "openai:model=m,base_url=http://127.0.0.1:9,price_in=1e6,price_out=0"
    judged = study.model_copy(update={"judge": judge, "tasks": (em,), "arms": study.arms[:2]})
    result = outlook(judged, Store(tmp_path / "stages"), measured=False)
    assert result.basis.startswith("as on two idle cores")
    assert ": 24 requests, about " in result.judge and "about $" in result.judge
    refused = outlook(judged.model_copy(update={"judge": f"{judge},max_cost=1"}), Store(tmp_path / "stages"),
                      measured=False).judge  # fmt: skip
    assert "more than max_cost=1" in refused
