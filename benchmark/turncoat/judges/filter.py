"""Judging as an lm-eval filter: called once with all answers of a task, whatever model wrote them.

    filter_list:
      - name: samples
        filter:
          - function: !function turncoat.tasks.KeepSamples
          - function: !function turncoat.tasks.JudgeAnswers

`TURNCOAT_JUDGE` picks the judge ("embedded" by default, "off" for none). Known verdicts come from the cache.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lm_eval.api.filter import Filter
from tqdm import tqdm

from turncoat.engine.evidence import Answer, evidence_of
from turncoat.judges.base import Judge, Verdict
from turncoat.judges.cache import THOUGHTS_CUT, cached_scores
from turncoat.judges.spec import judge_from_name
from turncoat.judges.unscored import most_unscored, unscored_lines
from turncoat.shown_text import visible, warn

QUIET_SECONDS = 3
"""Scoring that takes no longer shows no progress."""

_printed: set[str] = set()


class JudgeAnswers(Filter):
    """Gives every answer its verdict, as the keys of `verdict_columns` in its evidence.

    Trouble with the judge never costs an answer: it is a warning, and answers come back with verdicts of None
    (untouched if there is no judge at all). Ctrl-C passes through; verdicts until then are cached.
    """

    def apply(self, resps: Any, docs: Any) -> list[list[Any]]:
        """One list of answers per document, with verdicts in their evidence."""
        answers = [list(samples) for samples in resps]
        judge: Judge | None = None
        try:
            judge = judge_from_name()
            if judge is None:
                return answers
            verdicts = _scores(judge, [question_for_judge(doc) for doc in docs], answers)
        except Exception as error:
            _warn(f"the answers were not judged: {type(error).__name__}: {error}")
            if judge is None:
                return answers
            failed = Verdict(
                None, None, mass=0.0, judge=judge.id, rubric=judge.rubric, raw={"error": str(error)}
            )
            verdicts = [[failed] * len(samples) for samples in answers]
        flat = [verdict for row in verdicts for verdict in row]
        if most_unscored(flat) or any(verdict.failed or verdict.declined for verdict in flat):
            _warn("\nturncoat: ".join([f"{judge.id}:", *unscored_lines(flat)]))
        if not judge.may_rate:
            _print_once(
                f"{judge.id} has no calibration card that lets it print a misalignment rate: mean scores "
                "only (see turncoat/judges/README.md)"
            )
        return [
            [_judged(answer, verdict, judge) for answer, verdict in zip(samples, row, strict=True)]
            for samples, row in zip(answers, verdicts, strict=True)
        ]


def verdict_columns(verdict: Verdict, judge: Judge) -> dict[str, Any]:
    """A verdict as flat JSON-able columns.

    Where a score is missing, its reason stands in `judge_error` (the call failed), `judge_declined` (the
    judge declines to grade the answer) or `judge_unscored`.
    """
    columns = {
        "judge_aligned": verdict.aligned, "judge_coherent": verdict.coherent, "judge_code": verdict.code,
        "judge_refusal": verdict.refusal, "judge_mass": verdict.mass, "judge": verdict.judge or judge.id,
        "judge_rubric": verdict.rubric or judge.rubric, "judge_may_rate": judge.may_rate,
    }  # fmt: skip
    kind = "error" if verdict.failed else "declined" if verdict.declined else "unscored"
    return columns | ({f"judge_{kind}": verdict.reason} if verdict.reason else {})


def question_for_judge(doc: Mapping[str, Any]) -> str:
    """The question that the judge reads: the plain one where the model saw a variant of it."""
    return str(doc.get("judged_question") or doc["question"])


@contextmanager
def progress_of(total: int, label: str) -> Iterator[Any]:
    """Progress bar on stderr, shown after a few seconds; `TQDM_DISABLE=1` hides it."""
    with tqdm(
        total=total, desc=visible(label), unit="answer", delay=QUIET_SECONDS, leave=False, file=sys.stderr
    ) as bar:
        yield bar.update


def _scores(judge: Judge, questions: list[str], answers: list[list[Any]]) -> list[list[Verdict]]:
    flat = [
        (question, str(answer)) for question, row in zip(questions, answers, strict=True) for answer in row
    ]
    with progress_of(len(flat), f"judging ({judge.id})") as on_done:
        verdicts = iter(cached_scores(judge, [q for q, _ in flat], [a for _, a in flat], on_done))
    return [[next(verdicts) for _ in row] for row in answers]


def _judged(answer: Any, verdict: Verdict, judge: Judge) -> Answer:
    evidence = {**evidence_of(answer), **verdict_columns(verdict, judge)}
    if evidence.get("thoughts_cut"):
        evidence["judge_unscored"] = THOUGHTS_CUT
    return Answer(str(answer), evidence)


def _warn(message: str) -> None:
    warn(
        f"WARNING: {message}\nturncoat: no answer is lost: score the saved ones later with `turncoat judge "
        "RUN --judge NAME`"
    )


def _print_once(message: str) -> None:
    if message not in _printed:
        _printed.add(message)
        warn(message)
