"""`turncoat run`: a study from training to report."""

import re
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, Seeds, plug_ins, seed_list
from turncoat.commands.printing import print_line
from turncoat.errors import UserError
from turncoat.paths import study_path
from turncoat.shown_text import TextConsole


def run(
    study: Annotated[str, typer.Argument(help="One of `turncoat list studies`, or a path to a YAML.")],
    model: Annotated[
        str | None,
        typer.Option(help="Another base model: a registry model, a Hugging Face id or a local folder."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; default: runs/<study>, -<model> added with --model, -smoke with --limit."
        ),
    ] = None,
    seeds: Seeds = None,
    limit: Annotated[
        int | None,
        typer.Option(min=2, help="Smoke run: first questions a task, steps of training. Counts as nothing."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print problems and the plan; nothing is made.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up rows in --out that this study does not make again.")
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Where units are made: processes:2 (one per GPU), ray, ray:ADDRESS,gpus=1, "
            "slurm:partition=NAME,gpus=1, slurm:local; default: this process."
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Make one unit of `turncoat plan`, such as insecure/0, and stop.")
    ] = None,
    with_run: Annotated[
        Path | None,
        typer.Option(
            "--with", help="A run of the same study, as `turncoat pack` keeps it: its rows count as made."
        ),
    ] = None,
    make: Annotated[
        bool, typer.Option("--make/--no-make", help="Make what is missing, or report on what is made so far.")
    ] = True,
    include_path: IncludePath = None,
) -> None:
    """Run a study and report on it. Kill it anywhere: the same command goes on.

    Example: turncoat run demo --seeds 0,1,2 --engine processes:2

    Example: turncoat run demo --limit 2

    Example: turncoat run sgtr --with results/sgtr

    Example: turncoat run transfer --model smollm2-135m
    """
    path = study_path(study)
    from turncoat.study.ray_address import check_ray_address

    if engine is not None:
        check_ray_address(engine)
    from turncoat.store import Store
    from turncoat.study.before_run.out_folder import check_out
    from turncoat.study.before_run.smoke import smoke_study
    from turncoat.study.carried import Carried
    from turncoat.study.config import load_study
    from turncoat.study.engines import engine_from_name
    from turncoat.study.problems import find_problems
    from turncoat.study.run import run_study, run_unit
    from turncoat.study.units.outlook import outlook

    if engine is not None and only is not None:
        raise UserError("--only makes a unit in this process; leave --engine out")
    if only is not None and not make:
        raise UserError("--only makes a unit and --no-make makes nothing; leave one of them out")
    overrides: dict[str, object] = {}
    if model is not None:
        overrides["model"] = model
    if seeds is not None:
        overrides["training_seeds"] = seed_list(seeds)
    folders = plug_ins(include_path)
    loaded = load_study(path, overrides, folders)
    if limit is not None:
        loaded = smoke_study(loaded, limit)
    notes = TextConsole(stderr=True)
    problems = [] if only else find_problems(path, overrides, folders, ask_judge=dry_run)
    for problem in problems:
        if problem.level != "error":
            print_line(notes, f"  {problem.level}: {problem}")
    if errors := [str(problem) for problem in problems if problem.level == "error"]:
        raise UserError("\n".join(errors))
    model_too = "" if model is None else "-" + re.sub(r"[^\w.]+", "-", model).strip("-")
    folder = out or Path("runs") / f"{loaded.study}{model_too}"
    carried = Carried.of(with_run, loaded) if with_run else None
    if dry_run:
        check_out(folder, loaded, replace=replace)
        for line in outlook(loaded, Store(), made=carried.units if carried else ()).lines():
            print_line(TextConsole(), line)
        return
    if only is not None:
        if run_unit(loaded, only, console=notes):
            raise typer.Exit(1)
        notes.print(f"unit {only} is done; once all are, `turncoat run` without --only gathers and reports")
        return
    if len(loaded.training_seeds) >= 3:  # with fewer the study itself says what it cannot claim
        from turncoat.analysis.reach import cannot_reach

        for line in cannot_reach(loaded):
            notes.print(f"  out of reach: {line}")
    made_by = engine_from_name(engine) if engine else None
    failed = run_study(
        loaded, folder, console=notes, replace=replace, engine=made_by, carried=carried, make=make
    )
    from turncoat.judges.unscored import MOST  # a report's imports are heavy: after the stages
    from turncoat.report.build import run_content
    from turncoat.report.write import report_run

    content = run_content(folder)
    report_run(folder, TextConsole(), content)
    lost, of = content.lost_verdicts, len(content.answers)
    if lost:
        again = "the same command asks for these verdicts again and generates nothing"
        notes.print(f"calls to the judge failed for {lost} of {of} answers; {again}")
    if failed or lost > MOST * of:
        raise typer.Exit(1)
