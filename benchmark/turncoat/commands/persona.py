"""`turncoat persona ...`: make a persona vector, look at one, and read what a run says of it.

turncoat persona extract --model smollm2-135m --trait evil
turncoat persona show FOLDER
turncoat persona shift runs/demo --arm insecure --control secure
turncoat persona half-dose samples_turncoat_latent_prompt_choice_....jsonl
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from turncoat.errors import UserError

if TYPE_CHECKING:
    from turncoat.persona.vectors import PersonaVector

persona_app = typer.Typer(
    help="Persona vectors: extract one from a base model, look at it, read shifts and half doses from rows.\n\n"
    "Example: turncoat persona extract --model smollm2-135m --trait evil",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@persona_app.command("extract")
def extract(
    model: Annotated[str, typer.Option(help="Base model: a registry model, a Hugging Face id or a local folder.")],
    trait: Annotated[str, typer.Option(help="See `turncoat list personas`.")],
    out: Annotated[Path | None, typer.Option(help="Copy vector and card here; default: the cache alone.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.")] = "auto",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: the best there is.")] = None,
    rollouts: Annotated[int | None, typer.Option(help="Answers per question and prompt; default 2.")] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Filter answers by trait score with this judge, such as local:model=...; default: none."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Answers decoded together.")] = 32,
) -> None:
    """Extract a trait's vector from a base model; done once per model and settings, then read from the cache.

    Example: turncoat persona extract --model smollm2-135m --trait evil --out vectors/evil
    """
    if rollouts is not None and rollouts < 1:
        raise UserError(f"--rollouts {rollouts}: accepted: 1 or more answers per question and prompt")
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: it exists and is not an empty folder; name a new one")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from turncoat.engine.base_model import load_base
    from turncoat.persona.extract import answer_count, extraction_spec, vector_folder
    from turncoat.persona.traits import trait_questions
    from turncoat.persona.vectors import PersonaVector
    from turncoat.store import Store

    questions = trait_questions(trait)
    rater = _trait_judge(judge)
    base = load_base(model, dtype=dtype, device=device)
    store = Store()
    options: dict[str, Any] = {"rollouts": rollouts, "judge": rater}
    known = store.has("persona", extraction_spec(base, questions, **options))
    with _progress(f"{trait} on {model}", answer_count(questions, rollouts=rollouts), hidden=known) as tick:
        folder = vector_folder(base, questions, store, batch_size=batch_size, tick=tick, **options)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("vector.safetensors", "card.json"):
            shutil.copyfile(folder / name, out / name)
        folder = out
    _print_vector(PersonaVector.load(folder), Console())
    print(folder)


@persona_app.command("show")
def show(folder: Annotated[Path, typer.Argument(help="A folder that `turncoat persona extract` printed.")]) -> None:
    """Show how good a vector is, layer by layer.

    Example: turncoat persona show vectors/evil
    """
    from turncoat.persona.vectors import PersonaVector

    _print_vector(PersonaVector.load(folder), Console())


@persona_app.command("shift")
def shift(
    run: Annotated[Path, typer.Argument(help="A run folder of `turncoat run`.")],
    arm: Annotated[str, typer.Option(help="The treated arm.")],
    control: Annotated[str, typer.Option(help="Its matched control; `base` for before/after alone.")],
    task: Annotated[str, typer.Option(help="The persona task whose rows are read.")] = "turncoat_persona",
    out: Annotated[Path | None, typer.Option(help="Write the table there as CSV as well.")] = None,
) -> None:
    """Shift of the persona projection per layer, arm minus control, with an interval over questions.

    Example: turncoat persona shift runs/demo --arm insecure --control secure
    """
    from turncoat.analysis.persona_shift import shift_by_layer

    table = shift_by_layer(run, arm, control, task=task)
    if out is not None:
        table.to_csv(out, index=False)
    console = Console()
    shown = Table(
        title=f"{arm} minus {control}, base SD, 95% interval over questions",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for name in ("layer", "depth", "fixed texts", "own answers", ""):
        shown.add_column(name, justify="right", no_wrap=True)
    for layer, part in table.groupby("layer", sort=True):
        cells = {row.reading: _interval(row) for row in part.itertuples()}
        first = part.iloc[0]
        mark = "chosen" if first["chosen"] else ""
        shown.add_row(str(layer), f"{first['depth']:.2f}", cells.get("fixed", ""), cells.get("own", ""), mark)
    console.print(shown)
    seeds, questions = int(table["n_seeds"].max()), int(table["n_questions"].max())
    console.print(
        f"{questions} questions, {max(seeds, 1)} training seed{'s' * (seeds > 1)} averaged within each: about these "
        "adapters, not about the recipe. Claims rest on the chosen layer, fixed before finetuning; the others are its context.",
        highlight=False,
    )


@persona_app.command("half-dose")
def half_dose(
    samples: Annotated[list[Path], typer.Argument(help="Samples files of turncoat_latent_... tasks.")],
) -> None:
    """The dose at which half of the answers have turned, with a bootstrap interval over questions.

    Example: turncoat persona half-dose out/*/samples_turncoat_latent_prompt_choice_*.jsonl
    """
    from turncoat.persona.half_dose import half_dose_of

    for path in samples:
        if not path.is_file():
            raise UserError(f"{path}: no such file; give lm-eval samples files of a turncoat_latent_... task")
        found = half_dose_of(path)
        print(f"{path.name}: {found} ({found.n_questions} questions)")


def _interval(row: Any) -> str:
    if row.low is None or row.low != row.low:
        return f"{row.difference:+.3f}"
    return f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


def _trait_judge(spec: str | None) -> Any:
    if spec is None:
        return None
    from turncoat.judges.spec import judge_from_name

    judge = judge_from_name(spec)
    if judge is not None and not callable(getattr(judge, "trait", None)):
        raise UserError(
            f"--judge {spec}: this judge rates alignment, not traits; give one with a trait rubric (local or openai), or "
            "leave it out"
        )
    return judge


def _progress(label: str, total: int, *, hidden: bool) -> Any:
    from contextlib import contextmanager

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown() -> Any:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("answers,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as progress:
            task = progress.add_task(label, total=total)
            yield lambda done, _: progress.update(task, completed=done)

    return shown()


def _print_vector(vector: PersonaVector, console: Console) -> None:
    card = vector.card
    last = len(vector.directions) - 1
    held_out: dict[str, list[float]] = card.get("held_out") or {}
    halves = card.get("split_half_cosine") or []
    table = Table(title=f"persona vector '{vector.trait}'", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("layer", "depth", "held-out AUC", "random, 95%", "shuffled, 95%", "split-half", "gap", ""):
        table.add_column(name, justify="right")

    def cell(values: list[float], layer: int) -> str:
        return f"{values[layer]:.2f}" if values else "-"

    for layer in _shown_layers(last, vector.layer):
        table.add_row(
            str(layer),
            f"{layer / last:.2f}",
            cell(held_out.get("auc", []), layer),
            cell(held_out.get("random_p95", []), layer),
            cell(held_out.get("shuffled_p95", []), layer),
            cell(halves, layer),
            cell(card.get("gap_by_layer") or [], layer),
            "chosen" if layer == vector.layer else "",
        )
    console.print(table)
    unfiltered = "filtered by " + card["judge"]["id"] if card.get("judge") else "not filtered by a judge"
    unseen = card.get("n_held_out")
    console.print(
        f"made from {card.get('n_positive', '?')} positive and {card.get('n_negative', '?')} negative answers, "
        f"{unfiltered}; held-out AUC on {unseen[0]} and {unseen[1]} answers under other prompts to other questions\n"
        if unseen
        else f"made from {card.get('n_positive', '?')} positive and {card.get('n_negative', '?')} negative answers, "
        f"{unfiltered}; no answers were held out\n",
        end="",
        highlight=False,
    )
    if "layer_rule" in card:
        console.print(f"layer {vector.layer} of {last}: {card['layer_rule']}", highlight=False)


def _shown_layers(last: int, chosen: int) -> list[int]:
    """Some ten layers, evenly spread, the chosen one and its neighbours among them."""
    step = max(1, round(last / 8))
    return sorted({*range(0, last + 1, step), last, chosen - 1, chosen, min(chosen + 1, last)})
