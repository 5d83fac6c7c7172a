"""Write the record of a verification, `results/verifications/<slug>.json`. Maintainers alone write it."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.reading.findings import shown
from turncoat.leaderboard.verification.draw import Compared, Tolerances, entry_digest
from turncoat.leaderboard.verification.verdict import VERIFIED, agreeing_at_least, agreement_table, verdict_of
from turncoat.safe_files import write_files

_RECORDED = 50  # differences that a record keeps
_LIBRARIES = ("turncoat", "torch", "transformers", "peft", "lm_eval")


@dataclass(frozen=True)
class Request:
    """A draw of rows to verify, and its maker."""

    fraction: float | None  # Share of the rows, above 0 and up to 1; None: enough of them (`draw.enough`)
    nonce: str  # Of `draw.draw_seed`; the record shows it
    by: str
    date: str  # YYYY-MM-DD
    roles: tuple[str, ...] | None = None  # None = all that can be checked


def make_record(
    entry: Entry,
    how: Literal["rerun", "rejudge"],
    compared: Sequence[Compared],
    request: Request,
    tolerances: Tolerances,
    more: dict[str, Any],
) -> dict[str, Any]:
    """The content of `results/verifications/<slug>.json`; `status.py` reads a part of it."""
    outside = [
        {
            "file": f"rows/{item.drawn.role}/{item.drawn.seed}/{item.drawn.task}.jsonl.gz",
            "row": item.drawn.line,
            "field": difference.where,
            "stored": shown(difference.stored),
            "found": shown(difference.fresh),
        }
        for item in compared
        for difference in item.differences
        if not difference.within
    ]
    return {
        "slug": entry.slug, "rows_sha256": entry_digest(entry), "how": how,
        "verdict": verdict_of(compared, tolerances), "by": request.by, "date": request.date,
        "fraction": request.fraction, "nonce": request.nonce, "compared": len(compared),
        "agreeing": sum(item.agrees for item in compared),
        "agreeing_at_least": round(agreeing_at_least(compared), 4), "agreement": agreement_table(compared),
        "differences": outside[:_RECORDED], "differences_in_all": len(outside),
        "tolerances": asdict(tolerances), **more,
        "versions": {name: number for name in _LIBRARIES if (number := _version(name))},
        "hardware": _hardware(),
    }  # fmt: skip


def unseen_nonce(nonce: str, entry: Entry, out: Path) -> None:
    """Refuse a nonce that stands in the record of other rows: who wrote these may have seen it.

    Raises:
        UserError: With the record.
    """
    for path in sorted(out.glob("*.json")):
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if earlier.get("nonce") == nonce and earlier.get("rows_sha256") != entry_digest(entry):
            raise UserError(
                f"--nonce {nonce}: {path} shows it for other rows, so that rows may be fitted to its draw; "
                "leave --nonce out for a new one"
            )


def write_record(record: dict[str, Any], out: Path) -> Path | None:
    """Write `<slug>.json`; None if a re-run of the very same rows is there, which says more than scores
    judged again.

    Earlier draws of the same rows stay in it, so that nobody draws until it fits.
    """
    path = out / f"{record['slug']}.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if earlier.get("rows_sha256") == record["rows_sha256"]:
        if earlier.get("how") != "rejudge" and record["how"] == "rejudge" and record["verdict"] == VERIFIED:
            return None
        last = {key: earlier.get(key) for key in ("how", "date", "fraction", "nonce", "verdict")}
        record = {**record, "earlier": [*earlier.get("earlier", []), last]}
    content = json.dumps(record, indent=1, allow_nan=False) + "\n"
    write_files(out, {path.name: content.encode()})
    return path


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _hardware() -> str:
    torch = sys.modules.get("torch")  # loaded if a model was
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else ""
    return ", ".join(filter(None, (platform.machine(), f"{os.cpu_count()} cores", gpu)))
