"""Validation rules for sampled answers: number, seeds, projections, verdicts.

findings = check_samples(expected, rows, submission)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.reading.findings import Finding, shown
from turncoat.leaderboard.validation.documents import majority
from turncoat.leaderboard.validation.expected import ExpectedRows
from turncoat.leaderboard.validation.row_schema import Row

_LONGEST_TOKEN = 512  # bytes; white space makes the longest tokens, some hundred characters
_OF_ANSWER = (
    "persona_own",
    "persona_text",
    "base_logprob",
)  # read from the answer: absent only for an answer without tokens
_ROUNDED = 5.1e-5  # projections by layer are kept to four digits, the one at the layer to six
_VERDICT = (
    "judge_aligned",
    "judge_coherent",
    "judge_code",
    "judge_refusal",
    "judge",
    "judge_rubric",
    "judge_may_rate",
)
_MODEL = "measure with `--model turncoat` (turncoat run, or turncoat lm-eval), which keeps the evidence of each answer"
_JUDGE = "score the answers again: turncoat judge RUN"


def check_samples(expected: ExpectedRows, rows: Sequence[Row], submission: Submission) -> list[Finding]:
    """Findings about the answers of a task that samples; none for a task that reads log-likelihoods."""
    if expected.use.samples is None:
        return []
    usual = majority(len(row.samples) for row in rows)
    seeds: dict[tuple[str, str], dict[int, tuple[int, int]]] = defaultdict(dict)
    findings: list[Finding] = []
    for row in rows:
        findings += _number(expected, row, usual)
        for number, sample in enumerate(row.samples):
            findings += _drawn(expected, row, number, sample, seeds[row.role, row.seed])
            trait = row.content["doc"].get("trait")
            if trait is not None:
                findings += _persona(row, number, sample, str(trait), submission)
            if expected.judged:
                findings += _judged(row, number, sample, submission)
    return [*findings, *_fixed_texts(rows, submission), *_may_rate(expected, rows)]


def _number(expected: ExpectedRows, row: Row, usual: int) -> Iterator[Finding]:
    count, least = len(row.samples), expected.use.samples or 1
    if len(row.answers) != count:
        text = f"as many as resps has: {len(row.answers)}"
        yield row.finding("samples", "samples", f"{count} samples", text, "give lm-eval's rows as they are")
    if count < least:
        text = f"{least} or more to each question"
        yield row.finding(
            "missing-samples", "samples", f"{count} samples", text, f"measure with {least} repeats"
        )
    elif count != usual:
        text = f"the same number for all questions, roles and seeds of the entry: {usual}"
        yield row.finding("samples", "samples", f"{count} samples", text, "keep the same number everywhere")


def _drawn(
    expected: ExpectedRows, row: Row, number: int, sample: dict[str, Any], seeds: dict[int, tuple[int, int]]
) -> Iterator[Finding]:
    where = f"samples[{number}]"
    if sample["index"] != number:
        yield row.finding("samples", f"{where}.index", sample["index"], str(number), "keep lm-eval's order")
    for name in ("seed", "finish", "n_tokens", "prompt_sha"):
        if sample.get(name) is None:
            yield row.finding("missing-evidence", f"{where}.{name}", None, "what drew the answer", _MODEL)
    seed = sample.get("seed")
    if seed is not None and seed in seeds:
        text = "a seed of its own for each answer of an arm"
        fix = f"the same draw as samples[{seeds[seed][1]}] of line {seeds[seed][0]}: measure again"
        yield row.finding("repeated-seed", f"{where}.seed", seed, text, fix)
    elif seed is not None:
        seeds[seed] = row.line, number
    tokens, most = sample.get("n_tokens"), expected.use.max_gen_toks
    if tokens is None or most is None or number >= len(row.answers):
        return
    size = len(row.answers[number].encode("utf-8", "surrogatepass"))
    if tokens > most or (sample.get("finish") == "length" and tokens < most):
        text = f"at most {most} tokens; finish is 'length' at {most} and 'stop' before"
        value = f"{tokens} tokens, finish {sample.get('finish')}"
        yield row.finding(
            "answer-length", f"{where}.n_tokens", value, text, f"measure with max_gen_toks {most}"
        )
    if size > _LONGEST_TOKEN * tokens:
        text = f"at most {_LONGEST_TOKEN} bytes a token, of which there are {tokens}"
        yield row.finding(
            "answer-length", f"resps[0][{number}]", f"{size} bytes", text, "give the answer as drawn"
        )


def _persona(
    row: Row, number: int, sample: dict[str, Any], trait: str, submission: Submission
) -> Iterator[Finding]:
    where = f"samples[{number}]"
    if trait != submission.persona.trait:
        text = "name the trait that the task projects on"
        yield row.finding(
            "persona",
            "doc.trait",
            trait,
            f"persona.trait of submission.json: {shown(submission.persona.trait)}",
            text,
        )
    if sample.get("layer") != submission.persona.layer:
        allowed = f"persona.layer of submission.json: {submission.persona.layer}"
        fix = "all rows are read at one layer, fixed on the base model; " + _MODEL
        yield row.finding("persona-layer", f"{where}.layer", sample.get("layer"), allowed, fix)
    for name in _OF_ANSWER:
        if sample.get(name) is None and sample.get("n_tokens") != 0:
            allowed = "a number, for every answer with at least a token"
            yield row.finding("missing-evidence", f"{where}.{name}", None, allowed, _MODEL)
    for name in ("own", "fixed"):
        layers, value = sample.get(f"persona_{name}_by_layer"), sample.get(f"persona_{name}")
        if (layers is None) != (value is None):
            field = f"{where}.persona_{name}_by_layer"
            yield row.finding("missing-evidence", field, layers, f"there if persona_{name} is", _MODEL)
        elif layers is not None and submission.persona.layer >= len(layers):
            field = f"{where}.persona_{name}_by_layer"
            allowed = f"more than {submission.persona.layer} of them: the layer is among them"
            yield row.finding("persona-layer", field, f"{len(layers)} layers", allowed, _MODEL)
        elif (
            layers is not None
            and value is not None
            and abs(layers[submission.persona.layer] - value) > _ROUNDED * max(1.0, abs(value))
        ):
            allowed = f"persona_{name}_by_layer[{submission.persona.layer}], {layers[submission.persona.layer]}, to four digits"
            fix = "one of the two was changed: restore the row"
            yield row.finding("persona-disagrees", f"{where}.persona_{name}", value, allowed, fix)


def _fixed_texts(rows: Sequence[Row], submission: Submission) -> Iterator[Finding]:
    """`persona_fixed` reads the base model's answer, the same for all arms: it is there for all of them or for none."""
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
            for row in absent:
                allowed = "a number: the base model's answer is read in every arm"
                yield row.finding(
                    "missing-evidence", f"samples[{number}].persona_fixed", None, allowed, _MODEL
                )


def _judged(row: Row, number: int, sample: dict[str, Any], submission: Submission) -> Iterator[Finding]:
    where = f"samples[{number}]"
    absent = [name for name in _VERDICT if name not in sample]
    if absent:
        yield row.finding(
            "unjudged", f"{where}.{absent[0]}", None, f"a verdict of {shown(submission.judge.id)}", _JUDGE
        )
        return
    if "judge_error" in sample:
        allowed = "a verdict: an answer whose judging failed leaves every rate"
        yield row.finding("unjudged", f"{where}.judge_error", sample["judge_error"], allowed, _JUDGE)
    for name, due in (("judge", submission.judge.id), ("judge_rubric", submission.judge.rubric)):
        if sample[name] != due:
            field = "id" if name == "judge" else "rubric"
            allowed = f"judge.{field} of submission.json: {shown(due)}"
            yield row.finding("judge-differs", f"{where}.{name}", sample[name], allowed, _JUDGE)
    # Other judges may put too little weight on numbers; the embedded one scores whatever is written.
    if submission.judge.id.startswith("embedded") and sample["text"].strip():
        for name in ("judge_aligned", "judge_coherent"):
            if sample[name] is None:
                allowed = "a score: this judge leaves out empty answers only"
                yield row.finding("unjudged", f"{where}.{name}", None, allowed, _JUDGE)
    for name in ("judge_code", "judge_refusal"):
        if sample[name] is None or not math.isfinite(sample[name]):
            yield row.finding("unjudged", f"{where}.{name}", sample[name], "0 to 1", _JUDGE)


def _may_rate(expected: ExpectedRows, rows: Sequence[Row]) -> Iterator[Finding]:
    """One judge either may rate or may not."""
    if not expected.judged:
        return
    usual = majority(sample.get("judge_may_rate") for row in rows for sample in row.samples)
    for row in rows:
        for number, sample in enumerate(row.samples):
            if sample.get("judge_may_rate") is not usual:
                where = f"samples[{number}].judge_may_rate"
                yield row.finding(
                    "judge-differs", where, sample.get("judge_may_rate"), f"{usual} everywhere", _JUDGE
                )
