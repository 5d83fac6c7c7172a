"""`turncoat tables`: every table and figure from rows."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note
from turncoat.errors import UserError, accepted
from turncoat.formats import counted, first_of


def tables(
    folder: Annotated[
        Path, typer.Argument(exists=True, metavar="FOLDER", help="A run folder, or one with several.")
    ],
    out: Annotated[Path, typer.Option(help="Where the files go; made where it is missing.")],
    spec: Annotated[list[Path] | None, typer.Option(help="Table specifications; repeatable.")] = None,
    paper: Annotated[
        str, typer.Option(help="Only the tables of this paper, with its published numbers.")
    ] = "",
    png: Annotated[bool, typer.Option("--png/--no-png", help="Figures as PNG too, not SVG alone.")] = True,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if --out differs.")] = False,
    include_path: IncludePath = None,
) -> None:
    """Every table (Markdown, CSV, LaTeX) and figure (SVG, PNG) from rows. Equal rows give equal bytes.

    Example: turncoat tables runs/demo --out tables

    Example: turncoat tables results --out results/paper --no-png --check

    Example: turncoat tables runs/sgtr_released --paper sgtr --out results/sgtr_released
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder")
    from turncoat.report.paper.files import KINDS, paper_files
    from turncoat.report.paper.spec import load_specs
    from turncoat.report.run_rows import find_runs
    from turncoat.safe_files import write_files

    plug_ins(include_path)
    specs = load_specs(tuple(spec or ()))  # mistakes in them are found before the rows are read
    if paper:
        papers = sorted({one.paper for one in specs if one.paper})
        if paper not in papers:
            raise UserError(f"--paper {paper}: no table is of it; {accepted(papers, paper)}")
        specs = [one for one in specs if one.paper == paper]
    progress = partial(note, style="dim")
    runs = find_runs(folder, progress)
    files = paper_files(runs, specs, png=png, paper=paper, on_step=progress)
    extra = sorted(path.name for path in out.glob("*") if path.suffix[1:] in KINDS and path.name not in files)
    if check:
        _check(out, files, extra)
        return
    write_files(out, files)
    if extra:
        note(f"left alone, though no row gives it: {first_of(extra, 8)}")
    note(
        f"{counted(len(files), 'file')} from {counted(len(runs), 'run')}; what there is and what is missing:"
    )
    print(out / "index.md")


def _check(out: Path, files: dict[str, bytes], extra: list[str]) -> None:
    """Exit with 1 where a file differs from what the rows give, is missing, or comes from no row."""
    wrong = [name for name, data in files.items() if not _holds(out / name, data)]
    if wrong:
        note(f"{out}: {len(wrong)} of {len(files)} files are not what the rows give: {first_of(wrong, 8)}")
    if extra:
        note(f"{out}: no row gives {first_of(extra, 8)}")
    if wrong or extra:
        raise typer.Exit(1)
    note(f"{out}: all {len(files)} files are what the rows give")


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
