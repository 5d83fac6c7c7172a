"""Content-addressed stages: keyed by all that determines their result, whole or not there.

    folder = Store(root).stage("adapter", {"rows": 200, "seed": 0}, build=lambda tmp: train(tmp))

The key is the SHA-256 of the stage's kind and specification (canonical JSON). `build` writes into a temporary
folder, which is renamed into place when it returns; a folder that exists is therefore complete.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from turncoat.paths import cache_dir
from turncoat.safe_files import write_file

SPEC_FILE = "stage.json"
TIMING_FILE = "timing.json"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-like value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def code_digest(sources: Iterable[ModuleType | Path]) -> str:
    """SHA-256 of code and data: comments, layout and docstrings of Python do not count.

    Part of a stage's specification, so that changed code never serves an older result.
    """
    paths = [source if isinstance(source, Path) else Path(str(source.__file__)) for source in sources]
    texts = [(path.suffix, path.read_text(encoding="utf-8")) for path in paths]
    return digest([normalised_source(text) if suffix == ".py" else text for suffix, text in texts])[:16]


@lru_cache(maxsize=256)  # every stage's key asks for the same few files
def normalised_source(source: str) -> str:
    """The syntax tree of Python code without docstrings, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


class Store:
    """Finished stages under one folder, `<root>/<kind>/<key>/`.

    Args:
        root: Where stages live; the user cache by default.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else cache_dir() / "stages"

    def folder(self, kind: str, spec: dict[str, Any]) -> Path:
        """Folder of the stage's result, there or not."""
        return self.root / kind / digest({"kind": kind, "spec": spec})[:20]

    def has(self, kind: str, spec: dict[str, Any]) -> bool:
        """True if the stage is done."""
        return self.folder(kind, spec).is_dir()

    def stage(
        self, kind: str, spec: dict[str, Any], build: Callable[[Path], None], *, again: bool = False
    ) -> Path:
        """Folder with the stage's result; `build(folder)` makes it when it is missing.

        Args:
            again: Replace what is there; it stays until the new result is complete.

        Raises:
            Whatever `build` raises; nothing is kept then.
        """
        final = self.folder(kind, spec)
        if final.is_dir() and not again:
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        # Nobody else may enter the folder around it, and its name ends in random characters.
        around = f".{final.name}.{_here()}.{os.getpid()}.{_started(os.getpid())}."
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(
            prefix=around, dir=final.parent, ignore_cleanup_errors=True
        ) as scratch:
            working = Path(scratch, "stage")
            working.mkdir()
            build(working)
            seconds = {"seconds": round(time.perf_counter() - begun, 2)}
            write_file(working / TIMING_FILE, json.dumps(seconds) + "\n")
            write_file(working / SPEC_FILE, json.dumps(spec, indent=1, sort_keys=True) + "\n")
            _sync(working)
            before = Path(scratch, "before")
            if again and final.is_dir():
                os.rename(final, before)
            try:
                os.rename(working, final)
            except BaseException as error:
                # Another process finished the same stage first: its result is ours, by construction.
                if isinstance(error, OSError) and final.is_dir():
                    return final
                if before.is_dir():
                    os.rename(before, final)
                raise
        return final


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())


def _sweep(parent: Path) -> None:
    """Remove the working folders of processes of this machine that are gone (killed in the midst of a
    stage)."""
    for left in parent.glob(f".*.{_here()}.*.*.*"):
        pid, started, _ = left.name.rsplit(".", 3)[1:]
        if pid.isdigit() and _started(int(pid)) != started:
            shutil.rmtree(left, ignore_errors=True)


def _here() -> str:
    """Short mark of this machine, for a cache that several share."""
    return digest(platform.node())[:8]


def _started(pid: int) -> str:
    """Start of a living process in clock ticks since boot, for numbers are used again; "0" where the system
    does not tell it, "" for a process that is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    try:  # proc(5): field 22, the 20th behind the name in brackets
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except OSError:
        return "0"
