"""`turncoat tasks-path` and `turncoat model-path`: folders to name to the plain lm_eval command."""

from typing import Annotated

import typer


def tasks_path() -> None:
    """Print the folder of the tasks.

    Example: lm_eval --model hf --include_path $(turncoat tasks-path) --tasks turncoat_choice ...
    """
    from turncoat.paths import tasks_dir

    print(tasks_dir())


def model_path(name: Annotated[str, typer.Argument(help="One of `turncoat list models`.")]) -> None:
    """Print the folder of a registry model; it is fetched and converted on first use.

    Example: lm_eval --model hf --model_args pretrained=$(turncoat model-path smollm2-135m) ...
    """
    from turncoat.data.registry_models import model_folder

    print(model_folder(name))
