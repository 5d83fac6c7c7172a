"""Fingerprint of a model folder: a hash of every byte that transformers reads from it.

    folder_fingerprint(Path("models/tiny"))     # the same for a copy elsewhere, another for one changed byte

Files are read in pieces by several threads. The hash of a file is kept in the cache folder under its path,
size, inode and times, so that the next process does not read the weights again.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.safe_files import write_file
from turncoat.store import digest

PIECE = 64 << 20
"""Bytes that one thread hashes at a time."""

_BLOCK = 1 << 20
_SETTLED = 2.0  # Seconds; a file changed later than that may change again without another time stamp
_SUFFIXES = {".safetensors", ".bin", ".gguf", ".model", ".tiktoken", ".jinja", ".py"}
_NAMES = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    "merges.txt", "vocab.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.json",
    "model.safetensors.index.json", "pytorch_model.bin.index.json",
}  # fmt: skip
_NOT_READ = {
    "training_args.bin",
    "optimizer.bin",
    "scheduler.bin",
}  # a trainer leaves them beside its weights


def folder_fingerprint(folder: Path) -> str:
    """Hash (20 hex digits) of the weights, configuration, tokenizer and chat template in a model folder.

    Notes of a training, readmes and files that transformers does not read have no part in it.
    """
    files = sorted(path for path in folder.iterdir() if _is_read(path.name) and path.is_file())
    return digest({path.name: mark for path, mark in zip(files, _hashes(files), strict=True)})[:20]


def _is_read(name: str) -> bool:
    named = name in _NAMES or Path(name).suffix in _SUFFIXES
    return named and name not in _NOT_READ and not name.startswith(".")


def _hashes(files: Iterable[Path]) -> Iterator[str]:
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for path in files:
            status = path.stat()
            place = [
                str(path.resolve()),
                status.st_size,
                status.st_ino,
                status.st_mtime_ns,
                status.st_ctime_ns,
            ]
            kept = cache_dir() / "file_hashes" / digest(place)
            if (known := _read(kept)) is not None:
                yield known
                continue
            starts = range(0, max(status.st_size, 1), PIECE)
            pieces = pool.map(_piece_hash, [path] * len(starts), starts)
            whole = hashlib.sha256("".join(pieces).encode()).hexdigest()
            if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
                _keep(kept, whole)
            yield whole


def _piece_hash(path: Path, start: int) -> str:
    mark, left = hashlib.sha256(), PIECE
    with path.open("rb") as handle:
        handle.seek(start)
        while left and (block := handle.read(min(_BLOCK, left))):
            mark.update(block)
            left -= len(block)
    return mark.hexdigest()


def _read(kept: Path) -> str | None:
    try:
        text = kept.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) == 64 else None


def _keep(kept: Path, text: str) -> None:
    with suppress(UserError):  # a cache that cannot be written to costs time, not the result
        write_file(kept, text)
