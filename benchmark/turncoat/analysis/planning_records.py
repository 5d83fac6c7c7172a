"""Plan of a study: detectable effects, permutation floors, and what doubling each size would buy."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from turncoat.analysis.analyse import ContrastSpec
from turncoat.analysis.reach import cannot_reach, family_size, metric_units, planned_contrasts
from turncoat.analysis.run_scores import read_rows, units_without_rows
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import cluster_id
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.safe_files import read_object
from turncoat.stats.contrasts import CLAIMS
from turncoat.stats.planning.components import (
    Components,
    default_components,
    mean_components,
    pilot_components,
)
from turncoat.stats.planning.designs import Design, detectable_range, group_floor, what_more_buys
from turncoat.stats.planning.power import seed_sd_interval
from turncoat.stats.scores import check_scores
from turncoat.stats.sign_flip import exact_floor
from turncoat.study.before_run.smoke import refuse_smoke
from turncoat.study.config import Study, load_study
from turncoat.study.evaluate import load_task


@dataclass(frozen=True)
class Plan:
    """The plan of one family of contrasts."""

    role: str  # The family of contrasts that is planned for: primary, or what there is
    # One per contrast and metric: sizes, variance components, detectable effects, floors, notes
    records: list[dict[str, Any]]
    barred: list[str]  # Sentences about claims that the study can never make


@dataclass(frozen=True)
class Pilot:
    """Scores and answers of an earlier run."""

    study: Study  # Its study
    scores: pd.DataFrame  # Checked score table
    answers: pd.DataFrame  # One row per answer, with `task`


def plan_study(study: Study, pilot: Pilot | None, alpha: float, power: float) -> Plan:
    """Plan the family of primary contrasts (else of another role); variances of a pilot, else published ones.

    Raises:
        UserError: The study names no contrasts, or a level is outside 0 to 1.
    """
    roles = {contrast.role for contrast in study.contrasts}
    if not roles:
        raise UserError(f"study '{study.study}' names no contrasts; add `contrasts:` with a primary one")
    role = next(role for role in ("primary", "secondary", *sorted(roles)) if role in roles)
    sizes = task_sizes(study)
    records, components = plan_records(study, role, sizes, pilot, alpha, power)
    questions = {task: n for task, (n, _) in sizes.items()}
    barred = cannot_reach(study, questions=questions, components=components, alpha=alpha, role=role)
    return Plan(role, records, barred)


def task_sizes(study: Study) -> dict[str, tuple[int, float]]:
    """Task -> (questions, answers per question and arm); documents of one cluster are one question.

    Only tasks with a metric of a contrast are loaded: the documents of others might have to be fetched.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    metrics = {metric for contrast in study.contrasts for metric in contrast.metrics}
    names = metric_names(use.task for use in study.tasks)
    wanted = {task for name, (task, _) in names.items() if name in metrics}
    sizes = {}
    for use in study.tasks:
        if use.task not in wanted:
            continue
        task = load_task(use)
        documents = list(task.eval_docs)[: use.limit]
        clusters = len({cluster_id({"doc": doc, "doc_id": number}) for number, doc in enumerate(documents)})
        repeats = int(task.config.repeats) if task.OUTPUT_TYPE == "generate_until" else 1
        sizes[use.task] = (clusters, repeats * len(documents) / clusters)
    return sizes


def read_pilot(folder: Path) -> Pilot:
    """Scores and answers of a run folder.

    Raises:
        UserError: The folder does not hold a run.
    """
    for needed in ("study.yaml", "run.json", "rows"):
        if not (folder / needed).exists():
            raise UserError(
                f"--pilot {folder}: not a run folder, {needed} is missing; make one with `turncoat run STUDY`"
            )
    study = load_study(folder / "study.yaml")
    refuse_smoke(study, folder)
    gone = units_without_rows(read_object(folder / "run.json"))
    scores, answers = read_rows(folder / "rows", study, failed=gone)
    return Pilot(study, check_scores(scores), answers)


def components_of(spec: ContrastSpec, metric: str, unit: str, pilot: Pilot | None) -> Components:
    """Variances from the pilot's same arms, else from its other trained arms, else assumed ones."""
    if pilot is None:
        return default_components(metric, unit)
    of_metric = pilot.scores[pilot.scores["metric"] == metric]
    measured = set(of_metric["arm"])
    answers = (
        pilot.answers[pilot.answers["task"].isin(set(of_metric["task"]))]
        if len(pilot.answers)
        else pilot.answers
    )
    sampled = answers if len(answers) else None

    def of_arms(arms: tuple[str, ...]) -> Components | None:
        if not measured.issuperset(arms):
            return None
        return pilot_components(pilot.scores, arms, metric, rate=unit == "share", answers=sampled)

    same = of_arms(spec.arms)
    if same is not None:
        return same
    trained = {arm.name for arm in pilot.study.arms if arm.is_trained}
    pairs = {(c.treated, c.reference) for c in pilot.study.contrasts if {c.treated, c.reference} <= trained}
    others = [one for one in map(of_arms, sorted(pairs)) if one is not None]
    return mean_components(others) or default_components(metric, unit)


def plan_records(
    study: Study, role: str, sizes: dict[str, tuple[int, float]], pilot: Pilot | None, alpha: float,
    power: float,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], Components]]:  # fmt: skip
    """One record per contrast and metric of the family, and the variances that it was planned with."""
    specs = planned_contrasts(study, role)
    units = metric_units(study)
    trained = {arm.name for arm in study.arms if arm.is_trained}
    tests = {claim: max(1, family_size(study, specs, claim)) for claim in CLAIMS}
    records, known = [], {}
    for spec in specs:
        seeds = len(study.fresh_seeds) if trained & set(spec.arms) else 0
        for metric in spec.metrics:
            task, unit = units[metric]
            questions, samples = sizes[task]
            components = components_of(spec, metric, unit, pilot)
            known[spec.name, metric] = components
            designs = {
                claim: Design(questions, samples, seeds, tests[claim], alpha, power) for claim in CLAIMS
            }
            detectable = {
                claim: {
                    name: effects[claim]
                    for name, effects in what_more_buys(components, designs[claim]).items()
                }
                for claim in CLAIMS
            }
            records.append(
                {
                    "contrast": spec.name, "metric": metric, "unit": unit, "role": role, "tests": tests,
                    "n_questions": questions, "samples_per_question": samples, "n_seeds": seeds,
                    "detectable": detectable,
                    "detectable_range": {
                        claim: detectable_range(components, designs[claim], claim) for claim in CLAIMS
                    },
                    "floor_seeds": exact_floor(seeds) if seeds else None,
                    "floor_seeds_unpaired": group_floor(seeds) if seeds else None,
                    "components": asdict(components), "notes": _notes(components, seeds),
                }
            )  # fmt: skip
    return records, known


def _notes(components: Components, seeds: int) -> list[str]:
    notes = [components.source]
    if components.seed is None:
        notes.append("its seeds give no SD between training seeds, so nothing is said of the recipe")
    elif components.seed == 0 and components.n_seeds:
        seeds_text = f"no spread between its {components.n_seeds} seeds beyond noise"
        notes.append(f"{seeds_text}: the recipe's numbers may be too small")
    elif components.n_seeds >= 2:
        ends = seed_sd_interval(1.0, components.n_seeds)
        notes.append(
            f"the true seed SD may be {ends.low:.2g} to {ends.high:.2g} times as large (95% interval), which "
            "the range in brackets carries through"
        )
    if None in (components.sampling, components.sampling_shared):
        notes.append("one sample per question there, so what more samples buy is unknown")
    if not seeds:
        notes.append("neither arm is trained: there is no recipe")
    return notes
