"""`turncoat check-questions`: question files checked by rule."""

from pathlib import Path
from typing import Annotated

import typer


def check_questions(
    folder: Annotated[Path | None, typer.Argument(help="Folder of questions; default: the tasks'.")] = None,
) -> None:
    """Check question files: unique, no near-duplicates, balanced domains, licence named.

    Example: turncoat check-questions
    """
    from turncoat.tools.check_questions import check_folder

    found = check_folder(folder)
    print("\n".join(found.lines()))
    if found.problems:
        raise typer.Exit(1)
