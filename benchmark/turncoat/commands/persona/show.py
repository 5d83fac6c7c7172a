"""`turncoat persona show`: the card of a vector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from turncoat.commands.persona.card_table import print_vector


def show(folder: Annotated[Path, typer.Argument(help="A folder that `turncoat persona extract` printed.")]) -> None:
    """Show how good a vector is, layer by layer.

    Example: turncoat persona show vectors/evil
    """
    from turncoat.persona.vectors import PersonaVector

    print_vector(PersonaVector.load(folder), Console())
