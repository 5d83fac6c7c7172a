"""Import tracing: the package's files that a piece of code needs, directly or not. A stage's key covers all
of them.

    code_key(Path(__file__))     # changes when anything that this file imports changes

Imports are read, not run, so that a stage's key costs milliseconds. Through a public face
(`turncoat.defences`, `turncoat.tasks`) each name is followed to the module that defines it, so that a plug-in
depends on what it uses alone. A module's data belong to it: the YAML files in the folder of its name beside
it (`families/*.yaml` of `families.py`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from turncoat.paths import PACKAGE
from turncoat.store import code_digest

FACES = ("turncoat.defences", "turncoat.tasks")

# They decide where things are, what they are called and how errors read, not what comes out of a stage.
_WITHOUT_EFFECT = frozenset(
    {
        "import_closure.py",
        "errors.py",
        "paths.py",
        "plug_ins.py",
        "registry.py",
        "safe_files.py",
        "data/registry_models.py",
        "data/fetch.py",
        "data/encrypted_archive.py",
    }
)


def import_closure(files: Iterable[Path], names: Iterable[str] = ()) -> list[Path]:
    """The package's files that `files` and `names` import, directly or not, sorted; `files` themselves are
    left out.

    Args:
        files: Python files, of the package or not.
        names: Dotted names of modules or of what is in them, such as "turncoat.tasks.ratio"; their files
            count too.
    """
    closure = {path for name in names for path in _files_of(name)}
    todo = [*closure, *files]
    while todo:
        for path in _imported(todo.pop()):
            if path not in closure:
                closure.add(path)
                todo.append(path)
    data = {file for path in closure for file in path.with_suffix("").glob("*.yaml")}
    return sorted(
        path
        for path in closure | data
        if (name := path.relative_to(PACKAGE).as_posix()) not in _WITHOUT_EFFECT
        and not name.startswith("store/")
    )


def code_key(*files: Path) -> str:
    """Short SHA-256 (hex) of what Python files do, with everything of the package that they import."""
    return code_digest([*files, *import_closure(files)])


def module_file(name: str) -> Path | None:
    """The file of a module or package of Turncoat's; None if `name` is neither (a function in a module,
    say)."""
    path = PACKAGE.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _files_of(name: str) -> list[Path]:
    """The files behind one dotted name: of the module itself, or of the module that it is defined in."""
    module, _, attribute = name.rpartition(".")
    if module in FACES:
        name = _re_exported(module).get(attribute, name)
        module = name.rpartition(".")[0]
    return [path for path in (module_file(module), module_file(name)) if path is not None]


@cache
def _re_exported(face: str) -> dict[str, str]:
    """Name in a face -> the dotted name behind it."""
    path = module_file(face)
    assert path is not None
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "turncoat":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "turncoat"}
    return tuple(sorted({path for name in names for path in _files_of(name)}))
