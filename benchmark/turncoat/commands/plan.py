"""`turncoat plan`: units of a study, what is done, and what the rest takes."""

import json
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, Seeds, plug_ins, seed_list
from turncoat.commands.printing import note, print_line
from turncoat.paths import study_path
from turncoat.shown_text import TextConsole, visible


def plan(
    study: Annotated[str, typer.Argument(help="One of `turncoat list studies`, or a path to a YAML.")],
    model: Annotated[str | None, typer.Option(help="Another base model, as in `turncoat run`.")] = None,
    seeds: Seeds = None,
    measure: Annotated[
        bool, typer.Option(help="Measure this machine, at most a minute, if the store has no like stages.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    include_path: IncludePath = None,
) -> None:
    """Units of a study, what is done, minutes, memory, disk, judge calls, what is fetched. Makes nothing.

    Example: turncoat plan demo --json | jq -r '.units[] | select(.done | not) | .id'
    """
    path = study_path(study)
    timed = "; where no like stages are kept, this machine is timed, at most a minute" if measure else ""
    note(f"reading {path}{timed}", "dim")
    from turncoat.store import Store
    from turncoat.study.config import load_study
    from turncoat.study.units.outlook import outlook

    overrides: dict[str, object] = {} if model is None else {"model": model}
    if seeds is not None:
        overrides["training_seeds"] = seed_list(seeds)
    loaded = load_study(path, overrides, plug_ins(include_path))
    result = outlook(loaded, Store(), measured=measure)
    if as_json:
        print(visible(json.dumps(result.as_json(), indent=1, ensure_ascii=False, allow_nan=False)))
        return
    for line in result.lines():
        print_line(TextConsole(), line)
