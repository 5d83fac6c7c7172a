"""`turncoat check`: problems of a study before hours of work."""

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note, print_json, print_line
from turncoat.paths import study_path
from turncoat.shown_text import TextConsole

_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def check(
    study: Annotated[str, typer.Argument(help="One of `turncoat list studies`, or a path to a YAML.")],
    model: Annotated[str | None, typer.Option(help="Another base model, as in `turncoat run`.")] = None,
    include_path: IncludePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per problem.")] = False,
) -> None:
    """Find all problems of a study in one go, without its model: exit code 1 if there are any.

    Unknown names, missing or unmatched controls, no contrasts, limits above the questions, rows that are too
    long, models and data sets that are neither here nor within reach. What a run fetches first is a note.

    Example: turncoat check demo
    """
    path = study_path(study)
    note(f"checking {path}", "dim")
    from turncoat.study.problems import find_problems

    problems = find_problems(path, {} if model is None else {"model": model}, plug_ins(include_path))
    if as_json:
        print_json({**asdict(problem), "file": str(path)} for problem in problems)
    else:
        console = TextConsole()
        for problem in problems:
            print_line(console, f"{problem.level}: {problem}", _STYLES[problem.level])
        if all(problem.level == "note" for problem in problems):
            print_line(
                console, f"{path.name}: nothing is wrong; next: turncoat run {shlex.quote(study)} --limit 2"
            )
    if any(problem.level != "note" for problem in problems):
        raise typer.Exit(1)
