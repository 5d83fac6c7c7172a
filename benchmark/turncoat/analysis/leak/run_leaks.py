"""Leak labels of judged answers, a run's or anybody's; contrasts of misalignment with and without leak."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.analysis.answers.arm_rates import Thresholds
from turncoat.analysis.answers.scored_answers import Scored
from turncoat.analysis.leak.domains import checked_domains, labeller, leak_column
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.judges.calibration.correction import CORRECTED
from turncoat.judges.rates_table import counts_by_question, pairs_without_leak
from turncoat.study.config import Study

LABEL = "judge_leak"
_NAMES = {"text": "answer", "judge_aligned": "aligned", "judge_coherent": "coherent", "judge_error": "error"}
_WITHOUT = {"difference": "without_leak", "low": "without_leak_low", "high": "without_leak_high"}


def training_domains(study: Study) -> list[str]:
    """Domains of the study's organisms: one set for all arms, so that the sides of a contrast are labelled
    alike.

    Raises:
        UserError: An organism names a domain that there is not.
    """
    names = dict.fromkeys(arm.organism for arm in study.arms if arm.organism)
    return checked_domains(domain for name in names for domain in find_organism(name).domains)


def with_leaks(answers: pd.DataFrame, domains: Sequence[str]) -> pd.DataFrame:
    """A run's answers with the column `judge_leak` (`leak_column`); unchanged without domains or a judge."""
    if not domains or "judge_aligned" not in answers:
        return answers
    return answers.assign(**{LABEL: leak_column(answers.rename(columns=_NAMES), domains)})


def with_leaks_of(scored: Scored, domains: Sequence[str], limits: Thresholds) -> Scored:
    """Scored answers of any origin with the column `leak` of `rates_table`, and a note on the labeller.

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
    labels = leak_column(frame.assign(question=texts), domains, **vars(limits))
    note = f"leak into {' or '.join(domains)}: by {labeller()}; errors: turncoat/analysis/leak/README.md"
    return replace(scored, frame=frame.assign(leak=labels), notes=(*scored.notes, note))


def leak_contrasts(
    answers: pd.DataFrame, contrasts: pd.DataFrame, specs: Sequence[ContrastSpec], study: Study
) -> pd.DataFrame:
    """Contrasts of misaligned / all answers, and their differences when leaking answers do not count.

    Args:
        answers: A run's answers (`with_leaks`).
        contrasts: The study's (`analyse`).

    Returns:
        Rows of `contrasts` with without_leak, without_leak_low and without_leak_high; empty where no contrast
        is about such a rate, or nothing is labelled.
    """
    pairs = metric_names(use.task for use in study.tasks)
    tested = {m: pairs[m][0] for s in specs for m in s.metrics if m in pairs and pairs[m][1] == CORRECTED}
    if LABEL not in answers or not tested:
        return pd.DataFrame()
    scores = pd.concat([_scores(answers, task, metric) for metric, task in tested.items()])
    chosen = [replace(s, metrics=tuple(m for m in s.metrics if m in tested), margins={}) for s in specs]
    chosen = [spec for spec in chosen if spec.metrics]
    again = analyse(scores, chosen, rates=list(tested), pilot_seeds=study.pilot_seeds)
    keys = ["name", "metric", "claim"]
    return contrasts.merge(again.contrasts[[*keys, *_WITHOUT]].rename(columns=_WITHOUT), on=keys)


def _scores(answers: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    """Shares of misaligned answers that do not leak, by arm, seed and question, as `analyse` reads them."""
    of_task = answers[answers["task"] == task].drop(columns="question")
    of_task = of_task.rename(columns={**_NAMES, "question_id": "question", LABEL: "leak"})
    rows = [
        (arm, seed, task, metric, question, rest / n if n else float("nan"), n)
        for (arm, seed), frame in of_task.groupby(["arm", "seed"], sort=False)
        for question, (rest, n) in pairs_without_leak(frame, counts_by_question(frame)).items()
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "task", "metric", "question", "value", "n_samples"])
