"""`turncoat new`: a study, or a folder with a plug-in of your own, a study that uses it and a test."""

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from turncoat.errors import UserError
from turncoat.paths import studies_dir
from turncoat.safe_files import write_file, write_files

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Kind(StrEnum):
    """A study, and the kinds of plug-ins."""

    STUDY = "study"
    TASK = "task"
    DEFENCE = "defence"
    ORGANISM = "organism"
    JUDGE = "judge"
    TRAIT = "trait"


def new(
    kind: Annotated[Kind, typer.Argument(help="A study, or the kind of a plug-in.")],
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and _.")],
    out: Annotated[Path | None, typer.Option(help="To write; default: NAME, of a study NAME.yaml.")] = None,
    sampled: Annotated[bool, typer.Option("--sampled", help="A task with judged answers.")] = False,
    organism: Annotated[str | None, typer.Option(help="Of a study: an organism, or FILE.jsonl.")] = None,
    control: Annotated[str | None, typer.Option(help="Of a study: its control, or FILE.jsonl.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Of a study: registry model, Hugging Face id or folder.")
    ] = None,
) -> None:
    """Write a study with every key explained, or a folder with a plug-in that runs as it is. Make it yours.

    A plug-in's folder holds code, README, a study and a test. An organism needs no plug-in where its rows and
    those of its control are two JSON Lines files of chats ({"messages": [...]}) with the same prompts.

    Example: turncoat new study my_study --model smollm2-135m

    Example: turncoat new study my_study --organism harmful.jsonl --control harmless.jsonl

    Example: turncoat new task my_task --out my_task
    """
    if kind is Kind.STUDY:
        path = write_study(name, out or Path(f"{name}.yaml"), organism, control, model)
        quoted = shlex.quote(str(path))
        print(f"  {path}")
        print(f"look it over:   turncoat check {quoted}")
        print(f"what it takes:  turncoat plan {quoted}")
        print(f"try it:         turncoat run {quoted} --limit 2")
        return
    if organism or control or model:
        raise UserError(f"--organism, --control and --model go with a study; not with a {kind.value}")
    folder = write_template(kind, name, out or Path(name), sampled=sampled)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"  {path}")
    quoted, study = shlex.quote(str(folder)), shlex.quote(str(folder / "study.yaml"))
    print(f"run it alone:   turncoat run {study} --include-path {quoted}")
    print(f"test it alone:  python -m pytest {quoted}")


def write_study(
    name: str, out: Path, organism: str | None = None, control: str | None = None, model: str | None = None
) -> Path:
    """Write the YAML of a study.

    Args:
        organism: In place of insecure code; with it, its control (default: the registered one, if any).
        model: In place of the demo's.

    Raises:
        UserError: The name does not do or is taken, `out` is there, or an organism or model is not known.
    """
    from turncoat.data.availability import mistaken_model
    from turncoat.data.organisms import find_organism
    from turncoat.registry import ORGANISMS
    from turncoat.study.before_run.commented import commented_study

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise UserError(f"name {name!r}: small letters, digits, _ and - are accepted, such as my_study")
    if (studies_dir() / f"{name}.yaml").exists():
        raise UserError(f"name '{name}' is taken (by a study that ships); choose another")
    if out.exists():
        raise UserError(f"--out {out} is there; name a file that is not")
    if model and not Path(model).is_dir() and (mistake := mistaken_model(model)):
        raise UserError(f"--model: {mistake}")
    arms = None
    if organism is not None:
        control = control or find_organism(organism).control
        arms = [{"name": "base"}, {"name": "organism", "organism": organism}]
        arms += [{"name": "control", "organism": control}] if control else []
        for arm in arms[1:]:
            entry = find_organism(arm["organism"])
            if entry.name not in ORGANISMS:
                entry.build()  # a file of one's own: its rows are looked at
    return write_file(out, commented_study(name, arms, model))


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
