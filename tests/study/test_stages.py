"""Stages of an arm: their order, what arms share, and what their keys depend on."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import turncoat
from turncoat.lm import sampler
from turncoat.lm.catalogue import task_files
from turncoat.registry import DEFENCES, ORGANISMS, discover
from turncoat.store import Store
from turncoat.study import stages as stages_module
from turncoat.study.config import Study, TaskUse
from turncoat.study.stages import Stages, steps_of

ARMS = [
    {"name": "base"},
    {"name": "insecure", "organism": "insecure_code"},
    {"name": "secure", "organism": "secure_code"},
    {"name": "before", "organism": "insecure_code", "defence": "sgtr", "setting": "prevention", "defence_options": {"texts": 2}},
    {"name": "after", "organism": "insecure_code", "defence": "sgtr", "setting": "reversal", "defence_options": {"texts": 2},
     "defence_training": {"epochs": 3}},
    {"name": "alone", "defence": "sgtr", "defence_options": {"texts": 2}},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _discovered() -> None:
    discover()


def study(**changes) -> Study:
    content = {
        "study": "s",
        "model": "m",
        "training": {"rows": 8},
        "arms": ARMS,
        "tasks": [{"task": "turncoat_choice"}],
    }
    return Study.model_validate({**content, **changes})


def names(arm: str, **changes) -> list[str]:
    made = study(**changes)
    return [step.name for step in steps_of(made.arm(arm), made)]


def test_prevention_trains_the_defence_first_and_reversal_the_organism():
    assert names("base") == []
    assert names("insecure") == ["insecure_code"]
    assert names("before") == ["sgtr", "insecure_code"]
    assert names("after") == ["insecure_code", "sgtr"]
    assert names("alone") == ["sgtr"]


def test_a_defence_uses_all_its_examples_and_the_studys_recipe_unless_told_otherwise():
    made = study(training={"rows": 8, "learning_rate": 0.01, "epochs": 2})
    organism, defence = steps_of(made.arm("after"), made)
    assert organism.recipe == made.training
    assert (defence.recipe.rows, defence.recipe.epochs, defence.recipe.learning_rate) == (None, 3, 0.01)
    assert dict(defence.options) == {**DEFENCES["sgtr"].options, "texts": 2}
    (without,) = steps_of(made.arm("alone"), made)
    assert without.recipe.epochs == 2


@pytest.fixture
def stages(tiny_base, tmp_path, monkeypatch) -> Stages:
    def short(self, step, tick=None):
        return ORGANISMS["insecure_code"].build()[:12] if step.kind == "defence" else ORGANISMS[step.name].build()[:12]

    monkeypatch.setattr(Stages, "examples", short)
    return Stages(study(), tiny_base, Store(tmp_path))


def test_arms_share_the_stages_they_have_in_common(stages):
    made = stages.study
    steps = {arm.name: steps_of(arm, made) for arm in made.arms}
    spec = stages.adapter_spec
    assert spec(steps["after"][:1], 0) == spec(steps["insecure"], 0)
    assert spec(steps["before"][:1], 0) == spec(steps["alone"], 0)
    everything = [spec(steps[name], 0) for name in ("insecure", "secure", "before", "after", "alone")]
    assert len({json.dumps(one, sort_keys=True) for one in everything}) == 5
    assert spec(steps["insecure"], 0)["below"] is None
    assert spec(steps["before"], 0)["below"] != spec(steps["after"], 0)["below"]


def test_an_adapters_key_changes_with_all_that_determines_it(stages, tiny_base, tmp_path, monkeypatch):
    def spec(seed: int = 0, **changes) -> dict:
        made = study(**changes)
        return Stages(made, tiny_base, Store(tmp_path)).adapter_spec(steps_of(made.arm("after"), made), seed)

    reference = spec()
    assert spec() == reference
    assert spec(seed=1) != reference
    for training in ({"rows": 7}, {"rows": 8, "learning_rate": 0.01}, {"rows": 8, "rank": 4}):
        assert spec(training=training) != reference
    assert spec(batch_size=4, sampling_seed=9, persona="x", training_seeds=[4]) == reference
    monkeypatch.setattr(tiny_base, "fingerprint", "other weights")
    assert spec() != reference


def test_the_organisms_recipe_matters_below_a_defence(stages):
    """Only the organism's rows change; the defence on top must not be taken from the store."""
    made = study(training={"rows": 7})
    below = [steps_of(one.arm("after"), one) for one in (study(), made)]
    assert below[0][1] == below[1][1]
    assert stages.adapter_spec(below[0], 0) != stages.adapter_spec(below[1], 0)


def test_an_evaluations_key_changes_with_all_that_determines_it(stages, tmp_path, monkeypatch):
    use = TaskUse(task="turncoat_persona", limit=2)
    reference = stages.evaluation_spec(use, None)
    assert stages.evaluation_spec(use, None) == reference
    for other in (
        stages.evaluation_spec(use, Path("some/adapter")),
        stages.evaluation_spec(TaskUse(task="turncoat_persona", limit=3), None),
        stages.evaluation_spec(TaskUse(task="turncoat_persona", limit=2, repeats=1), None),
        stages.evaluation_spec(TaskUse(task="turncoat_em", limit=2), None),
    ):
        assert other != reference
    assert {"score.py", "turncoat_persona.yaml", "evaluation_questions.jsonl"} <= set(reference["source"])
    changed = Stages(study(sampling_seed=1), stages.base, Store(tmp_path))
    assert changed.evaluation_spec(use, None) != reference
    other_batch = Stages(study(batch_size=3), stages.base, Store(tmp_path))
    assert other_batch.evaluation_spec(use, None) == reference


def _imported(path: Path) -> set[str]:
    """Modules of turncoat that a file imports, in any form."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("turncoat"):
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("turncoat")}
    return found


def _all_behind(first: Path) -> set[str]:
    """Files of the package that `first` needs, directly or not, relative to the package."""
    package = Path(turncoat.__file__).parent
    found: set[Path] = set()
    todo = [first]
    while todo:
        for module in _imported(todo.pop()):
            path = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
            if path.is_file() and path not in found:
                found.add(path)
                todo.append(path)
    return {path.relative_to(package).as_posix() for path in found}


# They decide where things are, what they are called and how errors read, not what comes out of a stage.
NO_PART = {"errors.py", "paths.py", "registry.py", "store.py", "data/registry_models.py", "persona/questions.py"}
# Their code is part of the key of the persona vector, which is part of an evaluation's.
IN_PERSONA_KEY = {"persona/extract.py", "persona/vectors.py"}


def _keyed(modules) -> set[str]:
    package = Path(turncoat.__file__).parent
    return {Path(module.__file__).relative_to(package).as_posix() for module in modules}


@pytest.mark.parametrize("task", ["turncoat_choice", "turncoat_em", "turncoat_persona"])
def test_all_code_behind_an_evaluation_is_in_its_key(task):
    needed = _all_behind(task_files()[task].with_name("score.py")) | _all_behind(Path(stages_module.model.__file__))
    missing = needed - NO_PART - IN_PERSONA_KEY - _keyed(stages_module._EVALUATION_CODE)
    assert missing <= {"data/examples.py"}, "changed code there would serve older rows"


def test_all_code_behind_a_training_is_in_its_key():
    needed = _all_behind(Path(stages_module.lora.__file__))
    # The base's weights and the examples themselves are in the key; recipe.py's values are too.
    missing = needed - NO_PART - _keyed(stages_module._TRAINING_CODE) - {"data/examples.py", "training/recipe.py"}
    assert missing <= {"lm/base_model.py"}


def test_changed_code_changes_the_key(stages, tmp_path, monkeypatch):
    use = TaskUse(task="turncoat_choice")
    reference = stages.evaluation_spec(use, None)
    source = Path(sampler.__file__).read_text(encoding="utf-8")
    for text, same in ((source + "\n# a comment\n", True), (source + "\nANOTHER = 1\n", False)):
        copy = tmp_path / "sampler.py"
        copy.write_text(text, encoding="utf-8")
        monkeypatch.setattr(sampler, "__file__", str(copy))
        assert (stages.evaluation_spec(use, None) == reference) is same
