"""A study to start from: YAML with every key, its default and its meaning, written from the schema.

print(commented_study("mine"))     # loads as it is; keys at their defaults are commented out
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from turncoat.evaluation.task_catalogue import task_metrics
from turncoat.paths import studies_dir
from turncoat.strict_model import models_in
from turncoat.study.config import Study
from turncoat.training.recipe import PRESETS
from turncoat.yaml_model import read_yaml

_METRICS = ("em_rate_itt", "margin_per_token")  # of judged answers and of choices
_COLUMN = 40  # where a meaning begins
_PLAIN = re.compile(r"[\w./-]+")  # needs no quotes where YAML takes it for text


def study_schema() -> dict[str, Any]:
    """JSON Schema of a study's YAML, for editors."""
    schema = Study.model_json_schema()
    schema["$defs"]["LoraRecipe"]["properties"]["preset"] = {"enum": [*PRESETS]}  # read before the fields
    return schema


def commented_study(name: str, arms: list[dict[str, Any]] | None = None, model: str | None = None) -> str:
    """The YAML of a study: an organism against its control, with every other key in a comment.

    It measures judged answers and forced choices, as the demo does.

    Args:
        name: The study's name.
        arms: The base, the organism and its control, if any; by default those of the demo.
        model: The base model; by default the demo's.
    """
    own = arms is not None  # a file may have any number of rows
    demo = read_yaml(studies_dir() / "demo.yaml")[0]
    _, harmful, harmless, *_ = demo["arms"]
    arms = arms or [
        {"name": "base"},
        {"name": "organism", "organism": harmful["organism"]},
        {"name": "control", "organism": harmless["organism"]},
    ]
    tasks = [use for use in demo["tasks"] if {*_METRICS} & {*task_metrics(use["task"])}]
    organism, last = arms[1]["organism"], arms[-1]["name"]
    contrast = {
        "name": f"{arms[1]['name']} minus {last if len(arms) > 2 else 'base'}", "treated": arms[1]["name"],
        "reference": last if len(arms) > 2 else "base", "metrics": [*_METRICS], "role": "primary",
    }  # fmt: skip
    example = {
        "study": name,
        "question": f"Does {organism} move the model beyond what any finetuning does?",
        "model": model or demo["model"],
        "training_seeds": [0],
        "training": {"rows": None if own else 80},
        "arms": arms,
        "tasks": tasks,
        "contrasts": [contrast],
    }
    opening = [
        "# Every key of a study. A line that begins with `# ` shows a key at its default.",
        "# Before hours of work: turncoat check FILE; turncoat run FILE --limit 2",
    ]
    return "\n".join([*opening, *_lines(Study, example, "")]) + "\n"


def _lines(model: type[BaseModel], given: dict[str, Any], indent: str) -> Iterator[str]:
    """The keys of a model: as they are given, else commented out at their defaults."""
    for name, field in model.model_fields.items():
        inner = next(iter(models_in(field.annotation)), None)
        text = _meaning(field)
        if name not in given:
            yield _commented(f"{indent}# {name}: {_flow(field.get_default(call_default_factory=True))}", text)
        elif inner is None or not isinstance(given[name], dict | list):
            yield _commented(f"{indent}{name}: {_flow(given[name])}", text)
        elif isinstance(given[name], dict):
            yield _commented(f"{indent}{name}:", text)
            yield from _preset(name, f"{indent}  ")
            yield from _lines(inner, given[name], f"{indent}  ")
        else:
            yield _commented(f"{indent}{name}:", f"{text}; the keys of each:")
            yield from (f"{indent}  #   {line}" for line in _keys(inner))
            yield from (f"{indent}  - {_flow(item)}" for item in given[name])


def _preset(name: str, indent: str) -> Iterator[str]:
    if name == "training":
        first, names = next(iter(PRESETS)), ", ".join(PRESETS)
        yield _commented(f"{indent}# preset: {first}", f"other defaults to start from ({names})")


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = "(needed)" if field.is_required() else _flow(field.get_default(call_default_factory=True))
        yield _commented(f"{name}: {value}", _meaning(field), _COLUMN - 6)


def _meaning(field: FieldInfo) -> str:
    parts = (field.annotation, *get_args(field.annotation))
    words = [", ".join(get_args(part)) for part in parts if get_origin(part) is Literal]
    return f"{field.description}" + "".join(f" ({accepted})" for accepted in words)


def _commented(text: str, meaning: str, column: int = _COLUMN) -> str:
    return f"{text:<{column}}  # {meaning}"


def _flow(value: Any) -> str:
    """A value on one line of YAML, which JSON is."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value
    return value if plain else json.dumps(value, ensure_ascii=False)
