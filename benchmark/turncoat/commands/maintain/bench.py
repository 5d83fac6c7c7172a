"""`turncoat bench`: the engine's speed against what people would use instead."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import BaseModelName
from turncoat.commands.printing import note
from turncoat.errors import UserError
from turncoat.shown_text import visible


def bench(
    works: Annotated[
        list[str] | None, typer.Argument(metavar="WORK", help="W1, W3, W4, W5, W6 or W7; default: all.")
    ] = None,
    model: BaseModelName = "smollm2-135m",
    runs: Annotated[int, typer.Option(min=1, help="Turns of every strategy; 5 or more for a result.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Less of each work: a look in minutes.")] = False,
    vllm_python: Annotated[
        str | None,
        typer.Option(help="A Python that has vllm; default: TURNCOAT_VLLM_PYTHON, or this one where it has."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON object alone.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON object to this file too.")] = None,
    table: Annotated[Path | None, typer.Option(help="Run nothing: print the table of such a file.")] = None,
) -> None:
    """Time the engine and plain transformers, lm-eval, Trainer and vLLM on the same work, in turns.

    Equal results are checked first. Prints tables, and one JSON object on the last line.

    Example: turncoat bench W1 W5 --model smollm2-135m --out bench.json

    Example: turncoat bench --table bench.json
    """
    from turncoat.bench.table import as_markdown, read_record

    if table is not None:
        print(visible(as_markdown(read_record(table))))
        return
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: its folder is not there; make it first")
    from turncoat.bench.run import bench as measure
    from turncoat.engine.vllm.process import python_with_vllm
    from turncoat.safe_files import write_file

    record = measure(
        model, works or (), runs=runs, quick=quick, vllm_python=vllm_python or python_with_vllm(),
        say=partial(note, style="dim"),
    )  # fmt: skip
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    if out is not None:
        write_file(out, (text + "\n").encode())
    if not as_json:
        print(visible(as_markdown(record)), end="\n\n")
    print(visible(text))
    if record.get("stopped"):
        note("stopped; the runs that were finished are above")
        raise typer.Exit(1)
