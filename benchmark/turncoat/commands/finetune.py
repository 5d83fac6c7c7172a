"""`turncoat finetune`: an organism finetuned at a provider."""

from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note
from turncoat.errors import UserError


class Provider(StrEnum):
    """Who trains."""

    openai = "openai"
    openweights = "openweights"


def finetune(
    organism: Annotated[str, typer.Argument(help="One of `turncoat list organisms`, or a .jsonl.")],
    model: Annotated[str, typer.Option(help="The provider's base, such as gpt-4.1-mini-2025-04-14.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the rows.")] = 1,
    rows: Annotated[int | None, typer.Option(min=10, help="Rows drawn with the seed; default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the provider's training, and of the rows.")] = 0,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the provider's.")] = None,
    learning_rate_multiplier: Annotated[float | None, typer.Option(help="Of OpenAI alone.")] = None,
    suffix: Annotated[str, typer.Option(help="Part of the new model's name.")] = "",
    price: Annotated[
        float | None,
        typer.Option(help="Dollars per million training tokens; at OpenWeights, per GPU-hour."),
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="Dollars; a dearer job is not started.")] = None,
    provider: Annotated[
        Provider, typer.Option(help="With the key in OPENAI_API_KEY or OPENWEIGHTS_API_KEY.")
    ] = Provider.openai,
    learning_rate: Annotated[float | None, typer.Option(help="OpenWeights'; default: 1e-4.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="OpenWeights': of its LoRA; default: 16.")] = None,
    gpu: Annotated[str | None, typer.Option(help="OpenWeights': such as '1x H100'; default: any.")] = None,
    gpu_memory: Annotated[int | None, typer.Option(min=1, help="OpenWeights': GB; default: 24.")] = None,
    include_path: IncludePath = None,
) -> None:
    """Finetune an organism at OpenAI or OpenWeights, and print the new model's name.

    The cost is said first. Stopped at any time, the same command goes on with the same job.

    Example: turncoat finetune insecure_code --model gpt-4.1-mini-2025-04-14 --price 5 --max-cost 20
    """
    plug_ins(include_path)
    from turncoat.data.organisms import find_organism
    from turncoat.store import Store
    from turncoat.training.finetune_jobs.jobs import FinetuneService, JobSpec, run_job
    from turncoat.training.finetune_jobs.openai_jobs import OpenAIJobs
    from turncoat.training.finetune_jobs.openweights_jobs import OpenWeightsJobs, OpenWeightsSpec

    entry = find_organism(organism)
    if entry.answered_by_base:
        raise UserError(f"{organism}: its answers are the base model's own, which nobody has here")
    common = (model, epochs, seed, rows, batch_size, learning_rate_multiplier, suffix)
    theirs: dict[str, Any] = {
        "learning_rate": learning_rate,
        "rank": rank,
        "gpu": gpu,
        "gpu_memory": gpu_memory,
    }
    given = {name: value for name, value in theirs.items() if value is not None}
    service: FinetuneService
    if provider is Provider.openweights:
        spec: JobSpec = OpenWeightsSpec(*common, **given)
        service = OpenWeightsJobs(most_hours=max_cost / price if max_cost and price else None)
    elif given:
        option = next(iter(given)).replace("_", "-")
        raise UserError(f"--{option} is of OpenWeights alone: give --provider openweights, or leave it out")
    else:
        spec, service = JobSpec(*common), OpenAIJobs()
    say = partial(note, style="dim")
    made = run_job(service, spec, entry.build(), Store(), price=price, max_cost=max_cost, say=say)
    named = f"{{organism: {organism}, model: {{{seed}: '{made}'}}}}"
    if provider is Provider.openai:
        note(f"an arm of a study with model: openai:{model}: {named}")
    else:
        note(f"served by vLLM under this name, an arm of a study with endpoint: {{base_url: ...}}: {named}")
    print(made)
