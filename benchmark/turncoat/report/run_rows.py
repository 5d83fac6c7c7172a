"""Run folders as tables and figures need them: the content of the report, and the scores under it.

for run in find_runs(Path("results")): print(run.label, len(run.scores))
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.analysis.persona_card import barred_metrics
from turncoat.analysis.persona_rows import read_persona_rows
from turncoat.analysis.run_scores import read_rows, units_without_rows
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import seed_of
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.report.build import run_content
from turncoat.report.content import ReportContent
from turncoat.safe_files import read_object
from turncoat.stats.contrasts import CLAIMS, ROW_COLUMNS, Contrast
from turncoat.study.before_run.smoke import refuse_smoke
from turncoat.study.config import Study, load_study

_DEEP = 3  # folders below the one that was given


@dataclass(frozen=True, eq=False)
class Run:
    """One run."""

    label: str  # The study's name; the folder's where two runs are of one study
    folder: Path  # The run folder
    study: Study  # What was run
    content: ReportContent  # What its report says; metrics that the report withholds are not in it
    scores: pd.DataFrame  # The tidy score table (`turncoat.stats.scores`), with the metrics of `content` only
    persona: pd.DataFrame  # Values under re-extracted persona vectors (`persona_rows.read_persona_rows`)
    barred: Mapping[str, str]  # Metrics in which no difference is marked (`persona_card.barred_metrics`)

    @cached_property
    def levels(self) -> pd.DataFrame:
        """The estimates of every arm, by seed and over seeds."""
        return self.content.sorted_estimates()

    def metric(self, task: str, metric: str) -> str | None:
        """This run's name of a task's metric; None where it has no rows of it."""
        names = (name for name, origin in self._origins.items() if origin == (task, metric))
        return next((name for name in names if name in self._measured), None)

    def whole_set(self, task: str, metric: str) -> dict[tuple[str, int], float]:
        """(arm, seed) -> a metric that only all answers together have (clusters of self-reports, a half
        dose).

        Such a number has no value per question, hence no interval over questions; lm-eval's results file
        holds it.

        Raises:
            UserError: A results file is not as lm-eval writes it.
        """
        values: dict[tuple[str, int], float] = {}
        for arm in self.study.arms:
            for path in sorted((self.folder / "rows" / arm.name).glob(f"*/{task}/results_*.json")):
                seed = seed_of(path.parent.parent.name)
                results = read_object(path).get("results")
                if not isinstance(results, dict) or not isinstance(results.get(task, {}), dict):
                    raise UserError(f"{path}: no results of {task}; run the study again")
                for key, value in results.get(task, {}).items():
                    finite = isinstance(value, int | float) and math.isfinite(value)
                    if key.partition(",")[0] == metric and finite:
                        values[arm.name, seed] = float(value)
        return values

    def origin(self, name: str) -> tuple[str, str]:
        """(task, metric) of a name in this run."""
        return self._origins[name]

    @cached_property
    def _origins(self) -> dict[str, tuple[str, str]]:
        return metric_names(use.task for use in self.study.tasks)

    @cached_property
    def _measured(self) -> frozenset[str]:
        return frozenset(self.scores["metric"])

    def contrasts(self, specs: Sequence[ContrastSpec]) -> pd.DataFrame:
        """Contrasts on this run's rows, uncorrected, both claims; one that allows no test is a row that says
        why."""
        possible, undefined = [], []
        for spec in specs:
            why = {metric: self._untestable(spec, metric) for metric in spec.metrics}
            good = tuple(metric for metric in spec.metrics if not why[metric])
            undefined += [(spec, metric, why[metric]) for metric in spec.metrics if why[metric]]
            if good:
                possible.append(ContrastSpec(spec.name, spec.treated, spec.reference, good, spec.role))
        metrics = {metric for spec in possible for metric in spec.metrics}
        arms = {arm for spec in possible for arm in (spec.treated, spec.reference)}
        scores = self.scores[self.scores["metric"].isin(metrics) & self.scores["arm"].isin(arms)]
        rates = [metric.name for metric in self.content.metrics if metric.unit == "share"]
        frames = []
        if possible:
            tested = analyse(scores, possible, rates=rates, again=self.persona, barred=self.barred)
            frames.append(tested.contrasts)
        rows = [
            Contrast(spec.name, metric, claim, spec.treated, spec.reference, note=f"undefined: {why}")
            for spec, metric, why in undefined
            for claim in CLAIMS
        ]
        columns = [*ROW_COLUMNS, "p_adjusted", "family", "role"]
        records = [{**row.row(), "role": "secondary"} for row in rows]
        frames += [pd.DataFrame(records, columns=columns)] if records else []
        if not frames:
            return pd.DataFrame(columns=columns)
        whole = pd.concat([frame.astype(object) for frame in frames], ignore_index=True)
        # the family is the caller's to say
        return whole.assign(p_adjusted=None, family="")

    def _untestable(self, spec: ContrastSpec, metric: str) -> str:
        rows = self.scores[self.scores["metric"] == metric]
        questions = [set(rows.loc[rows["arm"] == arm, "question"]) for arm in (spec.treated, spec.reference)]
        for arm, of_arm in zip((spec.treated, spec.reference), questions, strict=True):
            if not of_arm:
                return f"'{arm}' has no rows of {metric}"
        common = len(questions[0] & questions[1])
        return f"{common} question(s) in common, a paired contrast needs 2" if common < 2 else ""


def find_runs(folder: Path, on_step: Callable[[str], None] = lambda _: None) -> list[Run]:
    """The run in a folder, or every run in the folders below it, by name; `on_step` is told of each.

    Raises:
        UserError: There is none.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; give a run folder (study.yaml, rows/) or one that holds some")
    folders = [folder] if _is_run(folder) else _below(folder, _DEEP)
    if not folders:
        raise UserError(
            f"{folder} holds no run: a folder with study.yaml, run.json and rows/; make one with `turncoat "
            "run STUDY`"
        )
    studies = {path: load_study(path / "study.yaml") for path in folders}
    if all(study.smoke for study in studies.values()):
        refuse_smoke(*next((study, path) for path, study in studies.items()))
    studies = {path: study for path, study in studies.items() if not study.smoke}
    names = [study.study for study in studies.values()]
    runs = []
    for path, study in studies.items():
        on_step(f"reading {path}")
        below = path.relative_to(folder).as_posix().replace("/", "-")
        runs.append(_load(path, study, study.study if names.count(study.study) == 1 else below))
    return sorted(runs, key=lambda run: run.label)


def _load(folder: Path, study: Study, label: str) -> Run:
    content = run_content(folder)
    record = read_object(folder / "run.json")
    failed = units_without_rows(record)
    scores, _ = read_rows(folder / "rows", study, failed=failed)
    study = _as_far_as_made(study, content)
    shown = set(content.estimates["metric"])
    persona = read_persona_rows(folder / "rows", study, failed=failed)
    kept = scores[scores["metric"].isin(shown)].reset_index(drop=True)
    return Run(label, folder, study, content, kept, persona, barred_metrics(study, record.get("persona")))


def _as_far_as_made(study: Study, content: ReportContent) -> Study:
    """The study without the arms of an interim run that are to come, and without their contrasts."""
    names = {arm.name for arm in content.arms}
    arms = tuple(arm for arm in study.arms if arm.name in names)
    contrasts = tuple(one for one in study.contrasts if names.issuperset(one.arms.values()))
    return study.model_copy(update={"arms": arms, "contrasts": contrasts})


def _is_run(folder: Path) -> bool:
    return (folder / "study.yaml").is_file() and (folder / "rows").is_dir()


def _below(folder: Path, deep: int) -> list[Path]:
    folders: list[Path] = []
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if _is_run(path):
            folders.append(path)
        elif deep > 1:
            folders += _below(path, deep - 1)
    return folders
