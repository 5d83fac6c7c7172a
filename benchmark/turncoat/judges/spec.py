"""Judges by name and options, as in `TURNCOAT_JUDGE` and `--judge`.

>>> judge_from_name("local:model=smollm2-135m,batch_size=4")    # calls the registered factory
>>> judge_from_name("off") is None
True
"""

import ast
import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from turncoat.errors import UserError, accepted
from turncoat.judges.base import Judge
from turncoat.registry import JUDGES, SHIPPED_JUDGES, JudgeEntry, discover

ENVIRONMENT = "TURNCOAT_JUDGE"
DEFAULT = "embedded"
OFF = ("off", "")
_LARGEST = 10**300  # of a whole number: a larger one may not fit a float
_OPTION = re.compile(r"(?:[^,{]|\{(?:[^{}]|\{[^{}]*\})*\}|\{)+")  # up to a comma outside the braces of JSON


def chosen_judge(spec: str | None = None) -> str:
    """The judge's name and options: `spec` if given, else `TURNCOAT_JUDGE`, else "embedded"."""
    return (spec if spec is not None else os.environ.get(ENVIRONMENT, DEFAULT)).strip()


def judge_from_name(spec: str | None = None) -> Judge | None:
    """The judge called `spec`, built once per process; None if judging is off.

    Args:
        spec: "name" or "name:key=value,key=value"; "off" or "" for none; None reads `TURNCOAT_JUDGE`.

    Raises:
        UserError: No such judge or option; the message lists those there are.
    """
    chosen = chosen_judge(spec)
    return None if chosen.lower() in OFF else _built(chosen)


@contextmanager
def judged_by(spec: str) -> Iterator[None]:
    """`TURNCOAT_JUDGE` is `spec` inside the block: tasks' filters, which lm-eval builds, read it there."""
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = spec
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before


def check_judge(spec: str | None = None) -> None:
    """Find a misspelt judge or option before hours of generation, without building the judge.

    Raises:
        UserError: As `judge_from_name` would.
    """
    chosen = chosen_judge(spec)
    if chosen.lower() not in OFF:
        _parse(chosen)


def check_ready(spec: str | None = None) -> None:
    """Ask a judge that can be asked whether it works at all, before hours of training and generation.

    Raises:
        UserError: It does not, or as `judge_from_name` would.
    """
    check = getattr(judge_from_name(spec), "check_ready", None)
    if check is not None:
        check()


def check_host(spec: str) -> None:
    """Refuse a judge that a file names where its host would get a key that the user has for another one.

    Raises:
        UserError: It would, or as `judge_from_name` would.
    """
    check = getattr(judge_from_name(spec), "check_host", None)
    if check is not None:
        check()


@cache
def _built(spec: str) -> Judge:
    entry, options = _parse(spec)
    judge = entry.build(**options)
    if not isinstance(judge, Judge):
        raise UserError(
            f"judge '{entry.name}' ({entry.source}) returned {type(judge).__name__}, not a judge: it needs "
            "id, rubric, card, may_rate and score(questions, answers) (turncoat.tasks.Judge)"
        )
    return judge


def _parse(spec: str) -> tuple[JudgeEntry, dict[str, Any]]:
    name, _, rest = spec.partition(":")
    entry = _entry(name.strip())
    options = {}
    for part in filter(None, map(str.strip, _OPTION.findall(rest))):
        key, equals, text = (word.strip() for word in part.partition("="))
        if not equals:
            raise UserError(
                f"judge '{name}': {part[:8]!r} is not key=value; write it as {name}:key=value,key=value"
            )
        if key not in entry.options:
            what = accepted(entry.options, key) if entry.options else "it has none"
            raise UserError(f"judge '{entry.name}' has no option '{key}'; {what}")
        options[key] = _value(text)
    return entry, options


def _entry(name: str) -> JudgeEntry:
    if name not in JUDGES and name in SHIPPED_JUDGES:
        importlib.import_module(SHIPPED_JUDGES[name])
    if name not in JUDGES:
        discover()
    if name not in JUDGES:
        names = sorted({*JUDGES, *SHIPPED_JUDGES})
        raise UserError(
            f"'{name}' is not a judge; {accepted([*names, 'off'], name)}; see `turncoat list judges`"
        )
    return JUDGES[name]


def _value(text: str) -> Any:
    """3 -> int, 1e-3 -> float, true/false/none as Python's, a quoted or any other text -> str; so is a
    whole number beyond floats."""
    plain = {"true": True, "false": False, "none": None}
    if text.lower() in plain:
        return plain[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    small = isinstance(value, int) and abs(value) < _LARGEST
    return value if small or isinstance(value, float | str) else text
