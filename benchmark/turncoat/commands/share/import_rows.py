"""`turncoat import`: released rows of other projects as runs."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.printing import note
from turncoat.errors import UserError


def sgtr_em(
    folder: Annotated[Path, typer.Argument(help="A clone of github.com/atagade/sgtr-em, or merged tables.")],
    out: Annotated[Path, typer.Option(help="Folder of the runs; an earlier import there is replaced.")],
) -> None:
    """The rows released with arXiv:2606.23700, as runs: arms and seeds named, lm-eval's sample format.

    Example: turncoat import sgtr-em sgtr-em --out runs/sgtr_released
    """
    from turncoat.analysis.released.run_folders import SOURCE, write_runs
    from turncoat.analysis.released.sgtr_em import read_release

    if out.exists() and (not out.is_dir() or any(not (p / "run.json").is_file() for p in out.iterdir())):
        raise UserError(
            f"--out {out} is there and holds something else than imported runs; name another folder"
        )
    release = read_release(folder, partial(note, style="dim"))
    paths = write_runs(release, out)
    for text in release.notes:
        note(f"left out: {text}", "yellow")
    note(
        "recognition: the order of the two summaries was not released, so there is no position bias", "yellow"
    )
    rows = sum(map(len, release.rows.values()))
    note(f"{rows} rows in {len(paths)} runs; {SOURCE}. Next: turncoat tables {out} --paper sgtr --out tables")
    for path in paths:
        print(path)
