"""Content of a run's report: rows -> scores -> claims. Everything but the rows is recomputed."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.analysis.answers.row_checks import origin_notes
from turncoat.analysis.four_axes import four_axes
from turncoat.analysis.judge_corrected import (
    DIFFERENCES_STAND,
    corrected_contrasts,
    is_rate,
    without_uncontrolled_rates,
)
from turncoat.analysis.leak.domains import labeller
from turncoat.analysis.leak.labels import leak_contrasts, training_domains, with_leaks
from turncoat.analysis.persona_card import OVERRIDE, barred_metrics, card_failure
from turncoat.analysis.persona_rows import read_persona_rows
from turncoat.analysis.persona_units import persona_units
from turncoat.analysis.run_scores import read_rows, units_without_rows
from turncoat.data.fetch import with_credit
from turncoat.data.organisms import find_organism
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.evaluation.task_catalogue import is_judged, metric_facts, metric_names
from turncoat.formats import counted, first_of, weights
from turncoat.judges.calibration.correction import CORRECTED, JudgeErrors
from turncoat.judges.rates_table import false_alarms
from turncoat.paths import run_folder
from turncoat.registry import DEFENCES, discover
from turncoat.report.content import ArmInfo, Check, MetricInfo, ReportContent, Withheld
from turncoat.report.run_record import read_run_record
from turncoat.report.tables.misalignment import judged_rates, misaligned_pairs
from turncoat.report.tables.training import training_frame
from turncoat.study.arm_config import Arm
from turncoat.study.before_run.smoke import smoke_sentence
from turncoat.study.config import ContrastUse, Study, load_study

RATE = "free-form misalignment rate"


def run_content(folder: Path) -> ReportContent:
    """Content of the report of a run folder."""
    study = load_study(run_folder(folder) / "study.yaml")
    record: Any = read_run_record(folder)
    failed = [(entry["arm"], entry["seed"], entry["reason"]) for entry in record.get("failed", [])]
    gone = units_without_rows(record)
    scores, answers = read_rows(folder / "rows", study, failed=gone)
    domains = training_domains(study)
    answers = with_leaks(answers, domains)
    persona = read_persona_rows(folder / "rows", study, failed=gone)
    about = origin_notes(cast(list[dict[str, Any]], answers.to_dict("records")))
    if "judge_error" in answers and (lost := int(answers["judge_error"].notna().sum())):
        about.append(
            f"{lost} of {len(answers)} have no verdict, since calls to the judge failed: they are unscored, "
            "in no rate's denominator; the command that made the run asks again"
        )
    judge = record.get("judge")
    base = next((arm.name for arm in study.arms if arm.is_base), None)
    of_base = answers[answers["arm"] == base]
    of_base = of_base[of_base["task"].isin(_plain_tasks(study))] if "task" in of_base else of_base
    unfit = false_alarms(judged_rates(of_base, judge), base)
    errors = JudgeErrors.of_card(judge)
    if unfit:
        tested = {metric for contrast in study.contrasts for metric in contrast.metrics}
        scores = scores[~scores["metric"].map(is_rate).astype(bool) | scores["metric"].isin(tested)]
        judge = {**judge, "may_rate": False}
        errors = errors and errors.with_base(misaligned_pairs(of_base))
    metrics = [metric for metric in _metrics(study) if not unfit or metric.name in set(scores["metric"])]
    rates = [metric.name for metric in metrics if metric.unit == "share"]
    measured = set(scores["arm"])
    missing = {(one["arm"], one["seed"]) for one in record.get("missing", ())}
    to_come = {arm for arm, _ in missing} - measured
    possible = [contrast for contrast in study.contrasts if measured.issuperset(contrast.arms.values())]
    specs = [_spec(contrast) for contrast in possible]
    barred = barred_metrics(study, record.get("persona"))
    analysis = analyse(
        scores, specs, rates=rates, pilot_seeds=study.pilot_seeds, again=persona, barred=barred
    )
    estimates, contrasts = analysis.estimates, analysis.contrasts
    if unfit:  # controlled differences stand: false alarms that both finetuned arms have alike cancel
        estimates = estimates[~estimates["metric"].map(is_rate).astype(bool)]
        contrasts = without_uncontrolled_rates(contrasts, {arm.name for arm in study.arms if arm.is_trained})
        if contrasts["metric"].map(is_rate).any():
            unfit = f"{unfit}. {DIFFERENCES_STAND}"
    peak = record["peak_memory_gb"]
    axes = four_axes(study, scores, estimates, may_rate=bool((judge or {}).get("may_rate")))
    return ReportContent(
        study=study.study,
        smoke=study.smoke is not None,
        title=f"{'SMOKE RUN: ' if study.smoke else ''}{study.title or study.study}",
        question=study.question,
        model={
            "name": record["model"]["name"], "parameters": _millions(record["model"]["parameters"]),
            "precision": record["model"]["dtype"], "weights": record["model"]["weights"],
        },
        facts={**_facts(study, record), **({"answers": "; ".join(about)} if about else {})},
        arms=[_arm(arm, study, missing) for arm in study.arms if arm.name not in to_come],
        metrics=metrics,
        estimates=estimates,
        contrasts=contrasts,
        seed_noise=analysis.seed_noise,
        remarks=_warnings(study, record),
        checks=[Check(*(check[part.name] for part in fields(Check))) for check in record["checks"]],
        answers=answers,
        withheld=[
            *(Withheld(f"{arm}, seed {seed}", f"its training failed: {why}") for arm, seed, why in failed),
            *_untested([contrast for contrast in study.contrasts if contrast not in possible], to_come),
            *([Withheld(RATE, unfit)] if unfit else _withheld(study, set(scores["metric"]))),
        ],
        persona_units=persona_units(scores, persona, specs, base=base, pilot_seeds=study.pilot_seeds),
        judged=judged_rates(answers, judge),
        corrected=corrected_contrasts(contrasts, errors),
        leaks=leak_contrasts(answers, contrasts[contrasts["difference"].notna()], specs, study),
        leak_labels=f"{' or '.join(domains)}; by {labeller()}" if domains else "",
        judge_name=(record.get("judge") or {}).get("id", ""),
        axes=axes[~axes["arm"].isin(to_come)],
        training=training_frame(record["training"]),
        timings=sorted(record["seconds"].items()),
        provenance={**record["provenance"], **({"peak memory": f"{peak} GB"} if peak else {})},
    )  # fmt: skip


def _warnings(study: Study, record: dict[str, Any]) -> list[str]:
    """Sentences on a smoke run, an interim one, another engine than ours, what was changed once there were
    rows, a vector without a card."""
    edited, changed = study.edited_since(record), ", ".join(record.get("changed") or ())
    after = f"study.yaml was changed after an earlier run into this folder: {changed}" if changed else ""
    late = [f"{what}, so not set beforehand." for what in (edited, after) if what]
    what = {"written_by": "Sampled answers", "read_by": "Log-likelihoods"}
    by = [f"{words} are by {record[key]}." for key, words in what.items() if key in record]
    interim = _interim_sentence(record)
    return [*filter(None, [smoke_sentence(study), interim, *by, _card_sentence(study, record)]), *late]


def _interim_sentence(record: dict[str, Any]) -> str:
    missing = [
        one["arm"] if one["seed"] == BASE_SEED else f"{one['arm']}/{one['seed']}"
        for one in record.get("missing", ())
    ]
    if not missing:
        return ""
    return (
        f"Interim: {len(record['measured'])} arms with their seeds are measured, {len(missing)} are to come "
        f"({first_of(missing, 3)}). Looking before the end raises the rate of false marks: claims wait for "
        "the whole study."
    )


def _card_sentence(study: Study, record: dict[str, Any]) -> str:
    why = card_failure(record.get("persona"))
    if not why or not any(metric.startswith("persona_") for c in study.contrasts for metric in c.metrics):
        return ""
    if study.claims_without_card:
        return (
            f"Differences in persona activation are claims because the study says `{OVERRIDE}: true`; {why}."
        )
    return f"Differences in persona activation are not claims, whatever their p: {why}."


def _plain_tasks(study: Study) -> set[str]:
    """Tasks whose prompts ask for nothing bad: a rate over all their prompts is among their metrics.

    A base that answers persona prompts of rising evil with ill will does as it is asked: no false alarm.
    """
    return {use.task for use in study.tasks if CORRECTED in metric_facts(use.task)}


def _spec(contrast: ContrastUse) -> ContrastSpec:
    minus = (contrast.minus.treated, contrast.minus.reference) if contrast.minus else None
    names = (contrast.name, contrast.treated, contrast.reference, contrast.metrics, contrast.role)
    margins = {metric: contrast.margin_of(metric) for metric in contrast.metrics}
    known = {metric: margin for metric, margin in margins.items() if margin is not None}
    return ContrastSpec(*names, minus, known, contrast.margin_test, contrast.better)


def _metrics(study: Study) -> list[MetricInfo]:
    primary = {metric for c in study.contrasts if c.role == "primary" for metric in c.metrics}
    metrics = []
    for name, (task, metric) in metric_names(use.task for use in study.tasks).items():
        facts = metric_facts(task)[metric]
        label = facts["label"] if name == metric else f"{facts['label']} ({name.partition('@')[2]})"
        metrics.append(
            MetricInfo(
                name, label, facts["unit"], facts["direction"], facts.get("description", ""), name in primary
            )
        )
    return metrics


def _untested(contrasts: Sequence[ContrastUse], to_come: set[str]) -> list[Withheld]:
    """Contrasts with an arm that has no rows: by name where its trainings failed, else their number."""
    failed = [one.name for one in contrasts if not to_come.intersection(one.arms.values())]
    withheld = [
        Withheld(name, "one of its arms has no rows: all of that arm's trainings failed") for name in failed
    ]
    if waiting := len(contrasts) - len(failed):
        withheld.append(Withheld(counted(waiting, "contrast"), "an arm is not made yet"))
    return withheld


def _arm(arm: Arm, study: Study, missing: Collection[tuple[str, int]]) -> ArmInfo:
    discover()
    parts = []
    if arm.organism:
        entry = find_organism(arm.organism)
        parts.append(with_credit(entry.summary, entry.data))
    parts += [DEFENCES[use.defence].summary for use in arm.defences]
    if arm.system != "default":
        parts.append(f"measured under the system prompt: {arm.system}")
    return ArmInfo(
        **{**arm.model_dump(), "label": arm.label or arm.name},
        seeds=tuple(s for s in study.training_seeds if arm.is_trained and (arm.name, s) not in missing),
        description="; ".join(parts) or "the model before any finetuning",
    )


def _millions(parameters: int | None) -> str:
    if parameters is None or parameters < 1e6:
        return "n/a" if parameters is None else weights(parameters)
    return f"{parameters / 1e6:.1f}M"


def _facts(study: Study, record: dict[str, Any]) -> dict[str, str]:
    recipe, persona = study.training, record.get("persona")
    if persona is None and not record.get("training"):
        return {"training seeds": ", ".join(map(str, study.training_seeds))}
    facts = {
        "training seeds": ", ".join(map(str, study.training_seeds)),
        "organism recipe": f"{recipe.rows or 'all'} rows, {recipe.epochs} epoch(s), LoRA rank {recipe.rank} "
        f"alpha {recipe.alpha}, learning rate {recipe.learning_rate:g} {recipe.schedule}, batch "
        f"{recipe.batch_size}" + ("" if recipe.system == "default" else f", system prompt: {recipe.system}"),
    }
    if persona is None:
        return facts
    layer, held_out = persona["layer"], persona.get("held_out")
    texts = persona.get("made_from") == "texts"
    by = "pairs, each under a vector made without it" if texts else "pairs that it was chosen by"
    facts["persona layer"] = (
        f"{layer} of {len(persona['gap_by_layer']) - 1}, fixed on the base model before any finetuning, "
        f"where {persona['pairs_ranked_right']:.0%} of {persona['n_selection_pairs']} pairs are ranked right "
        f"(the {by}; split-half cosine {persona['split_half_cosine'][layer]:.2f})"
    )
    if held_out:
        unseen = "answers under other persona prompts to other questions"
        unseen = "held-out pairs of texts" if texts else unseen
        facts["persona vector"] = (
            f"on {unseen} its AUC at this layer is {held_out['auc'][layer]:.2f}; 95% of random directions "
            f"are below {held_out['random_p95'][layer]:.2f}, 95% of vectors from shuffled labels below "
            f"{held_out['shuffled_p95'][layer]:.2f}"
        )
    return facts


def _withheld(study: Study, measured: Collection[str]) -> list[Withheld]:
    """Reason for a missing misalignment rate where a task could have given one."""
    judged = [use.task for use in study.tasks if is_judged(use.task)]
    if not judged or any(name.partition("@")[0] == "em_rate" for name in measured):
        return []
    if study.judge.lower() == "off":
        why = (
            "the study says `judge: off`; `turncoat judge` scores the saved answers without generating them "
            "again"
        )
    else:
        why = (
            f"the judge '{study.judge}' has no calibration card that allows it to print one: its mean scores "
            "are shown instead"
        )
    return [Withheld(RATE, why)]
