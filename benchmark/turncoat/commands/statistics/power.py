"""`turncoat power STUDY`: what a study could see, and what it never can, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from turncoat.commands.options import IncludePath, Json, plug_ins
from turncoat.commands.printing import print_json, print_line, table
from turncoat.errors import UserError
from turncoat.formats import three_digits
from turncoat.paths import study_path
from turncoat.shown_text import TextConsole

if TYPE_CHECKING:
    from turncoat.analysis.planning_records import Plan

_LEGEND = (
    "Detectable: the smallest true difference found with {power:.0%} power at {alpha:g} / (tests in the "
    "family), Holm's strictest level. adapters: these trained models, new questions. recipe: new training "
    "seeds and new questions; all of its tests must reject. In brackets: the same at the ends of the 95% "
    "interval of the pilot's SD, between seeds for the recipe and between questions for the adapters. n/a: "
    "undefined, see the notes."
)


def power(
    study: Annotated[str, typer.Argument(help="Name of a study that ships (demo) or a path to a YAML.")],
    pilot: Annotated[Path | None, typer.Option(help="Run folder whose rows tell the variances.")] = None,
    n_seeds: Annotated[int | None, typer.Option(help="Plan with so many training seeds instead.")] = None,
    seeds: Annotated[str | None, typer.Option(hidden=True)] = None,
    alpha: Annotated[float, typer.Option(help="Level of the family of primary contrasts.")] = 0.05,
    wanted: Annotated[float, typer.Option("--power", help="Wanted power.")] = 0.8,
    as_json: Json = False,
    include_path: IncludePath = None,
) -> None:
    """Detectable effects, permutation floors, and what one more question, sample or training seed would buy.

    Example: turncoat power demo --pilot runs/seeds --n-seeds 8
    """
    if seeds is not None:
        raise UserError(
            f"--seeds {seeds}: a list of training seeds in `turncoat run`; a plan takes their number: "
            f"--n-seeds {seeds if seeds.isdigit() else len(seeds.split(','))}"
        )
    if n_seeds is not None and n_seeds < 1:
        raise UserError(f"--n-seeds {n_seeds}: accepted: 1 or more training seeds")
    path = study_path(study)
    from turncoat.analysis.planning_records import plan_study, read_pilot
    from turncoat.study.config import load_study

    overrides: dict[str, object] = {} if n_seeds is None else {"training_seeds": list(range(n_seeds))}
    loaded = load_study(path, overrides, plug_ins(include_path))
    plan = plan_study(loaded, None if pilot is None else read_pilot(pilot), alpha, wanted)
    if as_json:
        print_json({**record, "cannot_reach": plan.barred} for record in plan.records)
        return
    console = TextConsole()
    title = f"{loaded.study}: {plan.role} contrasts, training seeds {len(loaded.training_seeds)}"
    print_line(console, title, "bold")
    print_plan(plan, console)
    console.print(Text(_LEGEND.format(power=wanted, alpha=alpha), style="dim"))


def print_plan(plan: Plan, console: Console) -> None:
    """The plan as tables that fit 80 columns, what cannot be reached first."""
    for text in plan.barred:
        print_line(console, f"Cannot be reached: {text}", "yellow")
    for names, record in _alike(plan.records):
        console.print()
        print_line(console, f"{record['metric']} ({record['unit'] or 'no unit'}): {'; '.join(names)}")
        console.print(_plan_table(record))
        for text in _explanations(record):
            print_line(console, f"  {text}")
    console.print()


def _alike(records: list[dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """Contrasts whose plans differ in the name only, together."""
    groups: list[tuple[list[str], dict[str, Any]]] = []
    for record in records:
        for names, first in groups:
            if record == {**first, "contrast": record["contrast"]}:
                names.append(record["contrast"])
                break
        else:
            groups.append(([record["contrast"]], record))
    return groups


def _plan_table(record: dict[str, Any]) -> Table:
    headings = (f"{claim} ({n} test{'s' * (n != 1)})" for claim, n in record["tests"].items())
    made = table(["  detectable"], list(headings), gap=2)
    for name in record["detectable"]["adapters"]:
        cells = [three_digits(record["detectable"][claim][name]) for claim in ("adapters", "recipe")]
        if name == "as planned":
            ranges = [record["detectable_range"][claim] for claim in ("adapters", "recipe")]
            cells = [cell + _bracketed(ends) for cell, ends in zip(cells, ranges, strict=True)]
        made.add_row(f"  {name}", *cells)
    return made


def _bracketed(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" ({three_digits(ends[0])} to {three_digits(ends[1])})"


def _explanations(record: dict[str, Any]) -> list[str]:
    samples = f"{record['samples_per_question']:g} samples"
    sizes = f"{record['n_questions']} questions x {samples} x {record['n_seeds']} seeds"
    parts = record["components"]
    split = ", ".join(f"{key} {three_digits(parts[key])}" for key in ("question", "seed", "rest", "sampling"))
    lines = [f"planned: {sizes}", f"SDs of the difference: {split}"]
    if record["floor_seeds"] is not None:
        floors = f"{record['floor_seeds']:.3g} paired by seed, {record['floor_seeds_unpaired']:.2g} unpaired"
        lines.append(f"permutation floor of p over seeds: {floors}")
    return [*lines, *record["notes"], *_best_buy(record)]


def _best_buy(record: dict[str, Any]) -> list[str]:
    """The doubling that lowers the detectable effect most, per claim; each costs twice the answers."""
    lines = []
    for claim, effects in record["detectable"].items():
        now = effects["as planned"]
        doubled = {name: effects[f"twice the {name}"] for name in ("questions", "samples", "seeds")}
        known = {name: value for name, value in doubled.items() if value is not None}
        if now is None or not known:
            continue
        best = min(known, key=lambda name: known[name])
        lines.append(
            f"{claim}: doubling the {best} helps most, {three_digits(now)} -> {three_digits(known[best])}"
        )
    return lines
