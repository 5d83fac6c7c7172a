"""Registry of organisms, defences and judges: one decorator each; their files are discovered.

@defence("pick_longer", settings=("prevention", "reversal"), summary="Same pairs, label by length.")
def pick_longer(context, *, texts: int = 32) -> list[Example]: ...
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from turncoat.errors import UserError, accepted
from turncoat.plug_ins import SHIPPED_JUDGES, broken, code_files, include

SETTINGS = ("prevention", "in_training", "reversal", "inference")


@dataclass(frozen=True)
class Entry:
    """Facts of every registered function.

    Attributes:
        name: What a study calls it.
        summary: One line for `turncoat list`.
        build: The registered function.
        options: The function's keyword parameters and their defaults.
        source: The file that defines it; part of every stage key.
    """

    name: str
    summary: str
    build: Callable[..., Any]
    options: dict[str, Any]
    source: Path


@dataclass(frozen=True)
class Organism(Entry):
    """A registered organism or matched control.

    Attributes:
        control: Name of its matched control, another organism.
        is_control: Whether it is a matched control itself.
        answered_by_base: The base model's own answers replace the examples' answers, at their lengths.
        data: The published set that it reads (`turncoat.data.fetch`); lists and reports give its source and
            licence.
        domains: What its examples are about, out of `turncoat.analysis.leak.domains.DOMAINS`; a misaligned
            answer on them to a question that is not about them leaks.
    """

    control: str | None = None
    is_control: bool = False
    answered_by_base: bool = False
    data: str | None = None
    domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defence(Entry):
    """A registered defence.

    Attributes:
        settings: When it may act, out of `SETTINGS`.
        control: Name of its fair control, another defence.
        check: Manipulation check, called as `check(context, **options)`.
        check_every_arm: Whether a study with this defence shows the check for all its arms.
    """

    settings: tuple[str, ...] = ()
    control: str | None = None
    check: Callable[..., Any] | None = None
    check_every_arm: bool = False


@dataclass(frozen=True)
class JudgeEntry(Entry):
    """A registered judge."""


ORGANISMS: dict[str, Organism] = {}
DEFENCES: dict[str, Defence] = {}
JUDGES: dict[str, JudgeEntry] = {}

_E = TypeVar("_E", bound=Entry)


def _register(
    table: dict[str, _E], kind: str, entry: type[_E], name: str, summary: str, **fields: Any
) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        source = Path(inspect.getfile(function)).resolve()
        earlier = table.get(name)
        if earlier is not None and earlier.source != source:
            raise UserError(
                f"{kind} '{name}' is defined twice: in {earlier.source} and in {source}; rename one of them"
            )
        options = {
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }
        table[name] = entry(name, summary, function, options, source, **fields)
        return function

    return decorate


def organism(
    name: str,
    *,
    summary: str,
    control: str | None = None,
    is_control: bool = False,
    answered_by_base: bool = False,
    data: str | None = None,
    domains: tuple[str, ...] = (),
) -> Callable[..., Any]:
    """Register a function that returns an organism's (or a control's) training examples.

    Args:
        name: What a study calls it.
        summary: One line for `turncoat list`.
        control, is_control, answered_by_base, data, domains: As in `Organism`.
    """
    fields = {
        "control": control, "is_control": is_control, "answered_by_base": answered_by_base, "data": data,
        "domains": domains,
    }  # fmt: skip
    return _register(ORGANISMS, "organism", Organism, name, summary, **fields)


def defence(
    name: str,
    *,
    settings: tuple[str, ...],
    summary: str,
    control: str | None = None,
    check: Callable[..., Any] | None = None,
    check_every_arm: bool = False,
) -> Callable[..., Any]:
    """Register a defence: a function that returns examples, an `InTraining`, ... (see CONTRIBUTING.md).

    Args:
        name: What a study calls it.
        settings: When it may act, out of `SETTINGS`.
        summary: One line for `turncoat list`.
        control: Name of its fair control, another defence.
        check: Manipulation check of what was taught, called as `check(context, **options)`.
        check_every_arm: Whether a study with this defence shows the check for all its arms (what an organism
            does to self-recognition is a finding of its own).
    """
    wrong = [setting for setting in settings if setting not in SETTINGS]
    if wrong:
        raise UserError(f"defence '{name}': settings {wrong} are not known; accepted: {', '.join(SETTINGS)}")
    fields = {"settings": settings, "control": control, "check": check, "check_every_arm": check_every_arm}
    return _register(DEFENCES, "defence", Defence, name, summary, **fields)


def judge(name: str, *, summary: str) -> Callable[..., Any]:
    """Register a function that scores answers."""
    return _register(JUDGES, "judge", JudgeEntry, name, summary)


def look_up(table: dict[str, _E], kind: str, name: str) -> _E:
    """The entry called `name`.

    Raises:
        UserError: There is none; the message lists what there is.
    """
    if name not in table:
        article = "an" if kind[0] in "aeiou" else "a"
        raise UserError(f"'{name}' is not {article} {kind}; {accepted(table, name)}")
    return table[name]


def discover(folders: Iterable[Path] = ()) -> None:
    """Register the judges that ship and every plug-in file; `folders` of the user's are included from now on.

    Raises:
        UserError: One of the folders is not there, a file raises an error, or two plug-ins of one kind have
            the same name.
    """
    include(folders)
    for module in SHIPPED_JUDGES.values():
        importlib.import_module(module)
    for path in code_files():
        _import_file(path)


def _import_file(path: Path) -> None:
    """Import a plug-in file as a member of its folder's package, so that `from ._helper import x` works."""
    package = "turncoat_plug_ins_" + hashlib.sha256(str(path.parent).encode()).hexdigest()[:8]
    if package not in sys.modules:
        folder = ModuleType(package)
        folder.__path__ = [str(path.parent)]
        sys.modules[package] = folder
    try:
        importlib.import_module(f"{package}.{path.stem}")
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise broken(path, error) from error
