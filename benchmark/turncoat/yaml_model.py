"""Strict models read from YAML; errors name file, line, key, bad value and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from turncoat.errors import UserError, accepted
from turncoat.safe_files import read_bytes

Location = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)
_MOST_BYTES = 2**20
_TYPE = re.compile(r"str|constrained-\w+|(?:tuple|dict)\[.*")  # of a union, in pydantic's locations


def read_yaml_model(
    path: Path, model: type[M], noun: str, overrides: dict[str, Any] | None = None
) -> tuple[M, Callable[[Location], str]]:
    """Read a file.

    Args:
        path: The YAML.
        model: What it holds.
        noun: What to call that in an error, such as "a study".
        overrides: Top-level keys that replace the file's.

    Returns:
        The model, and a function that names a location in the file: "demo.yaml, line 12, arms[2].defence".

    Raises:
        UserError: Larger than a megabyte, not YAML, a key is there twice, or not such a model; all mistakes
            at once.
    """
    text = read_bytes(path.resolve(), _MOST_BYTES).decode("utf-8", "replace")
    try:
        content, tree = yaml.safe_load(text), yaml.compose(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    _check_keys(path, tree)
    if not isinstance(content, dict):
        raise UserError(
            f"{path} is not {noun}: a mapping with the keys {', '.join(model.model_fields)} is expected"
        )

    def place(loc: Location) -> str:
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
        return f"{path.name}, line {_line(tree, loc)}" + (f", {dotted}" if dotted else "")

    try:
        return model.model_validate({**content, **(overrides or {})}), place
    except ValidationError as error:
        problems: dict[Location, str] = {}
        for problem in error.errors():
            # One value may fail every type of a union, each named in a location: the first says enough.
            loc = tuple(part for part in problem["loc"] if not _TYPE.fullmatch(str(part)))
            problems.setdefault(loc, _message(model, loc, problem))
        raise UserError("\n".join(f"{place(loc)}: {message}" for loc, message in problems.items())) from error


def _check_keys(path: Path, node: Any) -> None:
    """Raise where a mapping has a key twice: YAML would take the second without a word."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, value in node.value:
            if keys.count(key.value) > 1:
                line = key.start_mark.line + 1
                raise UserError(f"{path.name}, line {line}: '{key.value}' is there twice; remove one")
            _check_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, item)


def _line(tree: Any, loc: Location) -> int:
    line, node = tree.start_mark.line, tree
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1


def _message(model: type[BaseModel], loc: Location, problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown key; {accepted(_model_at(model, loc).model_fields, str(loc[-1]))}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    # A validator of ours names the value itself, where it is not a whole mapping.
    return (
        message
        if problem["type"] in ("missing", "value_error") or not loc
        else (f"{message}; the value is {problem['input']!r}")
    )


def _model_at(model: type[BaseModel], loc: Location) -> type[BaseModel]:
    """The innermost model on the way to a key."""
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            inner = _models_in(model.model_fields[part].annotation)
            model = inner[0] if inner else model
    return model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
