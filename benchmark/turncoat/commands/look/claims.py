"""`turncoat claims`: verdicts on the claims of a paper and of this project."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from turncoat.commands.printing import note
from turncoat.errors import UserError, accepted
from turncoat.paths import PACKAGE, existing
from turncoat.shown_text import TextConsole

EVIDENCE = ".evidence.json"  # beside the file of claims: what its tests need of the rows
PAGE = "README.md"
_COLOURS = {"supported": "green", "refuted": "red", "cannot tell": "yellow"}


def claims(
    file: Annotated[Path | None, typer.Argument(help="Claims; default: those of the SGTR paper.")] = None,
    rows: Annotated[list[Path] | None, typer.Option(help="Folder with runs; repeatable.")] = None,
    claim: Annotated[str, typer.Option(help="Only this claim, with each of its tests.")] = "",
    write: Annotated[
        bool, typer.Option("--write", help="Write the page and the evidence beside FILE.")
    ] = False,
) -> None:
    """A verdict for each claim: supported, refuted or cannot tell, and then which rows are missing.

    Rows that are not here are replaced by the evidence kept beside the file.

    Example: turncoat claims

    Example: turncoat claims results/claims/sgtr.yaml --rows results --rows runs/sgtr_released --write
    """
    from turncoat.safe_files import write_files

    path = existing(file or _shipped())
    loaded, results, evidence = load_claims(path, rows or [])
    chosen = [one for one in results if claim in ("", one.claim.id)]
    if not chosen:
        raise UserError(f"--claim {claim}: {accepted((one.claim.id for one in results), claim)}")
    console = TextConsole()
    for one in chosen:
        console.print(
            Text(one.verdict.upper(), f"bold {_COLOURS[one.verdict]}"), Text(f" {one.claim.sentence}")
        )
        console.print(Text(f"  {one.claim.id}: {one.reason}; on {one.data}", "dim"))
        shown = Table(box=None, padding=(0, 2, 0, 2))
        for heading in ("", "difference", "margin", "detectable", "verdict", "limits"):
            shown.add_column(heading, overflow="fold")
        for part in one.parts if claim else ():
            cells = (
                part.part.name,
                part.numbers,
                f"{part.part.margin:g}",
                part.detectable,
                part.verdict,
                part.remark,
            )
            shown.add_row(*map(Text, cells))
        if claim:
            console.print(shown)
    if not claim:
        note(
            f"each test of one: turncoat claims --claim {results[0].claim.id}; the page: {path.parent / PAGE}"
        )
    if write:
        for written in write_files(path.parent, written_files(path, loaded, results, evidence)):
            print(written)


def load_claims(path: Path, places: list[Path]) -> tuple[Any, Any, dict[tuple[str, str], Any]]:
    """A file of claims, the verdicts, and the evidence by (claim, part).

    Raises:
        UserError: A mistake in the file, or rows that lack an arm or a metric that it names.
    """
    from turncoat.analysis.claims.evidence import Rows, from_kept
    from turncoat.analysis.claims.spec import Claims
    from turncoat.report.claims import read_claims
    from turncoat.safe_files import read_object
    from turncoat.yaml_model import read_yaml_model

    loaded = read_yaml_model(path, Claims, "a file of claims")[0]
    beside = path.with_name(f"{loaded.claims}{EVIDENCE}")
    kept = read_object(beside) if beside.is_file() else {}
    source = Rows(places, loaded.level)
    evidence: dict[tuple[str, str], Any] = {}
    for one in loaded.items:
        for part in one.parts:
            found = source.of(part)
            if found is None and (record := kept.get(one.id, {}).get(part.name)):
                found = from_kept(record)
            evidence[one.id, part.name] = found
    return loaded, read_claims(loaded, evidence), evidence


def written_files(
    path: Path, loaded: Any, results: Any, evidence: dict[tuple[str, str], Any]
) -> dict[str, bytes]:
    """Files that `--write` puts beside the claims: the page, and the evidence."""
    from turncoat.analysis.claims.evidence import kept
    from turncoat.report.claims import claims_page

    records: dict[str, dict[str, Any]] = {}
    for (claim, part), one in evidence.items():
        if one is not None:
            records.setdefault(claim, {})[part] = kept(one)
    data = (json.dumps(records, indent=1, ensure_ascii=False) + "\n").encode()
    return {f"{loaded.claims}{EVIDENCE}": data, PAGE: claims_page(loaded, results, path.name).encode()}


def _shipped() -> Path:
    carried = PACKAGE / "_plugins" / "claims" / "sgtr.yaml"
    return carried if carried.is_file() else PACKAGE.parents[1] / "results" / "claims" / "sgtr.yaml"
