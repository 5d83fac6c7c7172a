"""Published datasets, fetched on demand at a pinned revision and checked; none of them ships with Turncoat.

`TURNCOAT_DATA` names a local folder that is looked in first (an air-gapped machine, a mirror); its files are
checked against the same SHA-256.
"""

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import yaml

from turncoat.errors import UserError, accepted
from turncoat.paths import cache_dir
from turncoat.safe_files import write_file
from turncoat.store import file_digest


@dataclass(frozen=True)
class Published:
    """A published file; `published.yaml` describes the fields."""

    path: str
    sha256: str
    licence: str
    source: str
    url: str = ""
    member: str | None = None
    password: str | None = None


def _read() -> dict[str, Published]:
    content = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return {name: Published(**fields) for name, fields in content.items()}


PUBLISHED = _read()


def credit(name: str) -> str:
    """Source and licence of a published dataset, for lists: "fetched: Betley et al. ...;
    licence MIT"."""
    return f"fetched: {PUBLISHED[name].source}; licence {PUBLISHED[name].licence}"


def with_credit(summary: str, name: str | None) -> str:
    """A summary with source and licence of the published set that it speaks of, if any."""
    return summary if name is None else f"{summary} ({credit(name)})"


class NotHere(UserError):
    """A published set that is not on this machine, where nothing may be fetched."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{PUBLISHED[name].path} is not here, and nothing is fetched now")
        self.name = name


_fetching = ContextVar("fetching", default=True)


@contextmanager
def without_fetching() -> Iterator[None]:
    """Inside, only data that are here already are used: `published` raises where it would fetch."""
    token = _fetching.set(False)
    try:
        yield
    finally:
        _fetching.reset(token)


def published(name: str) -> Path:
    """Local path of a published dataset, checked; fetched if it is not here yet.

    Raises:
        UserError: There is no such dataset, TURNCOAT_DATA is not a folder, the local file has other content
            than the pinned one, no upstream file is known, or the download failed.
    """
    if name not in PUBLISHED:
        raise UserError(f"'{name}' is not a published dataset; {accepted(PUBLISHED, name)}")
    entry = PUBLISHED[name]
    local = os.environ.get("TURNCOAT_DATA")
    if local and not Path(local).expanduser().is_dir():
        raise UserError(f"TURNCOAT_DATA={local}: there is no such folder; name one, or unset TURNCOAT_DATA")
    if local and (candidate := Path(local).expanduser() / entry.path).is_file():
        found = file_digest(candidate)
        if found != entry.sha256:
            raise UserError(
                f"{candidate} has SHA-256 {found}; the pinned one is {entry.sha256}: it is another version "
                "of the dataset. Remove it (it will be fetched) or unset TURNCOAT_DATA"
            )
        return candidate
    kept = cache_dir() / "data" / entry.path
    if not kept.is_file():
        if not _fetching.get():
            raise NotHere(name)
        _fetch(entry, kept)
    return kept


def _fetch(entry: Published, kept: Path) -> None:
    advice = (
        f"put the file at $TURNCOAT_DATA/{entry.path} (SHA-256 {entry.sha256}) and set TURNCOAT_DATA to that "
        "folder"
    )
    if entry.password:
        advice += (
            f". By hand, `easy-dataset-share unprotect-dir {entry.url.rpartition('/')[2]} -p "
            f"{entry.password}` unlocks the archive that holds {entry.member}"
        )
    if not entry.url:
        raise UserError(
            f"{entry.path} ({entry.source}; licence {entry.licence}) cannot be fetched: no single upstream "
            f"file is known. To use it, {advice}"
        )
    import pooch

    print(f"fetching {entry.path} ({entry.source}; licence {entry.licence})", file=sys.stderr, flush=True)
    try:
        archives = cache_dir() / "data" / "archives"
        got = Path(pooch.retrieve(entry.url, known_hash=None, path=archives, progressbar=False))
    except Exception as error:
        # pooch passes on whatever requests and urllib raise; to the user they are all one thing.
        raise UserError(
            f"{entry.path} could not be fetched from {entry.url} ({error}). Where the network does not allow "
            f"it, {advice}"
        ) from error
    data = got.read_bytes() if entry.member is None else _extracted(got, entry.member, entry.password)
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise UserError(
            f"{entry.path} from {entry.url} has SHA-256 {found}, not {entry.sha256}. If you have the right "
            f"one, {advice}"
        )
    write_file(kept, data)


def _extracted(archive: Path, member: str, password: str | None) -> bytes:
    opened: Path | io.BytesIO = archive
    if password is not None:
        try:
            from turncoat.data.encrypted_archive import unlock  # loads numpy

            opened = io.BytesIO(unlock(archive.read_bytes(), password))
        except UserError as error:
            raise UserError(f"{archive}: {error} (a proxy's page?); remove it and try again") from error
    if not zipfile.is_zipfile(opened):
        raise UserError(f"{archive} is not a ZIP archive (a proxy's page, perhaps); remove it and try again")
    with zipfile.ZipFile(opened) as bundle:
        names = [n for n in bundle.namelist() if n.split("/")[-1] == member and not n.startswith("__MACOSX")]
        if len(names) != 1:
            raise UserError(f"{archive} holds {len(names)} files called {member}; one is expected")
        return bundle.read(names[0])
