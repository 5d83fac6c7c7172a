"""`turncoat power STUDY`: what a study could see, and what it never can, before it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from turncoat.commands.options import IncludePath, Json, plug_ins
from turncoat.commands.printing import print_json
from turncoat.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from turncoat.analysis.analyse import ContrastSpec
    from turncoat.stats.planning import Components
    from turncoat.study.config import Study

_LEGEND = (
    "Detectable: the smallest true difference found with {power:.0%} power at {alpha:g} / (tests in the family), Holm's "
    "strictest level. adapters: these trained models, new questions. recipe: new training seeds and new questions. "
    "- : undefined, see the notes."
)


@dataclass(frozen=True)
class Pilot:
    """Scores and answers of an earlier run.

    Attributes:
        study: Its study.
        scores: Checked score table.
        answers: One row per answer, with `task`.
    """

    study: Study
    scores: pd.DataFrame
    answers: pd.DataFrame


def power(
    study: Annotated[str, typer.Argument(help="Name of a study that ships (demo, seeds) or a path to a YAML.")],
    pilot: Annotated[Path | None, typer.Option(help="Run folder whose rows tell the variances.")] = None,
    n_seeds: Annotated[int | None, typer.Option(help="Plan with this number of training seeds instead.")] = None,
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
    from turncoat.analysis.reach import cannot_reach
    from turncoat.study.config import load_study, study_path

    overrides: dict[str, object] = {} if n_seeds is None else {"training_seeds": list(range(n_seeds))}
    loaded = load_study(study_path(study), overrides, plug_ins(include_path))
    role = _role(loaded)
    sizes = task_sizes(loaded)
    earlier = None if pilot is None else read_pilot(pilot)
    records, known = plan_records(loaded, role, sizes, earlier, alpha, wanted)
    questions = {task: n for task, (n, _) in sizes.items()}
    barred = cannot_reach(loaded, questions=questions, components=known, alpha=alpha, role=role)
    if as_json:
        print_json({**record, "cannot_reach": barred} for record in records)
    else:
        print_plan(loaded, role, records, barred, Console(highlight=False), alpha, wanted)


def _role(study: Study) -> str:
    """The family to plan for: primary, or what there is."""
    roles = {contrast.role for contrast in study.contrasts}
    if not roles:
        raise UserError(f"study '{study.study}' names no contrasts; add `contrasts:` with one of role primary")
    return next(role for role in ("primary", "secondary", *sorted(roles)) if role in roles)


def task_sizes(study: Study) -> dict[str, tuple[int, float]]:
    """Task -> (questions, answers per question and arm), with several documents of one cluster as one question.

    Of the tasks that a contrast asks for: the others' documents may have to be fetched, for nothing.
    """
    import logging

    from turncoat.evaluation.samples_file import cluster_id
    from turncoat.evaluation.task_catalogue import metric_names
    from turncoat.study.evaluate import load_task

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    asked = {metric for contrast in study.contrasts for metric in contrast.metrics}
    wanted = {task for name, (task, _) in metric_names(use.task for use in study.tasks).items() if name in asked}
    sizes = {}
    for use in study.tasks:
        if use.task not in wanted:
            continue
        task = load_task(use)
        documents = list(task.eval_docs)[: use.limit]
        clusters = len({cluster_id({"doc": doc, "doc_id": number}) for number, doc in enumerate(documents)})
        repeats = int(task.config.repeats) if task.OUTPUT_TYPE == "generate_until" else 1
        sizes[use.task] = (clusters, repeats * len(documents) / clusters)
    return sizes


def read_pilot(folder: Path) -> Pilot:
    """Scores and answers of a run folder.

    Raises:
        UserError: It is none.
    """
    from turncoat.report.build import read_rows
    from turncoat.safe_files import read_object
    from turncoat.stats.scores import check_scores
    from turncoat.study.config import load_study

    for needed in ("study.yaml", "run.json", "rows"):
        if not (folder / needed).exists():
            raise UserError(f"--pilot {folder}: no run folder, {needed} is missing; make one with `turncoat run STUDY`")
    study = load_study(folder / "study.yaml")
    failed = read_object(folder / "run.json").get("failed", [])
    scores, answers = read_rows(folder / "rows", study, failed=[(entry["arm"], entry["seed"]) for entry in failed])
    return Pilot(study, check_scores(scores), answers)


def components_of(spec: ContrastSpec, metric: str, unit: str, pilot: Pilot | None) -> Components:
    """From the same arms of the pilot, else from its other contrasts of trained arms, else what is assumed."""
    from turncoat.stats.planning import default_components, mean_components, pilot_components

    if pilot is None:
        return default_components(metric, unit)
    of_metric = pilot.scores[pilot.scores["metric"] == metric]
    measured = set(of_metric["arm"])
    answers = pilot.answers[pilot.answers["task"].isin(set(of_metric["task"]))] if len(pilot.answers) else pilot.answers
    given = answers if len(answers) else None

    def found(arms: tuple[str, ...]) -> Components | None:
        if not measured.issuperset(arms):
            return None
        return pilot_components(pilot.scores, arms, metric, rate=unit == "share", answers=given)

    same = found(spec.arms)
    if same is not None:
        return same
    trained = {arm.name for arm in pilot.study.arms if arm.is_trained}
    pairs = {(c.treated, c.reference) for c in pilot.study.contrasts if {c.treated, c.reference} <= trained}
    others = [one for one in map(found, sorted(pairs)) if one is not None]
    return mean_components(others) or default_components(metric, unit)


def plan_records(
    study: Study,
    role: str,
    sizes: dict[str, tuple[int, float]],
    pilot: Pilot | None,
    alpha: float,
    wanted: float,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], Components]]:
    """One record per contrast and metric of the family, and the components it was planned with."""
    from turncoat.analysis.reach import family_size, metric_units, planned_contrasts
    from turncoat.stats.contrasts import CLAIMS
    from turncoat.stats.planning import Design, exact_floor, group_floor, what_more_buys

    specs = planned_contrasts(study, role)
    units = metric_units(study)
    trained = {arm.name for arm in study.arms if arm.is_trained}
    records, known = [], {}
    for spec in specs:
        seeds = len(study.training_seeds) if trained & set(spec.arms) else 0
        for metric in spec.metrics:
            task, unit = units[metric]
            questions, samples = sizes[task]
            components = components_of(spec, metric, unit, pilot)
            known[spec.name, metric] = components
            tests = {claim: max(1, family_size(study, specs, claim)) for claim in CLAIMS}
            bought = {
                claim: {
                    name: effects[claim]
                    for name, effects in what_more_buys(
                        components, Design(questions, samples, seeds, tests[claim], alpha, wanted)
                    ).items()
                }
                for claim in CLAIMS
            }
            records.append(
                {
                    "contrast": spec.name,
                    "metric": metric,
                    "unit": unit,
                    "role": role,
                    "tests": tests,
                    "n_questions": questions,
                    "samples_per_question": samples,
                    "n_seeds": seeds,
                    "detectable": bought,
                    "floor_seeds": exact_floor(seeds) if seeds else None,
                    "floor_seeds_unpaired": group_floor(seeds) if seeds else None,
                    "components": asdict(components),
                    "notes": _notes(components, seeds),
                }
            )
    return records, known


def _notes(components: Components, seeds: int) -> list[str]:
    from turncoat.stats.power import seed_sd_interval

    notes = [components.source]
    if components.seed is None:
        notes.append("its seeds give no SD between training seeds, so nothing is said of the recipe")
    elif components.seed == 0 and components.n_seeds:
        notes.append(
            f"no spread between its {components.n_seeds} seeds beyond noise: the recipe's numbers may be too small"
        )
    elif components.n_seeds >= 2:
        ends = seed_sd_interval(1.0, components.n_seeds)
        notes.append(f"the true seed SD may be {ends.low:.2g} to {ends.high:.2g} times as large (95% interval)")
    if None in (components.sampling, components.sampling_shared):
        notes.append("one sample per question there, so what more samples buy is unknown")
    if not seeds:
        notes.append("neither arm is trained: there is no recipe")
    return notes


def print_plan(
    study: Study,
    role: str,
    records: list[dict[str, Any]],
    barred: list[str],
    console: Console,
    alpha: float,
    wanted: float,
) -> None:
    """The plan as tables that fit 80 columns, what cannot be reached first."""
    title = f"{study.study}: {role} contrasts, training seeds {len(study.training_seeds)}"
    console.print(Text(title, style="bold"))
    for line in barred:
        console.print(Text(f"Cannot be reached: {line}", style="yellow"), soft_wrap=True)
    for names, record in _alike(records):
        console.print()
        console.print(Text(f"{record['metric']} ({record['unit'] or 'no unit'}): {'; '.join(names)}"), soft_wrap=True)
        console.print(_plan_table(record))
        for line in _said(record):
            console.print(Text(f"  {line}"), soft_wrap=True)
    console.print()
    console.print(Text(_LEGEND.format(power=wanted, alpha=alpha), style="dim"))


def _alike(records: list[dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """Contrasts whose plan differs in the name only, together."""
    found: list[tuple[list[str], dict[str, Any]]] = []
    for record in records:
        plan = {key: value for key, value in record.items() if key != "contrast"}
        for names, other in found:
            if plan == {key: value for key, value in other.items() if key != "contrast"}:
                names.append(record["contrast"])
                break
        else:
            found.append(([record["contrast"]], record))
    return found


def _plan_table(record: dict[str, Any]) -> Table:
    tests = record["tests"]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  detectable", no_wrap=True)
    for claim in ("adapters", "recipe"):
        table.add_column(f"{claim} ({tests[claim]} test{'s' * (tests[claim] != 1)})", justify="right", no_wrap=True)
    for name, value in record["detectable"]["adapters"].items():
        table.add_row(f"  {name}", _number(value), _number(record["detectable"]["recipe"][name]))
    return table


def _said(record: dict[str, Any]) -> list[str]:
    sizes = (
        f"{record['n_questions']} questions x {record['samples_per_question']:g} samples x {record['n_seeds']} seeds"
    )
    parts = record["components"]
    split = ", ".join(f"{name} {_number(parts[name])}" for name in ("question", "seed", "rest", "sampling"))
    lines = [f"planned: {sizes}", f"SDs of the difference: {split}"]
    if record["floor_seeds"] is not None:
        floors = f"{record['floor_seeds']:.3g} paired by seed, {record['floor_seeds_unpaired']:.2g} unpaired"
        lines.append(f"permutation floor of p over seeds: {floors}")
    return [*lines, *record["notes"], *best_buy(record)]


def best_buy(record: dict[str, Any]) -> list[str]:
    """Which doubling lowers the detectable effect most, per claim; each costs twice the answers."""
    lines = []
    for claim, effects in record["detectable"].items():
        now = effects["as planned"]
        doubled = {name: effects[f"twice the {name}"] for name in ("questions", "samples", "seeds")}
        known = {name: value for name, value in doubled.items() if value is not None}
        if now is None or not known:
            continue
        best = min(known, key=lambda name: known[name])
        lines.append(f"{claim}: doubling the {best} helps most, {_number(now)} -> {_number(known[best])}")
    return lines


def _number(value: float | None) -> str:
    from turncoat.analysis.plain_words import unsigned

    return "-" if value is None else unsigned(value)
