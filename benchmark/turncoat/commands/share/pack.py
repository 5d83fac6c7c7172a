"""`turncoat pack`: a run made small enough to keep."""

from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note
from turncoat.paths import run_folder


def pack(
    folder: Annotated[Path, typer.Argument(help="A finished run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(help="To write, default: FOLDER-packed; an earlier packed run there is replaced."),
    ] = None,
    include_path: IncludePath = None,
) -> None:
    """Make a run small enough to keep: rows gzipped, the machine's details left out. Every command reads it.

    Example: turncoat pack runs/demo --out results/demo
    """
    run_folder(folder)
    from turncoat.safe_files import read_object
    from turncoat.study.before_run.smoke import refuse_smoke
    from turncoat.study.config import load_study
    from turncoat.study.pack import pack_run

    study = load_study(folder / "study.yaml", include=plug_ins(include_path))
    refuse_smoke(study, folder)
    packed = pack_run(folder, out or folder.resolve().with_name(f"{folder.resolve().name}-packed"))
    if edited := study.edited_since(read_object(packed / "run.json")):
        note(edited, "yellow")
    sizes = [
        sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) / 1e6
        for run in (folder, packed)
    ]
    note(f"{sizes[0]:.1f} MB became {sizes[1]:.1f} MB; report, view, submit and the others read it", "dim")
    print(packed)
