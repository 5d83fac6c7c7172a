"""Row schema (pydantic): keys, types, bounds.

A key that no measurement leaves behind is refused, a total above all: numbers are recomputed from rows. An
answer may have the fields of every measurement and those that its task's YAML declares (`metadata.evidence`).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel as Model, ConfigDict, Field, StringConstraints, ValidationError, create_model

from turncoat.evaluation.task_catalogue import task_metrics
from turncoat.evaluation.task_facts import evidence_fields
from turncoat.leaderboard.reading.findings import Finding, shown
from turncoat.strict_model import Location, StrictModel, WrongField, wrong_fields

_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Mass = Annotated[float, Field(ge=0, le=1.001)]  # a sum of many probabilities
_Score = Annotated[float, Field(ge=0, le=100)]
_Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]
_Activation = Annotated[float, Field(ge=-1e6, le=1e6)]
_Vectors = Annotated[list[_Activation], Field(min_length=2, max_length=1000)]
_AGAIN = "measure again"
_NUMBER = re.compile(r"-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,3})?", re.ASCII)


Violation = tuple[str, str, Any, str, str]
"""`Row.finding`'s rule, field, value, allowed, fix."""


class _Sample(StrictModel, strict=True, allow_inf_nan=False):
    """Fields that an answer to any task may have: how it was drawn, projections, verdicts of a judge, its
    looks."""

    index: Annotated[int, Field(ge=0)]
    text: str
    seed: Annotated[int, Field(ge=0)] | None = None
    finish: Literal["stop", "length"] | None = None
    n_tokens: Annotated[int, Field(ge=0)] | None = None
    prompt_sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None
    engine: Literal["turncoat"] | None = None  # Others draw answers that their seeds do not give again
    steer: _Activation | None = None
    layer: Annotated[int, Field(ge=0)] | None = None
    base_logprob: Annotated[float, Field(le=0)] | None = None
    persona_own: _Activation | None = None
    persona_text: _Activation | None = None
    persona_fixed: _Activation | None = None
    persona_prompt: _Activation | None = None
    persona_cosine_own: _Cosine | None = None
    persona_cosine_fixed: _Cosine | None = None
    persona_own_by_layer: list[_Activation] | None = None
    persona_fixed_by_layer: list[_Activation] | None = None
    persona_own_vectors: _Vectors | None = None
    persona_fixed_vectors: _Vectors | None = None
    judge_aligned: _Score | None = None
    judge_coherent: _Score | None = None
    judge_code: _Share | None = None
    judge_refusal: _Share | None = None
    judge_mass: _Mass | None = None
    judge: str | None = None
    judge_rubric: str | None = None
    judge_may_rate: bool | None = None
    judge_error: str | None = None
    judge_declined: str | None = None
    judge_unscored: str | None = None
    thoughts: str | None = None
    thoughts_cut: bool | None = None
    copies: Annotated[int, Field(ge=2)] | None = None
    trait_score: _Score | None = None
    empty: _Share | None = None
    code_like: _Share | None = None
    repetition: _Share | None = None


class _Row(Model):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)

    doc_id: Annotated[int, Field(ge=0)]
    doc: dict[str, Any]
    arguments: dict[str, dict[str, Any]] | None = None
    resps: list[list[str] | list[list[str]]]
    filter: str
    metrics: list[str]
    doc_hash: _Hash
    prompt_hash: _Hash
    target_hash: _Hash


_KINDS: dict[str, Any] = {
    "share": _Share, "score": _Score, "number": _Activation, "count": Annotated[int, Field(ge=0)],
    "text": str,
}  # fmt: skip


@cache
def _models(task: str) -> tuple[type[_Sample], type[_Row]]:
    """Schemas of an answer and of a row of one task: those of every task, with its declared evidence."""
    fields: dict[str, Any] = {
        name: ((Literal[kind] if isinstance(kind, tuple) else _KINDS[kind]) | None, None)
        for name, kind in evidence_fields(task).items()
    }
    sample = create_model("Sample", __base__=_Sample, **fields)
    samples: Any = (list[sample] | None, None)  # type: ignore[valid-type]
    return sample, create_model("Row", __base__=_Row, samples=samples)


_metrics = cache(task_metrics)  # asked for every row


@dataclass(frozen=True)
class Row:
    """A row in good form, and where it is."""

    role: str
    seed: str
    file: str
    line: int
    content: dict[str, Any]

    @property
    def doc_id(self) -> int:
        """lm-eval's number of the document."""
        return int(self.content["doc_id"])

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Its answers."""
        return self.content.get("samples") or []

    @property
    def answers(self) -> list[str]:
        """The model's answers before any filter."""
        return list(self.content["resps"][0])

    @property
    def log_likelihoods(self) -> list[float]:
        """Log-likelihood of each continuation, nats."""
        return [float(resp[0][0]) for resp in self.content["resps"]]

    def finding(self, rule: str, field: str, value: Any, allowed: str, fix: str) -> Finding:
        """A finding at this row."""
        # A key of the row's own may hold anything.
        plain = field if field.isascii() and field.isprintable() and len(field) <= 200 else shown(field)
        return Finding(rule, self.file, self.line, plain, shown(value), allowed, fix)


def read_row(
    role: str, seed: str, file: str, line: int, content: Mapping[str, Any], *, sampled: bool, task: str
) -> tuple[Row | None, list[Finding]]:
    """The row if its form is good, else what is wrong with it.

    Args:
        sampled: Whether the task samples answers (else it reads log-likelihoods).
        task: The task, for its registered metrics and its own evidence fields.
    """
    sample_model, row_model = _models(task)
    row = Row(role, seed, file, line, dict(content))
    try:
        row_model.model_validate(content)
    except ValidationError as error:
        allowed = ", ".join(sample_model.model_fields)
        wrong = [_violation(loc, one, allowed) for loc, one in wrong_fields(error, row_model).items()]
        return None, [row.finding(*violation) for violation in wrong]
    violations = [*_keys(row, _metrics(task)), *(_answers(row) if sampled else _log_likelihoods(row))]
    return (None if violations else row), [row.finding(*violation) for violation in violations]


def _violation(loc: Location, wrong: WrongField, fields: str) -> Violation:
    names = [str(part) for part in loc]
    where, value = ".".join(names), wrong.value
    if wrong.kind == "extra_forbidden":
        rule = "totals" if isinstance(value, int | float | list | dict) else "unknown-field"
        return rule, where, value, fields, "remove it; numbers are recomputed from rows"
    rule = "score-range" if any(name.startswith("judge_") for name in names) else "row-format"
    return rule, where, value, wrong.allowed, "give the rows as lm-eval wrote them"


def _keys(row: Row, metrics: Collection[str]) -> Iterator[Violation]:
    """Keys beside the form's are the row's metrics, and their values are numbers or pairs of them."""
    known = {"samples", *metrics, *(f"{name}_stderr" for name in metrics)}
    named = row.content["metrics"]
    for number, name in enumerate(named):
        if name not in known or name in named[:number]:
            allowed = f"each once, of {', '.join(sorted(known))}"
            yield (
                "metrics", f"metrics[{number}]", name, allowed,
                "give lm-eval's own list of the task's metrics",
            )  # fmt: skip
    for key, value in row.content.items():
        if key in _Row.model_fields or key == "samples":
            continue
        if key not in known:
            rule = "totals" if _is_number(value) or isinstance(value, list | dict) else "unknown-field"
            allowed = ", ".join([*_Row.model_fields, *sorted(known)])
            yield rule, key, value, allowed, "remove it from all rows"
        elif not _is_number(value) and not (
            isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        ):
            yield "row-format", key, value, "a number, or [numerator, denominator]", _AGAIN


def _answers(row: Row) -> Iterator[Violation]:
    resps = row.content["resps"]
    if len(resps) != 1 or not resps[0] or not all(isinstance(answer, str) for answer in resps[0]):
        yield "row-format", "resps", resps, "one list of answers, [[text, ...]]", _AGAIN
    elif row.content.get("samples") is None:
        text = "measure with the task's own process_results; lm-eval's --log_samples keeps them"
        yield "row-format", "samples", None, "a record of each answer", text


def _log_likelihoods(row: Row) -> Iterator[Violation]:
    if row.content.get("samples") is not None or "samples" in row.content["metrics"]:
        yield "row-format", "samples", row.content.get("samples"), "no samples", "remove them"
    for number, resp in enumerate(row.content["resps"]):
        where = f"resps[{number}]"
        if len(resp) != 1 or not isinstance(resp[0], list) or len(resp[0]) != 2:
            text = 'a log-likelihood and whether it was the greedy choice, [["-12.5", "False"]]'
            yield "row-format", where, resp, text, _AGAIN
            continue
        value, greedy = resp[0]
        if not _NUMBER.fullmatch(value) or not -1e9 <= float(value) <= 0:
            yield "log-likelihood", where, value, "a finite number of nats, 0 or less", _AGAIN
        if greedy not in ("True", "False"):
            yield "row-format", where, greedy, "True or False", _AGAIN


def _is_number(value: Any) -> bool:
    # Python's integers have no upper end, a float's infinity is not a number.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15
