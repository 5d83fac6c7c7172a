"""Tables around the claims: arms, metrics, checks, seed noise, settings and timings of the run."""

from collections.abc import Mapping
from typing import Any

from turncoat import formats
from turncoat.report.content import ArmInfo, Check, ReportContent
from turncoat.report.glossary import TERMS, explain
from turncoat.report.tables.contrasts import ci_name, contrast_decimals
from turncoat.report.tables.table import Cell, Table, count_cell, number_cell, numbers, sort_value, words
from turncoat.report.tables.training import training_cost
from turncoat.study.arm_config import DefenceUse

_VERDICTS = {True: "passed", False: "FAILED", None: "no threshold"}


def arms_table(content: ReportContent) -> Table:
    """The arms, with the time of their training."""
    rows = []
    for arm in content.arms:
        setting = " + ".join((use.setting or "none").replace("_", " ") for use in arm.defences) or "none"
        cells = (arm.label, _organism(arm), _defence(arm), setting, _seeds(arm))
        rows.append([Cell(text) for text in (*cells, training_cost(content, arm), arm.description)])
    labels = ("Arm", "Organism", "Defence", "Setting", "Seeds", "Training time per seed", "Description")
    notes = ["Training time is wall-clock time, other work on the machine included."]
    sentence = "One line per thing that is measured; seeds of one arm differ in nothing else."
    return Table("The arms", sentence, words(*labels), rows, notes * bool(len(content.training)))


def glossary_table(content: ReportContent) -> Table:
    """Metrics and terms, with the names that metrics have in files; primary metrics are bold."""
    metrics = content.ordered_metrics
    rows = [[Cell(m.label, strong=m.primary), Cell(m.name), Cell(explain(m))] for m in metrics]
    rows += [[Cell(term), Cell(""), Cell(text)] for term, text in TERMS.items()]
    columns = words("Metric or term", "Name in files", "Meaning")
    return Table("Glossary", "Primary metrics are bold and come first.", columns, rows)


def checks_table(content: ReportContent) -> Table:
    """Manipulation checks and sanity checks, failed ones first."""
    rows = []
    for check in sorted(content.checks, key=lambda check: check.passed is not False):
        seed = "all" if check.seed is None else str(check.seed)
        arm = "all" if check.arm is None else content.label(check.arm)
        cells = [Cell(check.name), Cell(arm), Cell(seed)]
        cells.append(Cell(check_value(check), check.value))
        cells.append(Cell(_VERDICTS[check.passed], strong=check.passed is False))
        rows.append([*cells, Cell(check.explanation)])
    columns = [*words("Check", "Arm"), *numbers("Seed", f"Value [{ci_name(content)}]")]
    columns += words("Verdict", "Why it matters")
    return Table("Checks", "What has to hold before the differences mean anything.", columns, rows)


def checks_summary(content: ReportContent) -> str:
    """ "5 checks passed, 1 failed, 2 have no threshold"."""
    verdicts = [check.passed for check in content.checks]
    if not verdicts:
        return "no checks were made"
    bare = verdicts.count(None)
    tail = f", {bare} without a threshold" if bare else ""
    return f"{verdicts.count(True)} passed, {verdicts.count(False)} failed{tail}"


def check_value(check: Check) -> str:
    """A check's value and interval, with decimals that suit it."""
    if formats.is_missing(check.value):
        return formats.NA
    if formats.is_missing(check.low) or formats.is_missing(check.high):
        return formats.significant(check.value)
    places = formats.decimals_for(formats.half_widths([(check.low, check.high)]), [check.value])
    return f"{formats.number(check.value, places)} {formats.interval(check.low, check.high, places)}"


def seed_noise_table(content: ReportContent) -> Table:
    """SDs between training seeds, and what matching seeds saves."""
    rows = []
    for row in content.sorted_seed_noise().itertuples():
        metric = content.metric(str(row.metric))
        places = contrast_decimals(content, metric)
        cells = [Cell(str(row.name)), Cell(metric.label), count_cell(row.n_seeds)]
        sds = (row.sd_treated, row.sd_control, row.sd_paired, row.sd_unpaired)
        cells += [number_cell(sd, places + 1) for sd in sds]
        cells.append(Cell(formats.significant(row.variance_ratio, 2), sort_value(row.variance_ratio)))
        rows.append([*cells, Cell(formats.text_or_empty(row.note))])
    labels = ("SD treated", "SD control", "SD of difference, paired", "SD of difference, unpaired")
    columns = [*words("Contrast", "Metric"), *numbers("Seeds", *labels, "Variance ratio"), *words("Note")]
    sentence = "How far a result moves when nothing but the training seed changes."
    return Table("Noise between training seeds", sentence, columns, rows)


def run_table(content: ReportContent) -> Table:
    """The model and the facts of the run."""
    return _pairs(
        "How it was run",
        "The model and the choices that were made before any result.",
        {f"model {key}": value for key, value in content.model.items()} | content.facts,
    )


def timings_table(content: ReportContent) -> Table:
    """Wall-clock time of every stage, and their sum."""
    rows = [[Cell(stage), Cell(formats.duration(seconds), seconds)] for stage, seconds in content.timings]
    total = sum(seconds for _, seconds in content.timings)
    notes = (f"Together {formats.duration(total)}.",) if rows else ("n/a: no stage was timed.",)
    columns = [*words("Stage"), *numbers("Time")]
    return Table("Where the time went", "Wall-clock time per stage.", columns, rows, notes)


def provenance_table(content: ReportContent) -> Table:
    """Versions and the command, enough to run it again."""
    return _pairs("Provenance", "What is needed to run it again.", dict(sorted(content.provenance.items())))


def seed_name(content: ReportContent, arm: str, seed: Any) -> str:
    """ "seed 2", or "not trained" for an arm without a finetune, whatever number stands for that in the
    rows."""
    trained = content.arm(arm).is_trained and not formats.is_missing(seed)
    return f"seed {int(seed)}" if trained else "not trained"


def _organism(arm: ArmInfo) -> str:
    answers = {"answers of": arm.answers_of} if arm.answers_of else {}
    return _with(arm.organism or "none", {**answers, **arm.training})


def _defence(arm: ArmInfo) -> str:
    uses = [
        _with(use.defence, {**use.defence_options, **_system(use.defence_training), **_texts(use)})
        for use in arm.defences
    ]
    return " + ".join(uses) or "none"


def _with(name: str, settings: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key}: {value}" for key, value in settings.items())
    return f"{name} ({shown})" if shown else name


def _system(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The system prompt of a defence's own finetune, where it has one: a condition of its own."""
    return {"trained under": recipe["system"]} if "system" in recipe else {}


def _texts(use: DefenceUse) -> dict[str, Any]:
    """Who wrote a defence's texts, where it is not the base."""
    return {} if use.defence_texts == "base" else {"texts by": use.defence_texts}


def _seeds(arm: ArmInfo) -> str:
    return ", ".join(str(seed) for seed in sorted(arm.seeds)) or "none (not trained)"


def _pairs(heading: str, sentence: str, pairs: Mapping[str, str]) -> Table:
    rows = [[Cell(str(key)), Cell(str(value))] for key, value in pairs.items()]
    return Table(heading, sentence, words("What", "Value"), rows)
