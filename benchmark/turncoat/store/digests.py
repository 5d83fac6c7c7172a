"""Digests that keys are made of: of JSON-like values, of files, of code."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any


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
