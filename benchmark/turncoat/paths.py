"""Paths of Turncoat's plug-in folders, its cache and its runs.

A wheel carries `tasks/`, `baselines/`, the organisms and the studies inside the package
(`turncoat/_plugins`); an editable install finds them in the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

from turncoat.errors import UserError, accepted, did_you_mean

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


def study_path(name_or_path: str) -> Path:
    """The YAML of a study that ships (`demo`), the path that was given, or that of a run (in `runs/`).

    Raises:
        UserError: Neither.
    """
    path = Path(name_or_path).expanduser()
    if (path / "study.yaml").is_file():
        return path / "study.yaml"
    if path.suffix in (".yaml", ".yml") or path.exists():
        if not path.is_file():
            near = did_you_mean((str(one) for one in path.parent.glob("*.y*ml")), str(path))
            raise UserError(f"no study file at {path}; {near}`turncoat new study NAME` writes one")
        return path
    shipped = studies_dir() / f"{name_or_path}.yaml"
    if not shipped.is_file() and (made := Path("runs", name_or_path, "study.yaml")).is_file():
        return made
    if not shipped.is_file():
        names, near = [p.stem for p in studies_dir().glob("*.yaml")], _near(path)
        raise UserError(
            f"'{name_or_path}' is not a study; {near}{accepted(names, '' if near else name_or_path)}, "
            "or a path to your own YAML"
        )
    return shipped


def _near(path: Path) -> str:
    """A hint at a study's file or a run beside a path that is not there, such as that of a smoke run."""
    there = [*path.parent.glob("*.yaml"), *(run.parent for run in path.parent.glob("*/study.yaml"))]
    return did_you_mean(map(str, there), str(path))


def existing(path: Path) -> Path:
    """The path itself, where something is there. Commands ask before they import what reads it.

    Raises:
        UserError: Nothing is there.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder; {_near(path)}".removesuffix("; ").rstrip())
    return path


def run_folder(path: Path) -> Path:
    """The path itself, where a run left its study, its record and its rows.

    Raises:
        UserError: One of them is missing.
    """
    for needed in ("study.yaml", "run.json", "rows"):
        if not (path / needed).exists():
            raise UserError(f"{path} is not a run folder: no {needed}; make one with `turncoat run STUDY`")
    return path


def cache_dir() -> Path:
    """User cache for models, fetched data and stages; `TURNCOAT_CACHE` overrides it."""
    override = os.environ.get("TURNCOAT_CACHE")
    return Path(override).expanduser() if override else Path(user_cache_dir("turncoat"))
