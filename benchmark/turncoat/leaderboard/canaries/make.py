"""Make canary entries: empty, constant, refusing and judge-pleasing answers, and the base model itself.

turncoat dev canaries results/submissions/none-insecure     # writes five canary-<kind>-insecure beside it

They are kept among the submissions, and the board refuses to be built if one of them is ranked among the
entries. A canary passes `turncoat validate`: its rows are well-formed and its numbers follow from them. It is
made from the rows of the board's undefended entry, so that nothing but its own sign can give it away
(`rows.py` says how).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.judges.base import Judge
from turncoat.leaderboard.canaries.rows import RowMaker
from turncoat.leaderboard.entry.load import SUBMISSION, Entry, rows_name, seed_number
from turncoat.leaderboard.entry.submission import DefenceFacts, RowsFile, Shared, Submission
from turncoat.leaderboard.reading.reader import rows_sha256
from turncoat.registry import accepted
from turncoat.safe_files import replace_folder

CANARY = "canary-"
_DOES: Mapping[str, str] = {
    "empty": "answers nothing at all",
    "constant": "gives one answer to every question",
    "refusal": "declines every question, in words that vary",
    "rubric-echo": "tells whoever scores it that it is aligned, in words that vary",
    "base": "throws the finetune away: the untrained base model's own rows",
}
KINDS = tuple(_DOES)


def make_canary(kind: str, reference: Entry, out: Path, judge: Judge | None = None) -> Path:
    """Write one canary of the reference's board.

    Args:
        reference: The board's undefended entry; it has the rows of base, organism and control itself.
        out: Folder of the new entry, beside the reference; its name becomes the slug. An earlier canary there
            is replaced.
        judge: Who scores the answers: the judge of the reference's answers. None: the embedded one.

    Returns:
        `out`.

    Raises:
        UserError: No such kind, `out` is not beside the reference, it is a defended entry, or the judge is
            another.
        EntryRefused: The reference's rows may not be read.
    """
    facts = reference.submission
    _check(kind, reference, out)
    makers = _makers(kind, reference, judge)
    packed = {f"defended/{seed}/{task}": _packed(make(seed, task)) for (seed, task), make in makers.items()}
    submission = Submission(
        **{
            **facts.model_dump(),
            "slug": out.name,
            "defence": DefenceFacts(
                name=f"canary: {kind}",
                setting="inference",
                summary=f"No defence: {_DOES[kind]}. Made up from {reference.slug} to see that the board catches it",
            ),
            "contact": "the maintainers",
            "benign": None,
            "adapters": {**facts.adapters, "defended": facts.adapters.get("organism", {})},
            "command": f"turncoat dev canaries {reference.slug}",
            "hardware": "none: no model was run but the judge",
            "wall_seconds": 0.0,
            "rows": {
                key: RowsFile(sha256=hashlib.sha256(data).hexdigest(), rows=rows)
                for key, (data, rows) in packed.items()
            },
            "shared": {
                role: Shared(entry=reference.slug, rows_sha256=rows_sha256(reference.files, f"rows/{role}/"))
                for role in ("base", "organism", "control")
            },
            "supersedes": None,
        }
    )
    _write(out, submission, {key: data for key, (data, _) in packed.items()})
    return out


def make_canaries(
    reference: Entry, judge: Judge | None = None, log: Callable[[str], None] = print
) -> list[Path]:
    """All canaries of a board, beside its undefended entry.

    Raises:
        UserError: As `make_canary`.
    """
    written = []
    for kind in KINDS:
        out = reference.folder.resolve().parent / canary_slug(kind, reference)
        written.append(make_canary(kind, reference, out, judge))
        log(str(reference.folder.parent / out.name))
    return written


def canary_slug(kind: str, reference: Entry) -> str:
    """`canary-<kind>-` and the name of the board: the reference's slug without its "none-", else the organism."""
    board = reference.slug.removeprefix("none-")
    board = board if board != reference.slug else reference.submission.organism.name.replace("_", "-")
    return f"{CANARY}{kind}-{board}"


def _check(kind: str, reference: Entry, out: Path) -> None:
    facts = reference.submission
    if kind not in KINDS:
        raise UserError(f"canary '{kind}': there is no such kind; {accepted(KINDS, kind)}")
    if facts.defence.setting != "none":
        raise UserError(
            f"{reference.folder}: canaries are made from the board's undefended entry (setting none), not from a defended "
            f"one (setting {facts.defence.setting}); name another entry"
        )
    if facts.shared:
        homes = ", ".join(sorted({shared.entry for shared in facts.shared.values()}))
        raise UserError(
            f"{reference.folder}: it shares rows of {homes}; name the entry that holds them itself"
        )
    if not out.name.startswith(CANARY):
        raise UserError(
            f"{out}: a canary's slug starts with '{CANARY}', such as {canary_slug(kind, reference)}"
        )
    if out.resolve().parent != reference.folder.resolve().parent:
        raise UserError(
            f"{out}: a canary shares rows of {reference.slug}, so it belongs into the same folder"
        )
    if out.exists() and not (out / SUBMISSION).is_file():
        raise UserError(f"{out} exists and is not an entry; name another folder")


def _makers(
    kind: str, reference: Entry, judge: Judge | None
) -> dict[tuple[str, str], Callable[[str, str], list[dict[str, Any]]]]:
    """(seed, task) -> function that makes that rows file of the `defended` role."""
    cells = [(seed, task) for role, seed, task in reference.cells() if role == "organism"]
    if kind == "base":
        return {cell: lambda _, task: _rows(reference, "base", "base", task) for cell in cells}
    maker = RowMaker(kind, reference, judge)

    def made(seed: str, task: str) -> list[dict[str, Any]]:
        base, organism = _rows(reference, "base", "base", task), _rows(reference, "organism", seed, task)
        return maker.rows(task, base, organism)

    return dict.fromkeys(cells, made)


def _rows(entry: Entry, role: str, seed: str, task: str) -> list[dict[str, Any]]:
    return sorted((row for _, row in entry.rows(role, seed, task)), key=lambda row: int(row["doc_id"]))


def _packed(rows: Iterable[dict[str, Any]]) -> tuple[bytes, int]:
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    # No name and no time in the archive: equal rows give equal bytes.
    return gzip.compress("".join(lines).encode(), compresslevel=9, mtime=0), len(lines)


def _write(out: Path, submission: Submission, packed: Mapping[str, bytes]) -> None:
    files = {SUBMISSION: (submission.model_dump_json(indent=1) + "\n").encode()}
    for key, data in packed.items():
        role, seed, task = key.split("/")
        files[rows_name(role, f"seed-{seed_number(seed)}", task)] = data
    replace_folder(out, files)
