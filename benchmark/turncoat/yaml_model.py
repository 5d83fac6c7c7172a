"""Strict models read from YAML; errors name file, line, key, bad value and what is accepted."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from turncoat.errors import UserError
from turncoat.safe_files import read_bytes
from turncoat.strict_model import Location, wrong_fields
from turncoat.text_files import MOST_NESTED

M = TypeVar("M", bound=BaseModel)
_MOST_BYTES = 2**20
_MOST_VALUES = 100_000
_LONGEST_NUMBER = 400  # characters; reading 1:1:1:... takes time with the square of its length
_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")}
_TOO_DEEP = f"nested too deep; accepted: {MOST_NESTED} lists and mappings in one another"


@dataclass(frozen=True)
class Places:
    """Places in a YAML file; called with a location it names one: "demo.yaml, line 12, arms[2].defence"."""

    path: Path
    content: Any
    tree: yaml.Node | None

    def __call__(self, loc: Location) -> str:
        """A location as text, with the file and the line."""
        name = self.dotted(loc)
        return f"{self.path.name}, line {self.line(loc)}" + (f", {name}" if name else "")

    def line(self, loc: Location) -> int:
        """Line of a location, or of the innermost part of it that is there; from 1."""
        return _line(self.tree, loc)

    def value(self, loc: Location) -> Any:
        """The value at a location; None where the file has none."""
        value = self.content
        for part in loc:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return None
        return value

    def dotted(self, loc: Location) -> str:
        """A location as text: "arms[2].defence"."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def read_yaml_model(
    path: Path, model: type[M], noun: str, overrides: dict[str, Any] | None = None
) -> tuple[M, Places]:
    """Read a file.

    Args:
        path: The YAML.
        model: What it holds.
        noun: What to call that in an error, such as "a study".
        overrides: Top-level keys that replace the file's.

    Returns:
        The model, and the places of its values in the file.

    Raises:
        UserError: Larger than a megabyte, not YAML, a key is there twice, or not such a model; all mistakes
            at once.
    """
    content, tree = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(
            f"{path} is not {noun}: a mapping with the keys {', '.join(model.model_fields)} is expected"
        )

    place = Places(path, content, tree)
    try:
        return model.model_validate({**content, **(overrides or {})}), place
    except ValidationError as error:
        wrong = wrong_fields(error, model)
        raise UserError("\n".join(f"{place(loc)}: {one.text}" for loc, one in wrong.items())) from error


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """The content of a YAML file and its tree.

    Raises:
        UserError: Larger than a megabyte, not YAML, a key is there twice, more than `MOST_NESTED` levels,
            more than 100,000 values, aliases opened, or a number of more than 400 characters.
    """
    text = read_bytes(path.resolve(), _MOST_BYTES).decode("utf-8", "replace")
    try:
        loader = yaml.SafeLoader(text)
        tree = loader.get_single_node()
        if tree is not None:
            _weigh(path, tree, {})
        _check_keys(path, tree)
        return yaml.safe_load(text), tree  # anew: merged keys would be written into the tree
    except RecursionError:
        raise UserError(f"{path}, line {loader.line + 1}: {_TOO_DEEP}") from None
    # The constructors of numbers, dates and tags raise whatever their input leads to.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise not_yaml(path, error) from error


def not_yaml(path: Path, error: Exception) -> UserError:
    """PyYAML's complaint about a file, on one line with the line of the file."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return UserError(f"{path} is not YAML: {where}{problem or ' '.join(str(error).split())}")


def _weigh(path: Path, node: yaml.Node, weights: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Values and levels of a node, its aliases opened; UserError where they, or a number, are too large."""
    if id(node) not in weights:
        weights[id(node)] = (math.inf, math.inf)  # of an alias inside what it stands for
        parts = itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
        single = isinstance(node, yaml.ScalarNode)
        if single and node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            longest = f"a number of more than {_LONGEST_NUMBER} characters"
            raise UserError(f"{path}, line {node.start_mark.line + 1}: {longest}")
        inner = [] if single else [_weigh(path, part, weights) for part in parts]
        size = 1 + sum(size for size, _ in inner)
        levels = 0 if single else 1 + max((below for _, below in inner), default=0)
        if size > _MOST_VALUES or levels > MOST_NESTED:
            why = f"more than {_MOST_VALUES} values, aliases opened"
            why = why if size > _MOST_VALUES else _TOO_DEEP
            raise UserError(f"{path}, line {node.start_mark.line + 1}: {why}")
        weights[id(node)] = (size, levels)
    return weights[id(node)]


def _check_keys(path: Path, node: Any) -> None:
    """Raise where a mapping has a key twice: YAML would take the second without a word."""
    if isinstance(node, yaml.MappingNode):
        first: dict[str, Any] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, key) is not key:
                line = first[key.value].start_mark.line + 1
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
