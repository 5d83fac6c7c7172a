"""Make canary entries: empty, constant, refusing and judge-pleasing answers, and the base model itself.

turncoat dev canaries results/submissions/none-insecure     # writes five canary-<kind>-insecure beside it

They are kept among the submissions, and the board refuses to be built if one of them is ranked among the
entries. A canary passes `turncoat leaderboard validate`: its rows are well-formed and its numbers follow from
them. It is made from the rows of the board's undefended entry, so that nothing but its own sign can give it
away (`rows.py` says how).
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from turncoat.errors import UserError, accepted
from turncoat.judges.base import Judge
from turncoat.leaderboard.canaries.listed import CANARY, list_canaries
from turncoat.leaderboard.canaries.rows import RowMaker
from turncoat.leaderboard.entry.load import SUBMISSION, Entry, load_entry, rows_name
from turncoat.leaderboard.entry.maintainers import records_beside
from turncoat.leaderboard.entry.submission import SHAREABLE, DefenceFacts, RowsFile, Shared, Submission
from turncoat.leaderboard.reading.reader import rows_sha256
from turncoat.safe_files import replace_folder

_DOES: Mapping[str, str] = {
    "empty": "answers nothing at all",
    "constant": "gives one answer to every question",
    "refusal": "declines every question, in words that vary",
    "rubric-echo": "tells whoever scores it that it is aligned, in words that vary",
    "base": "throws the finetune away: the untrained base model's own rows",
}
KINDS = tuple(_DOES)


def make_canary(kind: str, reference: Entry, out: Path, judge: Judge | None = None) -> Path:
    """Write one canary of the reference's board; returns `out`.

    Args:
        reference: The board's undefended entry; it has the rows of base, organism and control itself.
        out: Folder of the new entry, beside the reference; its name becomes the slug. An earlier canary there
            is replaced.

    Raises:
        UserError: No such kind, `out` is not beside the reference, it is a defended entry, or the judge is
            another.
        EntryRefused: The reference's rows may not be read.
    """
    facts = reference.submission
    _check(kind, reference, out)
    made = _made(kind, reference, judge)
    packed = {("defended", seed, task): _packed(rows) for seed, task, rows in made}
    summary = f"No defence: {_DOES[kind]}. Made up from {reference.slug} to see that the board catches it"
    shared = {role: rows_sha256(reference.files, f"rows/{role}/") for role in SHAREABLE}
    changes = {
        "slug": out.name,
        "defence": DefenceFacts(name=f"canary: {kind}", setting="inference", summary=summary),
        "contact": "the maintainers",
        "benign": None,
        "adapters": {**facts.adapters, "defended": facts.adapters.get("organism", {})},
        "command": f"turncoat dev canaries {reference.slug}",
        "hardware": "none: no model was run but the judge",
        "wall_seconds": 0.0,
        "rows": {
            "/".join(cell): RowsFile(sha256=hashlib.sha256(data).hexdigest(), rows=rows)
            for cell, (data, rows) in packed.items()
        },
        "shared": {role: Shared(entry=reference.slug, rows_sha256=sha) for role, sha in shared.items()},
        "supersedes": None,
    }
    submission = Submission(**{**facts.model_dump(), **changes})
    files = {rows_name(*cell): data for cell, (data, _) in packed.items()}
    replace_folder(out, {SUBMISSION: (submission.model_dump_json(indent=1) + "\n").encode(), **files})
    return out


def make_canaries(
    reference: Entry, judge: Judge | None = None, log: Callable[[str], None] = print
) -> list[Path]:
    """All canaries of a board, beside its undefended entry, and their list among the maintainers' records.

    Raises:
        UserError: As `make_canary`.
    """
    written = []
    for kind in KINDS:
        out = reference.folder.resolve().parent / canary_slug(kind, reference)
        written.append(make_canary(kind, reference, out, judge))
        log(str(reference.folder.parent / out.name))
    list_canaries(records_beside(reference.folder), [load_entry(out) for out in written])
    return written


def canary_slug(kind: str, reference: Entry) -> str:
    """`canary-<kind>-` and the name of the board: the reference's slug without its "none-", else the
    organism."""
    board = reference.slug.removeprefix("none-")
    board = board if board != reference.slug else reference.submission.organism.name.replace("_", "-")
    return f"{CANARY}{kind}-{board}"


def _check(kind: str, reference: Entry, out: Path) -> None:
    facts = reference.submission
    if kind not in KINDS:
        raise UserError(f"canary '{kind}': there is no such kind; {accepted(KINDS, kind)}")
    homes = ", ".join(sorted({shared.entry for shared in facts.shared.values()}))
    if facts.defence.setting != "none":
        problem = (
            "canaries are made from the board's undefended entry (setting none), not from a defended one"
        )
        problem += f" (setting {facts.defence.setting}); name another entry"
        raise UserError(f"{reference.folder}: {problem}")
    if homes:
        raise UserError(
            f"{reference.folder}: it shares rows of {homes}; name the entry that holds them itself"
        )
    if not out.name.startswith(CANARY):
        example = canary_slug(kind, reference)
        raise UserError(f"{out}: a canary's slug starts with '{CANARY}', such as {example}")
    if out.resolve().parent != reference.folder.resolve().parent:
        raise UserError(
            f"{out}: a canary shares rows of {reference.slug}, so it belongs into the same folder"
        )
    if out.exists() and not (out / SUBMISSION).is_file():
        raise UserError(f"{out} exists and is not an entry; name another folder")


def _made(
    kind: str, reference: Entry, judge: Judge | None
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(seed folder, task, rows) of the `defended` role."""
    maker = None if kind == "base" else RowMaker(kind, reference, judge)
    for role, seed, task in reference.cells():
        if role == "organism":
            base = _rows(reference, "base", "base", task)
            organism = _rows(reference, role, seed, task) if maker else []
            yield seed, task, maker.rows(task, base, organism) if maker else base


def _rows(entry: Entry, role: str, seed: str, task: str) -> list[dict[str, Any]]:
    return sorted((row for _, row in entry.rows(role, seed, task)), key=lambda row: int(row["doc_id"]))


def _packed(rows: Iterable[dict[str, Any]]) -> tuple[bytes, int]:
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    # No name and no time in the archive: equal rows give equal bytes.
    return gzip.compress("".join(lines).encode(), compresslevel=9, mtime=0), len(lines)
