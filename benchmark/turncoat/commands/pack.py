"""`turncoat pack`: a run made small enough to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pack(
    folder: Annotated[Path, typer.Argument(help="A finished run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an earlier packed run there is replaced.")],
) -> None:
    """Make a run small enough to keep: rows gzipped, the machine's details left out. Every command reads it.

    Example: turncoat pack runs/demo --out results/demo
    """
    from turncoat.study.pack import pack_run

    print(pack_run(folder, out))
