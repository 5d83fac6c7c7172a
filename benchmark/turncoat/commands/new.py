"""`turncoat new`: a folder with a plug-in of your own, a study that uses it and a test, to start from."""

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from turncoat.errors import UserError
from turncoat.safe_files import write_files

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Kind(StrEnum):
    """Kinds of plug-ins."""

    TASK = "task"
    DEFENCE = "defence"
    ORGANISM = "organism"
    JUDGE = "judge"
    TRAIT = "trait"


def new(
    kind: Annotated[Kind, typer.Argument(help="Kind of the plug-in.")],
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and _.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: NAME.")] = None,
    sampled: Annotated[bool, typer.Option("--sampled", help="A task with judged answers.")] = False,
) -> None:
    """Write a folder with a plug-in that runs as it is: code, README, a study and a test. Then make it yours.

    Example: turncoat new task my_task --out my_task
    """
    folder = write_template(kind, name, out or Path(name), sampled=sampled)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"  {path}")
    quoted, study = shlex.quote(str(folder)), shlex.quote(str(folder / "study.yaml"))
    print(f"run it alone:   turncoat run {study} --include-path {quoted}")
    print(f"test it alone:  python -m pytest {quoted}")


def write_template(kind: Kind, name: str, out: Path, *, sampled: bool = False) -> Path:
    """Write the folder `out`.

    Raises:
        UserError: The name does not do or is taken, or `out` is there.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"name {name!r}: small letters, digits and _ are accepted, such as my_{kind.value}")
    if sampled and kind is not Kind.TASK:
        raise UserError(f"--sampled goes with a task; remove it for a {kind.value}")
    if taken := _taken(name):
        raise UserError(f"name '{name}' is taken (by {taken}); choose another")
    if out.exists():
        raise UserError(f"--out {out} is there; name a folder that is not")
    template = TEMPLATES / ("sampled_task" if sampled else kind.value)
    files = {}
    for path in sorted(template.rglob("*.txt")):
        to = path.relative_to(template).as_posix().replace("NAME", name).removesuffix(".txt")
        files[to] = path.read_text(encoding="utf-8").replace("NAME", name).encode()
    write_files(out, files)
    return out


def _taken(name: str) -> str:
    """Owner of a name; empty if it is free. Files are read, not imported: imports take seconds."""
    from turncoat.evaluation.task_catalogue import task_names
    from turncoat.persona.traits import trait_names
    from turncoat.plug_ins import code_files

    if name in ("base", "control", "insecure", "secure"):
        return "an arm of the study that is written"
    if name in task_names():
        return "a task"
    if name in trait_names():
        return "a trait"
    registers = re.compile(rf'@(?:defence|organism|judge)\(\s*"{name}"')
    files = (path for path in code_files() if registers.search(path.read_text(encoding="utf-8")))
    return next((path.name for path in files), "")
