"""Plug-ins (`tasks/`, `baselines/`, `benchmark/organisms/`) import the public faces and nothing else of
Turncoat."""

import ast
import re
from pathlib import Path

import pytest
from turncoat.commands.look.listing import everything
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import task_files
from turncoat.import_closure import FACES
from turncoat.paths import PACKAGE, baselines_dir, organisms_dir, tasks_dir
from turncoat.persona.traits import trait_names
from turncoat.plug_ins import include
from turncoat.registry import DEFENCES, ORGANISMS, discover
from turncoat.study.config import TaskUse
from turncoat.study.evaluate import load_task

ROOT = Path(__file__).parents[1]
FILES = sorted(
    [
        *tasks_dir().rglob("*.py"),
        *tasks_dir().rglob("*.yaml"),
        *baselines_dir().rglob("*.py"),
        *organisms_dir().rglob("*.py"),
    ]
)


def named_modules(path: Path) -> set[str]:
    """Modules of Turncoat's that a Python file or a task's YAML names."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return {name.rpartition(".")[0] for name in re.findall(r"!function (turncoat(?:\.\w+)+)", text)}
    nodes = list(ast.walk(ast.parse(text)))
    modules = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {module for module in modules if module.partition(".")[0] == "turncoat"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(path.parents[1]).as_posix())
def test_a_plug_in_imports_the_faces_only(path):
    assert named_modules(path) <= set(FACES), f"{path}: import from {' or '.join(FACES)}"


def test_the_contributors_guide_imports_the_faces_only():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:from|import) (turncoat(?:\.\w+)*)", guide)) <= set(FACES)


def test_a_deep_import_would_be_noticed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from turncoat.judges.rates import ratio\n", encoding="utf-8")
    assert named_modules(file) == {"turncoat.judges.rates"}
    task = tmp_path / "mine.yaml"
    task.write_text("aggregation: !function turncoat.judges.rates.ratio\n", encoding="utf-8")
    assert named_modules(task) == {"turncoat.judges.rates"}


def test_the_core_names_no_task_and_no_organism():
    discover()
    plugged = {*task_files(), *ORGANISMS}
    for path in sorted(PACKAGE.rglob("*.py")):
        # Pinned sets have names of their own; tools and the bench measure what is shipped.
        if {"_plugins", "tools", "bench"} & set(path.parts) or path.name == "advice.py":
            continue
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        named = {
            node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not named & plugged, path


DEFENCE = """from turncoat.defences import Example, defence


@defence("{name}", settings=("prevention",), summary="mine")
def mine(context):
    return [Example("a", "p", "x")]
"""
TASK = "# Mine.\ntask: {name}\nmetric_list:\n  - {{metric: acc}}\n"
TRAIT = """description: d
instructions: [{positive: a, negative: b}]
extraction_questions: ["x?"]
"""


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A user's folder with one plug-in of three kinds, in a subfolder each, and files that are none."""
    for name, text in {
        "tasks/mine.yaml": TASK.format(name="my_task"),
        "tasks/score.py": "raise RuntimeError('a task\\'s code is not a plug-in file')\n",
        "tasks/test_mine.py": DEFENCE.format(name="my_test"),
        "traits/bossy.yaml": TRAIT,
        "defences/mine.py": DEFENCE.format(name="my_defence"),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_users_folder_holds_tasks_traits_and_registered_functions(own_folder):
    discover([own_folder])
    assert task_files()["my_task"] == own_folder / "tasks" / "mine.yaml"
    assert "bossy" in trait_names()
    assert DEFENCES["my_defence"].source == own_folder / "defences" / "mine.py"
    assert "my_test" not in DEFENCES


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        (
            "again.yaml",
            TASK.format(name="turncoat_choice"),
            "task 'turncoat_choice' .*turncoat_choice.yaml .*again.yaml",
        ),
        ("traits/evil.yaml", TRAIT, "persona trait 'evil' .*evil.yaml and in .*evil.yaml"),
        ("again.py", DEFENCE.format(name="sgtr"), "defence 'sgtr' .*sgtr.py and in .*again.py"),
    ],
)
def test_two_plug_ins_of_one_name_are_both_named(tmp_path, file, text, names):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"{names}; rename one"):
        everything([tmp_path])


BROKEN = {
    "mine.py": (
        "from turncoat.defences import defence\nimport nosuch\n",
        "mine.py, line 2: ModuleNotFoundError: No ",
    ),
    "tasks/mine.py": (
        "from turncoat.defences import defence\nx = (\n",
        r"mine.py, line 2: SyntaxError: '\(' was ",
    ),
    "loud.py": (
        "from turncoat.defences import defence\nraise SystemExit('bye')\n",
        "loud.py, line 2: SystemExit: bye",
    ),
    "mine.yaml": ("task: mine\n  metric_list: []\n", "mine.yaml is not YAML: line 2: mapping values"),
    "list.yaml": ("task: mine\nmetric_list: acc\n", "list.yaml, metric_list: 'acc' is not accepted"),
    "meta.yaml": (
        "task: mine\nmetadata: 3\n",
        "meta.yaml, metadata: 3 is not accepted; accepted: {key: value}",
    ),
    "part.yaml": (
        "include: gone.yaml\ntask: mine\n",
        "gone.yaml: No such file or directory .included by .*part.yaml",
    ),
    "number.yaml": ("task: 5\n", "number.yaml, task: 5 is not accepted; accepted: a name"),
    "self.yaml": ("include: self.yaml\ntask: mine\n", "self.yaml, include: self.yaml includes itself"),
    "traits/sly.yaml": (
        "description: sly\nextraction_questions: why\n",
        "sly.yaml, line 2, extraction_questions: 'why' is not accepted; accepted: a list",
    ),
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_file_is_named_with_line_and_reason(tmp_path, file):
    text, message = BROKEN[file]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        print(discover([tmp_path]), everything())
    assert "\n" not in str(caught.value)


def test_a_task_that_cannot_be_made_is_named_with_line_and_reason(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "task: mine\noutput_type: generate_until\ncustom_dataset: !function code.rows\n", encoding="utf-8"
    )
    (tmp_path / "code.py").write_text("import nosuch\n", encoding="utf-8")
    include([tmp_path])
    with pytest.raises(UserError, match=r"code\.py, line 1: ModuleNotFoundError: No module named 'nosuch'"):
        load_task(TaskUse(task="mine"))
