"""Validation rules for sampled answers: number, seeds, projections, verdicts."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.reading.findings import Finding, shown
from turncoat.leaderboard.validation.documents import majority
from turncoat.leaderboard.validation.expected import ExpectedRows
from turncoat.leaderboard.validation.row_schema import Row, Violation

_LONGEST_TOKEN = 512  # bytes; white space makes the longest tokens, some hundred characters
# Read from the answer: absent only for an answer without tokens.
_OF_ANSWER = ("persona_own", "persona_text", "base_logprob")
_ROUNDED = 5.1e-5  # projections by layer are kept to four digits, the one at the layer to six
_SCORES, _SHARES = ("judge_aligned", "judge_coherent"), ("judge_code", "judge_refusal")
_VERDICT = (*_SCORES, *_SHARES, "judge", "judge_rubric", "judge_may_rate")
_MODEL = (
    "measure with `--model turncoat` (turncoat run, or turncoat lm-eval), which keeps the evidence of each "
    "answer"
)
_JUDGE = "score the answers again: turncoat judge RUN"


def check_samples(expected: ExpectedRows, rows: Sequence[Row], submission: Submission) -> list[Finding]:
    """Findings about the answers of a task that samples; none for a task that reads log-likelihoods."""
    if expected.use.samples is None:
        return []
    usual = majority(len(row.samples) for row in rows)
    seeds: dict[tuple[str, str], dict[int, tuple[int, int]]] = defaultdict(dict)
    findings: list[Finding] = []
    for row in rows:
        violations = [*_number(expected, row, usual)]
        for number, sample in enumerate(row.samples):
            where, trait = f"samples[{number}]", row.content["doc"].get("trait")
            violations += _drawn(expected, row, number, sample, seeds[row.role, row.seed])
            violations += [] if trait is None else _persona(where, sample, str(trait), submission)
            violations += _judged(where, sample, submission) if expected.judged else []
        findings += [row.finding(*violation) for violation in violations]
    return [*findings, *_fixed_texts(rows, submission), *_may_rate(expected, rows)]


def _number(expected: ExpectedRows, row: Row, usual: int) -> Iterator[Violation]:
    count, least = len(row.samples), expected.use.samples or 1
    value = f"{count} samples"
    if len(row.answers) != count:
        text = f"as many as resps has: {len(row.answers)}"
        yield "samples", "samples", value, text, "give lm-eval's rows as they are"
    if count < least:
        text = f"{least} or more to each question"
        yield "missing-samples", "samples", value, text, f"measure with {least} repeats"
    elif count != usual:
        text = f"the same number for all questions, roles and seeds of the entry: {usual}"
        yield "samples", "samples", value, text, "keep the same number everywhere"


def _drawn(
    expected: ExpectedRows, row: Row, number: int, sample: dict[str, Any], seeds: dict[int, tuple[int, int]]
) -> Iterator[Violation]:
    where = f"samples[{number}]"
    if sample["index"] != number:
        yield "samples", f"{where}.index", sample["index"], str(number), "keep lm-eval's order"
    for name in ("seed", "finish", "n_tokens", "prompt_sha"):
        if sample.get(name) is None:
            yield "missing-evidence", f"{where}.{name}", None, "what drew the answer", _MODEL
    seed = sample.get("seed")
    if seed is not None and seed in seeds:
        fix = f"the same draw as samples[{seeds[seed][1]}] of line {seeds[seed][0]}: measure again"
        yield "repeated-seed", f"{where}.seed", seed, "a seed of its own for each answer of an arm", fix
    elif seed is not None:
        seeds[seed] = row.line, number
    tokens, most = sample.get("n_tokens"), expected.use.max_gen_toks
    if tokens is None or most is None or number >= len(row.answers):
        return
    size = len(row.answers[number].encode("utf-8", "surrogatepass"))
    if tokens > most or (sample.get("finish") == "length" and tokens < most):
        text = f"at most {most} tokens; finish is 'length' at {most} and 'stop' before"
        value = f"{tokens} tokens, finish {sample.get('finish')}"
        yield "answer-length", f"{where}.n_tokens", value, text, f"measure with max_gen_toks {most}"
    if size > _LONGEST_TOKEN * tokens:
        text = f"at most {_LONGEST_TOKEN} bytes a token, of which there are {tokens}"
        yield "answer-length", f"resps[0][{number}]", f"{size} bytes", text, "give the answer as drawn"


def _persona(where: str, sample: dict[str, Any], trait: str, submission: Submission) -> Iterator[Violation]:
    due, layer = submission.persona.trait, submission.persona.layer
    if trait != due:
        allowed = f"persona.trait of submission.json: {shown(due)}"
        yield "persona", "doc.trait", trait, allowed, "name the trait that the task projects on"
    if sample.get("layer") != layer:
        fix = "all rows are read at one layer, fixed on the base model; " + _MODEL
        allowed = f"persona.layer of submission.json: {layer}"
        yield "persona-layer", f"{where}.layer", sample.get("layer"), allowed, fix
    for name in _OF_ANSWER:
        if sample.get(name) is None and sample.get("n_tokens") != 0:
            allowed = "a number, for every answer with at least a token"
            yield "missing-evidence", f"{where}.{name}", None, allowed, _MODEL
    for name in ("persona_own", "persona_fixed"):
        layers, value, field = sample.get(f"{name}_by_layer"), sample.get(name), f"{where}.{name}_by_layer"
        if (layers is None) != (value is None):
            yield "missing-evidence", field, layers, f"there if {name} is", _MODEL
        elif layers is None or value is None:
            continue
        elif layer >= len(layers):
            allowed = f"more than {layer} of them: the layer is among them"
            yield "persona-layer", field, f"{len(layers)} layers", allowed, _MODEL
        elif abs(layers[layer] - value) > _ROUNDED * max(1.0, abs(value)):
            allowed = f"{name}_by_layer[{layer}], {layers[layer]}, to four digits"
            fix = "one of the two was changed: restore the row"
            yield "persona-disagrees", f"{where}.{name}", value, allowed, fix


def _fixed_texts(rows: Sequence[Row], submission: Submission) -> Iterator[Finding]:
    """`persona_fixed` reads the base model's answer, the same for all arms: it is there for all of them or
    for none."""
    known: dict[tuple[bool, int, int], list[tuple[Row, Any]]] = defaultdict(list)
    for row in rows:
        if row.content["doc"].get("trait") is None:
            continue
        changed = submission.defence.changes_prompt and row.role in ("defended", "benign")
        for number, sample in enumerate(row.samples):
            known[changed, row.doc_id, number].append((row, sample.get("persona_fixed")))
    for (_, _, number), values in known.items():
        absent = [row for row, value in values if value is None]
        if absent and (len(absent) < len(values) or "base" not in {row.role for row in absent}):
            field, allowed = (
                f"samples[{number}].persona_fixed",
                "a number: the base model's answer is read in every arm",
            )
            yield from (row.finding("missing-evidence", field, None, allowed, _MODEL) for row in absent)


def _judged(where: str, sample: dict[str, Any], submission: Submission) -> Iterator[Violation]:
    judge = submission.judge
    absent = [name for name in _VERDICT if name not in sample]
    if absent:
        yield "unjudged", f"{where}.{absent[0]}", None, f"a verdict of {shown(judge.id)}", _JUDGE
        return
    if "judge_error" in sample:
        allowed = "a verdict: an answer whose judging failed leaves every rate"
        yield "unjudged", f"{where}.judge_error", sample["judge_error"], allowed, _JUDGE
    for name, field, due in (("judge", "id", judge.id), ("judge_rubric", "rubric", judge.rubric)):
        if sample[name] != due:
            allowed = f"judge.{field} of submission.json: {shown(due)}"
            yield "judge-differs", f"{where}.{name}", sample[name], allowed, _JUDGE
    # Other judges may put too little weight on numbers; the embedded one scores whatever is written.
    if judge.id.startswith("embedded") and sample["text"].strip():
        allowed = "a score: this judge leaves out empty answers only"
        for name in _SCORES:
            if sample[name] is None:
                yield "unjudged", f"{where}.{name}", None, allowed, _JUDGE
    for name in _SHARES:
        if sample[name] is None or not math.isfinite(sample[name]):
            yield "unjudged", f"{where}.{name}", sample[name], "0 to 1", _JUDGE


def _may_rate(expected: ExpectedRows, rows: Sequence[Row]) -> Iterator[Finding]:
    """One judge either may rate or may not."""
    if not expected.judged:
        return
    usual = majority(sample.get("judge_may_rate") for row in rows for sample in row.samples)
    for row in rows:
        for number, sample in enumerate(row.samples):
            if (value := sample.get("judge_may_rate")) is not usual:
                where = f"samples[{number}].judge_may_rate"
                yield row.finding("judge-differs", where, value, f"{usual} everywhere", _JUDGE)
