"""Base of the pydantic models that read files, and problems of a file in words instead of pydantic's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from turncoat.errors import accepted
from turncoat.formats import clip

Location = tuple[str | int, ...]
_SHOWN = 300  # characters of a bad value
_MOST = 20  # problems that are named at once
_UNION_TYPE = re.compile(r"str|constrained-\w+|(?:tuple|dict)\[.*")  # in pydantic's locations
_QUOTED = re.compile(r"'([^']*)'")
_LIST, _MAPPING = "a list, as in [a, b]", "a mapping, as in {{key: value}}"
_WORDS = {
    "string": "a text", "int": "a whole number", "float": "a number", "finite": "a finite number",
    "bool": "true or false", "tuple": _LIST, "list": _LIST, "dict": _MAPPING, "model": _MAPPING,
    "greater_than": "a number above {gt:.10g}", "greater_than_equal": "{ge:.10g} or more",
    "less_than": "a number below {lt:.10g}", "less_than_equal": "{le:.10g} or less",
    "too_short": "a list of {min_length} or more", "too_long": "a list of {max_length} or fewer",
    "string_too_short": "a text of {min_length} characters or more",
    "string_too_long": "a text of {max_length} characters or fewer",
}  # fmt: skip
"""pydantic's type of a problem, or its first word -> what is accepted, with the context's numbers."""
_PATTERNS: dict[str, str] = {}


class StrictModel(BaseModel):
    """A model without unknown keys whose fields cannot be set again."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def pattern(regex: str, words: str) -> str:
    """The regular expression of a field; an error says `words` in its place."""
    _PATTERNS[regex] = words
    return regex


NAME = pattern(r"^[a-z0-9][a-z0-9_-]*$", "small letters, digits, - and _, such as my_study-2")


@dataclass(frozen=True)
class WrongField:
    """One thing that is wrong with a file's content."""

    kind: str  # pydantic's type of it; "extra_forbidden" for an unknown key, "missing"
    value: Any
    allowed: str  # What is accepted, or a validator's own sentence
    text: str  # The whole sentence, without the place


def wrong_fields(error: ValidationError, model: type[BaseModel]) -> dict[Location, WrongField]:
    """Problems of a content by their places, at most 20. A value that fails every type of a union is one."""
    found: dict[Location, list[Any]] = {}
    for problem in _problems(error):
        *outer, last = problem["loc"] or ("",)
        names_key = problem["type"] in ("extra_forbidden", "missing")
        parts = [part for part in outer if not _UNION_TYPE.fullmatch(str(part))]
        parts += [last] if problem["loc"] and (names_key or not _UNION_TYPE.fullmatch(str(last))) else []
        found.setdefault(tuple(parts), []).append(problem)
    return {loc: _wrong_field(model, loc, problems) for loc, problems in found.items()}


def first_wrong(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """The first problem: its place, such as "training.rows", and the sentence."""
    loc, wrong = next(iter(wrong_fields(error, model).items()))
    return ".".join(map(str, loc)), wrong.text


def _problems(error: ValidationError) -> Iterator[Any]:
    for problem in error.errors(include_url=False)[:_MOST]:
        # An item that is wrong is left out before pydantic counts: the list itself is long enough.
        least = problem.get("ctx", {}).get("min_length", 0)
        if problem["type"] != "too_short" or len(problem["input"]) < least:
            yield problem


def _wrong_field(model: type[BaseModel], loc: Location, problems: list[Any]) -> WrongField:
    first = problems[0]
    kind, value, message = first["type"], first["input"], first["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        allowed = accepted(_model_at(model, loc).model_fields, str(loc[-1]))
        return WrongField(kind, value, allowed, f"unknown key; {allowed}")
    if kind == "missing":
        field = _model_at(model, loc[:-1]).model_fields.get(str(loc[-1]))
        meaning = f": {field.description}" if field is not None and field.description else ""
        return WrongField(kind, None, "a value", f"missing, and there is no default{meaning}")
    phrases = list(dict.fromkeys(filter(None, (_accepted(problem) for problem in problems))))
    if phrases:
        end = phrases[0] if "accepted: " in phrases[0] else f"accepted: {' or '.join(phrases)}"
        allowed = end.removeprefix("accepted: ")
        return WrongField(kind, value, allowed, f"{clip(repr(value), _SHOWN)} is not accepted; {end}")
    # A validator of ours names the value itself, where it is not a whole mapping.
    own = kind == "value_error" or not loc
    text = message if own else f"{message}; the value is {clip(repr(value), _SHOWN)}"
    return WrongField(kind, value, message, text)


def _accepted(problem: Any) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        names = _QUOTED.findall(context["expected"])
        return accepted(names, str(problem["input"])) if names else str(context["expected"])
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"a text that matches {context['pattern']}")
    words = _WORDS.get(problem["type"]) or _WORDS.get(problem["type"].partition("_")[0], "")
    return words.format(**context)


def _model_at(model: type[BaseModel], loc: Location) -> type[BaseModel]:
    """The innermost model on the way to a key."""
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            inner = models_in(model.model_fields[part].annotation)
            model = inner[0] if inner else model
    return model


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models in the type of a field, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
