"""`turncoat list`: everything that can be named, one line each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from turncoat.commands.options import IncludePath
from turncoat.errors import UserError, did_you_mean
from turncoat.shown_text import TextConsole


def list_names(
    kind: Annotated[str | None, typer.Argument(help="tasks, defences, ... (the titles below).")] = None,
    include_path: IncludePath = None,
) -> None:
    """Show what there is, one line each.

    Example: turncoat list defences
    """
    kinds = everything(include_path)
    plural = {"study": "studies"}.get(kind or "", f"{kind}s")
    kind = plural if plural in kinds else kind
    if kind is not None and kind not in kinds:
        raise UserError(f"'{kind}' cannot be listed; {did_you_mean(kinds, kind)}accepted: {', '.join(kinds)}")
    console = TextConsole()
    for name in [kind] if kind else kinds:
        table = Table(title=name, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for entry, summary in kinds[name].items():
            table.add_row(entry, summary)
        console.print(table)


def everything(include_path: Sequence[Path] | None = None) -> dict[str, dict[str, str]]:
    """Names and summaries by kind. No plug-in is run for it.

    Raises:
        UserError: A folder of `include_path` is not there.
    """
    import yaml

    from turncoat.data.fetch import with_credit
    from turncoat.data.registry_models import REGISTRY_EMBEDDERS, REGISTRY_MODELS
    from turncoat.evaluation.task_catalogue import task_names, task_summary
    from turncoat.paths import studies_dir
    from turncoat.persona.traits import trait_names
    from turncoat.plug_ins import declarations, include

    include(include_path or ())
    declared: dict[str, dict[str, str]] = {"defence": {}, "organism": {}, "judge": {}}
    for one in declarations():
        summary = with_credit(str(one.keywords.get("summary", "")), one.keywords.get("data"))
        if "settings" in one.keywords:
            summary += f" ({', '.join(one.keywords['settings'])})"
        if "control" in one.keywords and one.kind == "organism":
            summary += f"; control: {one.keywords['control']}"
        declared[one.kind][one.name] = summary
    return {
        "tasks": {name: task_summary(name) for name in task_names()},
        "defences": dict(sorted(declared["defence"].items())),
        "organisms": declared["organism"],
        "judges": dict(sorted(declared["judge"].items())),
        "personas": trait_names(),
        "models": {name: model.summary for name, model in REGISTRY_MODELS.items()},
        "embedders": {name: model.summary for name, model in REGISTRY_EMBEDDERS.items()},
        "studies": {
            path.stem: str(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader).get("question", ""))
            for path in sorted(studies_dir().glob("*.yaml"))
        },
    }
