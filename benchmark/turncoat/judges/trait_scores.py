"""Trait scores as an lm-eval filter: how much of its document's trait each answer shows.

    filter_list:
      - name: samples
        filter:
          - function: !function turncoat.tasks.KeepSamples
          - function: !function turncoat.tasks.TraitScores

`TURNCOAT_JUDGE` picks the judge, which needs a trait rubric. The default judge, "embedded", rates alignment
alone, so without another one (such as TURNCOAT_JUDGE=local:model=...) the answers pass untouched.
"""

import math
from typing import Any

from lm_eval.api.filter import Filter

from turncoat.engine.evidence import Answer, evidence_of
from turncoat.judges.spec import DEFAULT, chosen_judge, judge_from_name
from turncoat.persona.answers import trait_rubric_id
from turncoat.shown_text import warn


class TraitScores(Filter):
    """Adds `trait_score` (0 to 100, None = unscored), `trait_judge`, `trait_rubric` to the evidence.

    Trouble with the judge costs no answer: they come back without these fields, and a warning says why.
    """

    def apply(self, resps: Any, docs: Any) -> list[list[Any]]:
        """One list of answers per document."""
        answers = [list(samples) for samples in resps]
        try:
            judge = trait_judge()
            if judge is None:
                return answers
            return _scored(judge, list(docs), answers)
        except Exception as error:
            warn(
                f"WARNING: no trait scores: {type(error).__name__}: {error}\nturncoat: the answers are kept "
                "without them"
            )
            return answers


def trait_judge(spec: str | None = None) -> Any:
    """The chosen judge if it can rate a trait; the embedded one is not even built, since it cannot."""
    if chosen_judge(spec).partition(":")[0].strip() == DEFAULT:
        return None
    judge = judge_from_name(spec)
    return judge if callable(getattr(judge, "trait", None)) else None


def _scored(judge: Any, docs: list[dict[str, Any]], answers: list[list[Any]]) -> list[list[Any]]:
    wanted: dict[str, list[tuple[int, int]]] = {}
    for row, (doc, samples) in enumerate(zip(docs, answers, strict=True)):
        if doc.get("trait") and not doc.get("trait_unscored"):
            # answers that are judged again (`study.evaluate.run_task`) may have their scores
            new = [(row, n) for n, one in enumerate(samples) if "trait_score" not in evidence_of(one)]
            if new:
                wanted.setdefault(str(doc["trait"]), []).extend(new)
    for trait, cells in wanted.items():
        rubric = trait_rubric_id(judge, trait)
        questions = [str(docs[row]["question"]) for row, _ in cells]
        scores = judge.trait(trait, questions, [str(answers[row][column]) for row, column in cells])
        for (row, column), score in zip(cells, scores, strict=True):
            if score is not None and math.isnan(score):
                continue  # a failed call: no field, so that a study asks again
            answer = answers[row][column]
            columns = {"trait_score": score, "trait_judge": judge.id, "trait_rubric": rubric}
            answers[row][column] = Answer(str(answer), {**evidence_of(answer), **columns})
    return answers
