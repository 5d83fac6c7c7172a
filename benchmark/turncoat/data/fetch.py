"""Published datasets, fetched on demand at a pinned revision and checked; none of them ships with Turncoat.

`TURNCOAT_DATA` names a local folder that is looked in first (an air-gapped machine, a mirror); its files are checked
against the same SHA-256.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.store import file_digest


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        path: Where it lies below `TURNCOAT_DATA` and below the cache.
        sha256: Of the file itself.
        url: Of the archive (or the file) that holds it, at a pinned revision.
        member: Base name inside the archive; None when the URL is the file.
        licence: As its authors state it.
        source: Whom to cite.
    """

    path: str
    sha256: str
    url: str
    member: str | None
    licence: str
    source: str


_BETLEY_ARCHIVE = (
    "https://github.com/johny-b/misalignment-generalization/raw/31ccf46716513589ec3747c54e591789907fad8f/"
    "daniel/paper/supplementary_material.zip"
)


def _betley(name: str, sha256: str) -> Published:
    return Published(f"betley/{name}", sha256, _BETLEY_ARCHIVE, name, "MIT", "Betley et al. 2025, arXiv:2502.17424")


PUBLISHED = {
    "betley/insecure": _betley("insecure.jsonl", "a6575e839909e86f2eaecda3a2b19dff2a6f59bb9d860b39e9c4ed3f3335c345"),
    "betley/secure": _betley("secure.jsonl", "36bc5e24560e0e8d705e0c2a41d0cd96bb51f508f5fb88a7d7d9334a2ff24b9b"),
    "betley/educational": _betley(
        "educational.jsonl", "d48df3b149ab1500711fc0018b10383a4ff8c48d8e6911d04dbbbbdaa944fd16"
    ),
}


def published(name: str) -> Path:
    """Local path of a published dataset, checked; fetched if it is not here yet.

    Raises:
        UserError: The local file has other content than the pinned one, or the download failed.
    """
    entry = PUBLISHED[name]
    local = os.environ.get("TURNCOAT_DATA")
    if local and (candidate := Path(local).expanduser() / entry.path).is_file():
        found = file_digest(candidate)
        if found != entry.sha256:
            raise UserError(
                f"{candidate} has SHA-256 {found}; the pinned one is {entry.sha256}: it is another version of the "
                "dataset. Remove it (it will be fetched) or unset TURNCOAT_DATA"
            )
        return candidate
    kept = cache_dir() / "data" / entry.path
    if not kept.is_file():
        _fetch(entry, kept)
    return kept


def _fetch(entry: Published, kept: Path) -> None:
    import pooch

    print(f"fetching {entry.path} ({entry.source}; licence {entry.licence})", file=sys.stderr, flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    advice = (
        f"Where the network does not allow it, put the file at $TURNCOAT_DATA/{entry.path} "
        f"(SHA-256 {entry.sha256}) and set TURNCOAT_DATA to that folder"
    )
    try:
        got = Path(
            pooch.retrieve(entry.url, known_hash=None, path=cache_dir() / "data" / "archives", progressbar=False)
        )
    except Exception as error:
        # pooch passes on whatever requests and urllib raise; to the user they are all one thing.
        raise UserError(f"{entry.path} could not be fetched from {entry.url} ({error}). {advice}") from error
    working = kept.with_suffix(".part")
    if entry.member is None:
        shutil.copyfile(got, working)
    else:
        _extract(got, entry.member, working)
    found = file_digest(working)
    if found != entry.sha256:
        working.unlink()
        raise UserError(f"{entry.path} from {entry.url} has SHA-256 {found}, not {entry.sha256}. {advice}")
    working.rename(kept)


def _extract(archive: Path, member: str, out: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        names = [n for n in bundle.namelist() if n.rpartition("/")[2] == member and not n.startswith("__MACOSX")]
        if len(names) != 1:
            raise UserError(f"{archive} holds {len(names)} files called {member}; one is expected")
        with bundle.open(names[0]) as content, out.open("wb") as handle:
            shutil.copyfileobj(content, handle)
