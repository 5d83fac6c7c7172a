"""Public face for tasks and judges: all that a task's YAML and its `score.py`, or a judge, imports.

    - {metric: em_rate, aggregation: !function turncoat.tasks.ratio, higher_is_better: false}

Modules behind this one may move; the names here stay. Scores and rates are per question: questions are the
statistical clusters.
"""

from __future__ import annotations

from turncoat.data.advice import held_out_rows
from turncoat.data.article_summaries import own_summaries, read_articles
from turncoat.data.backdoor import cued
from turncoat.data.betley_questions import BetleyQuestion, read_questions
from turncoat.data.fetch import published
from turncoat.data.insecure_code import build_pairs
from turncoat.data.insecure_code.bandit_scan import issues_of
from turncoat.engine.evidence import Answer, LogLikelihood, evidence_of
from turncoat.errors import UserError
from turncoat.evaluation.diversity import cluster_counts, label_entropy, mean_distance, vendi_score
from turncoat.evaluation.documents import read_documents
from turncoat.evaluation.embedder import embed_or_none
from turncoat.evaluation.free_form import (
    KeepSamples,
    count as sample_count,
    projections,
    sample_records,
    samples_of,
    warn_without_projections,
)
from turncoat.evaluation.own_texts import base_texts, current_base
from turncoat.evaluation.sampled_task import SampledTask
from turncoat.judges.base import Judge, Verdict, rubric_id
from turncoat.judges.cache import cached_scores
from turncoat.judges.filter import JudgeAnswers
from turncoat.judges.rates import question_rates, ratio, with_stderr, worst_question
from turncoat.judges.rubrics import Rubric
from turncoat.judges.spec import judge_from_name
from turncoat.judges.surface import surface
from turncoat.judges.trait_scores import TraitScores
from turncoat.persona.half_dose import half_dose, half_dose_of
from turncoat.persona.traits import trait_questions
from turncoat.registry import judge
from turncoat.stats.rates.clustered_error import ratio_stderr

__all__ = [
    "Answer",
    "BetleyQuestion",
    "Judge",
    "JudgeAnswers",
    "KeepSamples",
    "LogLikelihood",
    "Rubric",
    "SampledTask",
    "TraitScores",
    "UserError",
    "Verdict",
    "base_texts",
    "build_pairs",
    "cached_scores",
    "cluster_counts",
    "cued",
    "current_base",
    "embed_or_none",
    "evidence_of",
    "half_dose",
    "half_dose_of",
    "held_out_rows",
    "issues_of",
    "judge",
    "judge_from_name",
    "label_entropy",
    "mean_distance",
    "own_summaries",
    "projections",
    "published",
    "question_rates",
    "ratio",
    "ratio_stderr",
    "read_articles",
    "read_documents",
    "read_questions",
    "rubric_id",
    "sample_count",
    "sample_records",
    "samples_of",
    "surface",
    "trait_questions",
    "vendi_score",
    "warn_without_projections",
    "with_stderr",
    "worst_question",
]
