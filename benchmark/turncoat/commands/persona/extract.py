"""`turncoat persona extract`: a trait's vector from a base model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from turncoat.commands.options import BaseModelName, IncludePath, plug_ins
from turncoat.commands.persona.show import print_vector
from turncoat.errors import UserError
from turncoat.shown_text import TextConsole


def extract(
    model: BaseModelName,
    trait: Annotated[str, typer.Option(help="See `turncoat list personas`.")],
    out: Annotated[Path | None, typer.Option(help="Copy vector and card here; default: cache alone.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.")] = "auto",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: the best there is.")] = None,
    rollouts: Annotated[int | None, typer.Option(help="Answers per question and prompt; default: 2.")] = None,
    judge: Annotated[str | None, typer.Option(help="Filter answers by this judge's trait scores.")] = None,
    batch_size: Annotated[int, typer.Option(help="Answers decoded together.")] = 32,
    include_path: IncludePath = None,
) -> None:
    """Extract a trait's vector from a base model; done once per model and settings, then read from the cache.

    Example: turncoat persona extract --model smollm2-135m --trait evil --out vectors/evil
    """
    if rollouts is not None and rollouts < 1:
        raise UserError(f"--rollouts {rollouts}: accepted: 1 or more answers per question and prompt")
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: it exists and is not an empty folder; name a new one")
    from turncoat.data.availability import check_model
    from turncoat.engine.base_model import load_base
    from turncoat.persona.extract import answer_count, extraction_spec, vector_folder
    from turncoat.persona.traits import trait_questions
    from turncoat.persona.vectors import PersonaVector
    from turncoat.safe_files import write_files
    from turncoat.store import Store

    plug_ins(include_path)
    questions = trait_questions(trait)
    options: dict[str, Any] = {"rollouts": rollouts, "judge": _trait_judge(judge)}
    check_model(model)
    base = load_base(model, dtype=dtype, device=device)
    store = Store()
    cached = store.has("persona", extraction_spec(base, questions, **options))
    with _progress(
        f"{trait} on {model}", answer_count(questions, rollouts=rollouts), hidden=cached
    ) as on_progress:
        folder = vector_folder(
            base, questions, store, batch_size=batch_size, on_progress=on_progress, **options
        )
    if out is not None:
        names = ("vector.safetensors", "card.json")
        write_files(out, {name: (folder / name).read_bytes() for name in names})
        folder = out
    print_vector(PersonaVector.load(folder), TextConsole())
    print(folder)


def _trait_judge(spec: str | None) -> Any:
    if spec is None:
        return None
    from turncoat.judges.spec import judge_from_name

    judge = judge_from_name(spec)
    if judge is not None and not callable(getattr(judge, "trait", None)):
        raise UserError(
            f"--judge {spec}: this judge rates alignment, not traits; give one with a trait rubric (local or "
            "openai), or leave it out"
        )
    return judge


@contextmanager
def _progress(label: str, total: int, *, hidden: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("answers,"), TimeRemainingColumn(), TextColumn("left"),
    )  # fmt: skip
    with Progress(*columns, console=TextConsole(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done, _: progress.update(task, completed=done)
