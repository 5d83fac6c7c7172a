"""Paths of Turncoat's plug-in folders, its cache and its runs.

A wheel carries `tasks/`, `baselines/`, the organisms and the studies inside the package
(`turncoat/_plugins`); an editable install finds them in the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

PACKAGE = Path(__file__).resolve().parent
_CARRIED = PACKAGE / "_plugins"
_CHECKOUT = PACKAGE.parents[1]


def _plugin_folder(name: str, in_checkout: str) -> Path:
    carried = _CARRIED / name
    return carried if carried.is_dir() else _CHECKOUT / in_checkout


def tasks_dir() -> Path:
    """Folder of the lm-eval task YAMLs (`lm_eval --include_path`)."""
    return _plugin_folder("tasks", "tasks")


def baselines_dir() -> Path:
    """Folder with one Python file per defence."""
    return _plugin_folder("baselines", "baselines")


def organisms_dir() -> Path:
    """Folder with the organisms that ship, several in a Python file."""
    return _plugin_folder("organisms", "benchmark/organisms")


def studies_dir() -> Path:
    """Folder of the study YAMLs that ship with Turncoat."""
    return _plugin_folder("studies", "benchmark/studies")


def cache_dir() -> Path:
    """User cache for models, fetched data and stages; `TURNCOAT_CACHE` overrides it."""
    override = os.environ.get("TURNCOAT_CACHE")
    return Path(override).expanduser() if override else Path(user_cache_dir("turncoat"))
