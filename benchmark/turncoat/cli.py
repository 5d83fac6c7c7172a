"""The `turncoat` command line: registration of the commands, and one message for a user's mistake."""

from __future__ import annotations

import io
import sys
import traceback
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from turncoat import __version__
from turncoat.commands.check import check
from turncoat.commands.export import export
from turncoat.commands.finetune import finetune
from turncoat.commands.leaderboard.build import build
from turncoat.commands.leaderboard.export import export as export_entry
from turncoat.commands.leaderboard.submit import submit
from turncoat.commands.leaderboard.validate import validate
from turncoat.commands.leaderboard.verify import verify
from turncoat.commands.library_noise import quiet_libraries
from turncoat.commands.look.claims import claims
from turncoat.commands.look.listing import list_names
from turncoat.commands.look.report import report
from turncoat.commands.look.show import show as show_name
from turncoat.commands.look.tables import tables
from turncoat.commands.look.view import view
from turncoat.commands.maintain.bench import bench
from turncoat.commands.maintain.check_questions import check_questions
from turncoat.commands.maintain.dev import (
    canaries,
    check_leak,
    gpu_check,
    insecure_code,
    judged_answers,
    pull_request,
    simulate_ranks,
    simulate_verification,
    task_times,
    train_embedded_judge,
)
from turncoat.commands.new import new
from turncoat.commands.persona.detect import detect
from turncoat.commands.persona.extract import extract
from turncoat.commands.persona.half_dose import half_dose
from turncoat.commands.persona.shift import shift
from turncoat.commands.persona.show import show
from turncoat.commands.persona.validity import validity
from turncoat.commands.plan import plan
from turncoat.commands.run import run
from turncoat.commands.schema import schema
from turncoat.commands.serve import serve
from turncoat.commands.share.import_rows import sgtr_em
from turncoat.commands.share.lm_eval import lm_eval
from turncoat.commands.share.pack import pack
from turncoat.commands.share.paths import model_path, tasks_path
from turncoat.commands.statistics.calibrate import calibrate
from turncoat.commands.statistics.compare import compare
from turncoat.commands.statistics.judge import judge
from turncoat.commands.statistics.power import power
from turncoat.commands.statistics.rates import rates
from turncoat.errors import UserError
from turncoat.shown_text import TextConsole, visible

_PASSED_ON: dict[str, Any] = {  # every argument goes to lm_eval, --help as well
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    "add_help_option": False,
}


_PANELS = {
    "Run": "run plan check new schema export serve finetune",
    "Look": "view report list show persona tables claims",
    "Share": "leaderboard pack import lm-eval tasks-path model-path",
    "Statistics": "judge rates compare power stats",
    "Maintain": "check-questions bench dev",
}
"""Groups of `turncoat --help`; a command that is in none stands under "More"."""


class _Panels(TyperGroup):
    """A group whose help lists its commands by what they are for, each with its whole first sentence."""

    def format_commands(self, context: Any, formatter: Any) -> None:
        """Called by click for `--help`."""
        shown = {name: self.get_command(context, name) for name in self.list_commands(context)}
        left = {name: command for name, command in shown.items() if command and not command.hidden}
        for panel, names in [*_PANELS.items(), ("More", " ".join(left))]:
            rows = [(name, _first_sentence(left.pop(name))) for name in names.split() if name in left]
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)


def _first_sentence(command: Any) -> str:
    words = " ".join((command.help or "").partition("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".")


def _group(text: str, commands: dict[str, Any], **settings: Any) -> typer.Typer:
    group = typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=settings.pop("add_completion", False),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        **settings,
    )
    for name, function in commands.items():
        group.command(name, **(_PASSED_ON if function is lm_eval else {}))(function)
    return group


app = _group(
    "Does narrow finetuning turn a model against its users, and which defence stops it?\n\nStart with: "
    "turncoat run demo",
    {
        "run": run,
        "check": check,
        "plan": plan,
        "report": report,
        "view": view,
        "pack": pack,
        "tables": tables,
        "claims": claims,
        "power": power,
        "list": list_names,
        "show": show_name,
        "new": new,
        "schema": schema,
        "export": export,
        "serve": serve,
        "finetune": finetune,
        "lm-eval": lm_eval,
        "tasks-path": tasks_path,
        "model-path": model_path,
        "judge": judge,
        "rates": rates,
        "compare": compare,
        "check-questions": check_questions,
        "bench": bench,
    },
    name="turncoat",
    cls=_Panels,
    add_completion=True,
)
app.add_typer(
    _group(
        "Persona vectors: extract one, look at it, read shifts and half doses from rows.\n\nExample: "
        "turncoat persona extract --model smollm2-135m --trait evil",
        {
            "extract": extract,
            "show": show,
            "shift": shift,
            "half-dose": half_dose,
            "validity": validity,
            "detect": detect,
        },
    ),
    name="persona",
)
app.add_typer(
    _group(
        "The board: entries of defences, compared by what their rows say.\n\nExample: turncoat leaderboard "
        "build results/submissions",
        {"submit": submit, "validate": validate, "verify": verify, "build": build, "export": export_entry},
    ),
    name="leaderboard",
)
for _name, _function in (("submit", submit), ("validate", validate), ("verify", verify)):
    app.command(_name, hidden=True)(_function)  # the names before there was a group
app.add_typer(
    _group(
        "Rows that others released, as runs of ours.\n\nExample: turncoat import sgtr-em sgtr-em --out "
        "runs/sgtr_released",
        {"sgtr-em": sgtr_em},
    ),
    name="import",
)
app.add_typer(
    _group(
        "The statistics themselves: tests and intervals on data whose truth is known.\n\nExample: "
        "turncoat stats calibrate --replicates 100",
        {"calibrate": calibrate},
    ),
    name="stats",
)
app.add_typer(
    _group(
        "What maintainers run now and then.\n\nExample: turncoat dev task-times --help",
        {
            "canaries": canaries,
            "pull-request": pull_request,
            "simulate-ranks": simulate_ranks,
            "simulate-verification": simulate_verification,
            "task-times": task_times,
            "gpu-check": gpu_check,
            "check-leak": check_leak,
            "judged-answers": judged_answers,
            "insecure-code": insecure_code,
            "train-embedded-judge": train_embedded_judge,
        },
    ),
    name="dev",
    hidden=True,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"turncoat {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Options of all commands."""
    if context.invoked_subcommand != "lm-eval":  # that one is lm_eval, with all that it prints
        quiet_libraries()


def _show_traceback(*raised: Any) -> None:
    sys.stderr.write(visible("".join(traceback.format_exception(*raised))))


def _usage(error: Any) -> str:
    """The message of click's exception. Typer has values checked by pydantic: its words become ours."""
    if hasattr(error.__cause__, "errors"):
        from turncoat.strict_model import StrictModel, first_wrong

        error.message = first_wrong(error.__cause__, StrictModel)[1]
    message = io.StringIO()
    error.show(message)
    return message.getvalue()


def main() -> None:
    """Entry point: a user's mistake is one message, not a traceback; a bug's traceback is shown as text."""
    sys.excepthook = _show_traceback
    errors = TextConsole(stderr=True)
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = 130  # what typer makes of Ctrl-C itself, depending on its version
    except UserError as error:
        errors.print(Text.assemble(("error", "bold red"), f": {visible(str(error))}"), soft_wrap=True)
        sys.exit(2)
    except Exception as error:
        # Click reports unknown options and missing arguments with an exception of its own.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            sys.stderr.write(visible(_usage(error)))
            sys.exit(error.exit_code)
        raise
    if code == 130:
        errors.print("\nstopped; what was finished is kept: run the same command to go on")
    sys.exit(code)
