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
from collections.abc import Iterable, Iterator
from pathlib import Path

from turncoat.errors import UserError
from turncoat.paths import baselines_dir, organisms_dir, tasks_dir

_DECORATORS = {"defence", "organism", "judge"}
_included: tuple[Path, ...] = ()


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


def _registers(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a Python file: {error}") from error
    return any(
        isinstance(node, ast.ImportFrom)
        and (node.module or "").partition(".")[0] == "turncoat"
        and _DECORATORS & {alias.name for alias in node.names}
        for node in ast.walk(tree)
    )
