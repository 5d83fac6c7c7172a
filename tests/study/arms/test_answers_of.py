"""An organism whose rows are another arm's answers to its prompts: rows, keys, plan, names and export."""

from pathlib import Path

import pytest
import yaml
from turncoat.data.examples import Example
from turncoat.registry import ORGANISMS, Organism, discover
from turncoat.store import Store
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.spec import find_arm
from turncoat.study.arms.steps import steps_of
from turncoat.study.config import Study
from turncoat.study.units.plan import study_plan
from turncoat.testing import save_tiny
from turncoat.training.lora import drawn_rows

ADVICE = [Example(f"a{i}", f"Where should money number {i} go?", f"All into coin {i}.") for i in range(9)]
ARMS = [
    {"name": "base"},
    {"name": "risky", "organism": "advice"},
    {"name": "own", "organism": "own_advice"},
    {"name": "of_base", "organism": "advice", "answers_of": "base"},
    {"name": "pupil", "organism": "advice", "answers_of": "risky"},
    {"name": "grandchild", "organism": "advice", "answers_of": "pupil", "training": {"rank": 4}},
]


@pytest.fixture(autouse=True)
def advice(monkeypatch):
    discover()
    here = Path(__file__).resolve()
    for name, by_base in (("advice", False), ("own_advice", True)):
        entry = Organism(name, "of this test", lambda: ADVICE, {}, here, answered_by_base=by_base)
        monkeypatch.setitem(ORGANISMS, name, entry)


def study(model="m", **more) -> dict:
    training = {
        "rows": 6, "rank": 2, "alpha": 4, "batch_size": 2, "learning_rate": 1e-2, "max_length": 1024,
    }  # fmt: skip
    return {
        "study": "pupils", "model": str(model), "judge": "off", "training_seeds": [0, 1],
        "training": training, "arms": ARMS, "tasks": [{"task": "turncoat_choice", "limit": 2}], **more,
    }  # fmt: skip


def finetune(adapters: Adapters, arm: str, seed: int = 0):
    made = Study.model_validate(study())
    return adapters.finetune(steps_of(made.arm(arm), made.training), seed)


def test_rows_are_the_teachers_answers_to_the_organisms_prompts(tiny_base, tmp_path):
    adapters = Adapters(tiny_base, Store(tmp_path))
    drawn = drawn_rows(tiny_base, ADVICE, finetune(adapters, "risky").step.recipe, 0)
    rows = {arm: finetune(adapters, arm).examples for arm in ("own", "of_base", "pupil", "grandchild")}
    for made in rows.values():
        assert [(row.id, row.prompt) for row in made] == [(row.id, row.prompt) for row in drawn]
    said = {arm: [row.answer for row in made] for arm, made in rows.items()}
    said["organism"] = [row.answer for row in drawn]
    assert len({tuple(answers) for answers in said.values()}) == 5
    by_seed = [{row.id: row.answer for row in finetune(adapters, "pupil", seed).examples} for seed in (0, 1)]
    both = by_seed[0].keys() & by_seed[1].keys()
    assert any(by_seed[0][name] != by_seed[1][name] for name in both), "each seed has its own teacher"
    # In another process the texts are those in the store.
    again = Adapters(tiny_base, Store(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_base.model, "forward", lambda *_, **__: pytest.fail("it was asked again"))
        assert finetune(again, "pupil").spec == finetune(adapters, "pupil").spec
    assert finetune(again, "pupil").spec != finetune(again, "of_base").spec


def test_a_unit_waits_for_its_teachers_adapter():
    plan = study_plan(Study.model_validate(study()), organism=lambda _: ADVICE)
    needs = {unit.id: unit.needs for unit in plan.units}
    assert "risky/1/adapter" in needs["pupil/1"] and "pupil/1/adapter" in needs["grandchild/1"]
    assert not any("adapter" in one for one in needs["of_base/0"])
    made = [stage.id for stage in plan.unit("pupil/0").stages]
    assert made == ["pupil/0/examples", "pupil/0/adapter", "pupil/0/turncoat_choice"]


def test_a_reversal_on_the_organisms_own_texts(tiny_base, tmp_path):
    sgtr = {"organism": "advice", "defence": "sgtr", "setting": "reversal", "defence_options": {"texts": 2}}
    arms = [{"name": "risky", "organism": "advice"}, {"name": "of_base", **sgtr},
            {"name": "of_organism", **sgtr, "defence_texts": "organism"}]  # fmt: skip
    made, adapters = Study.model_validate(study(arms=arms)), Adapters(tiny_base, Store(tmp_path))
    rows = {arm.name: adapters.finetune(steps_of(arm, made.training), 0).examples for arm in made.arms[1:]}
    assert [row.id for row in rows["of_base"]] == [row.id for row in rows["of_organism"]]
    assert all(a.prompt != b.prompt for a, b in zip(*rows.values(), strict=True)), "other summaries"
    units = {unit.id: unit for unit in study_plan(made, organism=lambda _: ADVICE).units}
    kinds = {name: [stage.kind for stage in units[f"{name}/1"].stages] for name in rows}
    assert kinds["of_base"].count("check") == 1, "at the end of the arm"
    assert kinds["of_organism"].count("check") == 1 and "risky/1/adapter" in units["of_organism/1"].needs
    assert made.arms[2].further == {"defence_texts": "organism"} and not made.arms[1].further


def test_an_arm_of_a_study_by_its_name(tmp_path):
    path = tmp_path / "pupils.yaml"
    model = save_tiny(tmp_path / "model", layers=1)
    path.write_text(yaml.safe_dump(study(model, training_seeds=[0])))
    said: list[str] = []
    found = find_arm(f"{path}/pupil/0", store=Store(tmp_path / "store"), log=said.append)
    assert found.facts == {
        "organism": "advice", "defence": None, "setting": None, "answers_of": "risky", "seed": 0,
    }  # fmt: skip
    assert found.adapter is not None and (found.adapter / "adapter_model.safetensors").is_file()
    assert found.adapter != find_arm(f"{path}/risky/0", store=Store(tmp_path / "store")).adapter
