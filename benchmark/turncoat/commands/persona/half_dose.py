"""`turncoat persona half-dose`: the dose of a trait at which half of the answers have turned."""

from pathlib import Path
from typing import Annotated

import typer

from turncoat.errors import UserError
from turncoat.shown_text import visible


def half_dose(samples: Annotated[list[Path], typer.Argument(help="Samples of turncoat_latent_...")]) -> None:
    """Print the dose at which half of the answers have turned, with a bootstrap interval over questions.

    Example: turncoat persona half-dose out/*/samples_turncoat_latent_prompt_choice_*.jsonl
    """
    from turncoat.persona.half_dose import half_dose_of

    for path in samples:
        if not path.is_file():
            raise UserError(f"{path}: no such file; give lm-eval samples files of a turncoat_latent_... task")
        dose = half_dose_of(path)
        print(visible(f"{path.name}: {dose} ({dose.n_questions} questions)"))
