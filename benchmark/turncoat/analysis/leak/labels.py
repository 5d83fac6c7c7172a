"""Leak labels of judged answers, a run's or anybody's; contrasts of misalignment with and without leak."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.analysis.answers.scored_answers import Scored
from turncoat.analysis.leak.domains import labeller, leaks
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.judges.calibration.correction import CORRECTED
from turncoat.judges.rates import count_answers
from turncoat.judges.rates_table import counts_by_question, pairs_without_leak
from turncoat.study.config import Study

LABEL = "judge_leak"
_SCORES = {f"judge_{name}": name for name in ("aligned", "coherent", "error")}
_WITHOUT = {"difference": "without_leak", "low": "without_leak_low", "high": "without_leak_high"}


def training_domains(study: Study) -> list[str]:
    """Domains of the study's organisms: one set for all arms, so that a contrast compares like with like."""
    organisms = dict.fromkeys(arm.organism for arm in study.arms if arm.organism)
    return list(dict.fromkeys(domain for name in organisms for domain in find_organism(name).domains))


def with_leaks(answers: pd.DataFrame, domains: Sequence[str]) -> pd.DataFrame:
    """A run's answers with a column `judge_leak`: 1 for a misaligned answer that leaks, 0 for other
    misaligned ones, NaN for the rest. There is no such column without domains or a judge.

    Raises:
        UserError: A domain that there is not.
    """
    if not domains or "judge_aligned" not in answers:
        return answers
    return answers.assign(**{LABEL: _labels(answers.rename(columns=_SCORES), answers["text"], domains, {})})


def with_leaks_of(scored: Scored, domains: Sequence[str], limits: dict[str, float]) -> Scored:
    """Scored answers of any origin with the same as a column `leak`, and a note on the labeller.

    Raises:
        UserError: The answers are right-or-wrong items or have no texts, or a domain is not one.
    """
    frame = scored.frame
    if scored.kind != "judged" or not frame["answer"].str.strip().any():
        raise UserError(
            f"{scored.source}: --domain reads the texts of judged answers, and there are none; give a file "
            "with a column such as answer or response, or leave --domain out"
        )
    texts = frame["question_text"].where(frame["question_text"] != "", frame["question"])
    labels = _labels(frame.assign(question=texts), frame["answer"], domains, limits)
    note = f"leak into {' or '.join(domains)}: by {labeller()}; errors: turncoat/analysis/leak/README.md"
    return replace(scored, frame=frame.assign(leak=labels), notes=(*scored.notes, note))


def leak_contrasts(
    answers: pd.DataFrame, contrasts: pd.DataFrame, specs: Sequence[ContrastSpec], study: Study
) -> pd.DataFrame:
    """Rows of `contrasts` (of `analyse`) about misaligned / all answers, with the differences without leak.

    Returns:
        Further columns without_leak, without_leak_low, without_leak_high; no rows where nothing is labelled.
    """
    pairs = metric_names(use.task for use in study.tasks)
    tested = {m: pairs[m][0] for s in specs for m in s.metrics if m in pairs and pairs[m][1] == CORRECTED}
    if LABEL not in answers or not tested:
        return pd.DataFrame()
    columns = ["arm", "seed", "task", "metric", "question", "value", "n_samples"]
    rows = [
        (arm, seed, task, metric, question, rest / n if n else float("nan"), n)
        for metric, task in tested.items()
        for (arm, seed), frame in answers[answers["task"] == task].groupby(["arm", "seed"], sort=False)
        for question, (rest, n) in _pairs(frame).items()
    ]
    chosen = [replace(s, metrics=tuple(m for m in s.metrics if m in tested), margins={}) for s in specs]
    chosen = [spec for spec in chosen if spec.metrics]
    again = analyse(pd.DataFrame(rows, columns=columns), chosen, pilot_seeds=study.pilot_seeds)
    keys = ["name", "metric", "claim"]
    return contrasts.merge(again.contrasts[[*keys, *_WITHOUT]].rename(columns=_WITHOUT), on=keys)


def _pairs(answers: pd.DataFrame) -> dict[str, tuple[int, int]]:
    names = {**_SCORES, "question_id": "question", LABEL: "leak"}
    frame = answers.drop(columns="question").rename(columns=names)
    return pairs_without_leak(frame, counts_by_question(frame))


def _labels(
    frame: pd.DataFrame, texts: pd.Series, domains: Sequence[str], limits: dict[str, float]
) -> pd.Series:
    names = {name: judge for judge, name in _SCORES.items() if name in frame}
    verdicts = frame[list(names)].rename(columns=names).to_dict("records")
    bad = [bool(count_answers([{str(k): v for k, v in of.items()}], **limits).misaligned) for of in verdicts]
    labels = iter(leaks(frame["question"][bad].tolist(), texts[bad].tolist(), domains))
    return pd.Series([float(next(labels)) if one else float("nan") for one in bad], frame.index, dtype=float)
