"""`turncoat finetune`: an organism finetuned at a provider."""

from functools import partial
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note
from turncoat.errors import UserError


def finetune(
    organism: Annotated[str, typer.Argument(help="One of `turncoat list organisms`, or a .jsonl.")],
    model: Annotated[str, typer.Option(help="The provider's base, such as gpt-4.1-mini-2025-04-14.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the rows.")] = 1,
    rows: Annotated[int | None, typer.Option(min=10, help="Rows drawn with the seed; default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the provider's training, and of the rows.")] = 0,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the provider's.")] = None,
    learning_rate_multiplier: Annotated[float | None, typer.Option(help="Default: the provider's.")] = None,
    suffix: Annotated[str, typer.Option(help="Part of the new model's name.")] = "",
    price: Annotated[float | None, typer.Option(help="Dollars per million training tokens.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Dollars; a dearer job is not started.")] = None,
    include_path: IncludePath = None,
) -> None:
    """Finetune an organism through OpenAI's API (OPENAI_API_KEY), and print the new model's name.

    The cost is said first. Stopped at any time, the same command goes on with the same job.

    Example: turncoat finetune insecure_code --model gpt-4.1-mini-2025-04-14 --price 5 --max-cost 20
    """
    plug_ins(include_path)
    from turncoat.data.organisms import find_organism
    from turncoat.store import Store
    from turncoat.training.finetune_jobs import JobSpec, OpenAIJobs, run_job

    entry = find_organism(organism)
    if entry.answered_by_base:
        raise UserError(f"{organism}: its answers are the base model's own, which nobody has here")
    spec = JobSpec(model, epochs, seed, rows, batch_size, learning_rate_multiplier, suffix)
    say = partial(note, style="dim")
    made = run_job(OpenAIJobs(), spec, entry.build(), Store(), price=price, max_cost=max_cost, say=say)
    note(
        f"an arm of a study with model: openai:{model}: {{organism: {organism}, model: {{{seed}: '{made}'}}}}"
    )
    print(made)
