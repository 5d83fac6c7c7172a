"""Folders with plug-ins: those that ship, and those that the user includes (`--include-path DIR`).

A folder of the user's may be flat or hold subfolders. What a file is follows from the file:

    *.yaml in a folder called `traits`      a persona trait
    any other *.yaml with a `task:`         an lm-eval task
    *.py that imports defence, organism     registers defences, organisms or judges; imported
         or judge from `turncoat`

Names that start with `_`, `.` or `test_` are skipped. Two plug-ins of one kind with the same name are an
error.
"""

from __future__ import annotations

import ast
import importlib.util
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.paths import baselines_dir, organisms_dir, tasks_dir

KINDS = ("organism", "defence", "judge")
SHIPPED_JUDGES = {
    "embedded": "turncoat.judges.embedded.judge",
    "local": "turncoat.judges.prompted.local",
    "openai": "turncoat.judges.prompted.openai",
}
"""Judges that ship with Turncoat, and the module that registers each."""
_REASON = 300  # characters of an error that are shown
_included: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Declaration:
    """A decorator's arguments.

    Attributes:
        kind: Out of `KINDS`.
        name: What a study calls it.
        keywords: The keyword arguments that are literals (`summary`, `settings`, `control`, ...).
        source: The file.
    """

    kind: str
    name: str
    keywords: dict[str, Any]
    source: Path


def include(folders: Iterable[Path]) -> None:
    """Add folders of the user's for the rest of this process.

    Raises:
        UserError: One is not a folder.
    """
    global _included
    for folder in folders:
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise UserError(f"--include-path {folder}: there is no such folder")
        if path not in _included:
            _included = (*_included, path)


def included() -> tuple[Path, ...]:
    """The folders of the user's, in the order given."""
    return _included


def code_files() -> Iterator[Path]:
    """Python files that register organisms, defences and judges."""
    for folder in (organisms_dir(), baselines_dir()):
        yield from (path.resolve() for path in sorted(folder.glob("*.py")) if not path.name.startswith("_"))
    for folder in _included:
        yield from (path for path in _files(folder, ".py") if _registers(path))


def declarations() -> list[Declaration]:
    """Declarations of the shipped judges and all plug-in files, in the order in which they would register.

    A name that is not a literal cannot be read and is left out; a keyword that is not a literal likewise.

    Raises:
        UserError: A file is not Python, or two plug-ins of one kind have the same name.
    """
    paths = [*map(_source, SHIPPED_JUDGES.values()), *code_files()]
    declared = [declaration for path in paths for declaration in _declared(path)]
    for kind in KINDS:
        by_name(kind, ((one.name, one.source) for one in declared if one.kind == kind))
    return declared


def task_folders() -> tuple[Path, ...]:
    """Folders with tasks: the one that ships, then the user's."""
    return (tasks_dir(), *_included)


def task_yamls(folders: tuple[Path, ...]) -> Iterator[Path]:
    """YAML files in `folders` that may be tasks."""
    for folder in folders:
        yield from (path for path in _files(folder, ".yaml") if path.parent.name != "traits")


def trait_yamls() -> Iterator[Path]:
    """YAML files of persona traits."""
    yield from sorted((tasks_dir() / "persona" / "traits").glob("*.yaml"))
    for folder in _included:
        yield from (path for path in _files(folder, ".yaml") if path.parent.name == "traits")


def by_name(kind: str, named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Name -> file.

    Raises:
        UserError: Two files have one name.
    """
    files: dict[str, Path] = {}
    for name, path in named:
        if files.setdefault(name, path) != path:
            raise UserError(
                f"{kind} '{name}' is defined twice: in {files[name]} and in {path}; rename one of them"
            )
    return files


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    for path in sorted(folder.rglob(f"*{suffix}")):
        if not any(part.startswith(("_", ".", "test_")) for part in path.relative_to(folder).parts):
            yield path


def broken(path: Path, error: BaseException) -> UserError:
    """The mistake that a plug-in file's error is: the last line of its folder that ran, and the reason."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(path.parent)]
    file, line = (own[-1].filename, own[-1].lineno) if own else (str(path), None)
    reason = str(error)
    if isinstance(error, SyntaxError):
        file, line, reason = error.filename or str(path), error.lineno, error.msg
    where = f"{file}, line {line}" if line else file
    reason = " ".join(reason.split())[:_REASON]
    return UserError(
        f"{where}: {type(error).__name__}: {reason}; mend it, or move the file out of --include-path"
    )


def syntax_tree(path: Path) -> ast.Module:
    """A plug-in file as a syntax tree.

    Raises:
        UserError: It is not Python.
    """
    try:
        return ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, ValueError, OSError) as error:
        raise broken(path, error) from error


def _registers(path: Path) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and (node.module or "").partition(".")[0] == "turncoat"
        and {*KINDS} & {alias.name for alias in node.names}
        for node in ast.walk(syntax_tree(path))
    )


def _source(module: str) -> Path:
    package = importlib.util.find_spec(module.partition(".")[0])
    assert package is not None and package.origin is not None  # this package itself
    return Path(package.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _declared(path: Path) -> Iterator[Declaration]:
    for node in syntax_tree(path).body:
        for call in getattr(node, "decorator_list", ()):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args):
                continue
            name = _literal(call.args[0])
            if call.func.id in KINDS and isinstance(name, str):
                keywords = {k.arg: _literal(k.value) for k in call.keywords if k.arg is not None}
                literal = {key: value for key, value in keywords.items() if value is not None}
                yield Declaration(call.func.id, name, literal, path)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
