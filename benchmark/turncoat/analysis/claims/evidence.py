"""Evidence for the parts of claims: from runs where their rows are here, else as it was kept beside the file.

evidence = Rows([Path("results"), Path("runs/sgtr_released")], level=0.05).of(part)
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from turncoat.analysis.claims.spec import Part, Values
from turncoat.analysis.claims.verdict import Evidence
from turncoat.errors import UserError, accepted
from turncoat.evaluation.samples_file import sample_files, scores_of, seed_of
from turncoat.stats.contrasts import contrast_grids
from turncoat.stats.scores import Grid, check_scores, grid
from turncoat.stats.t_errors import TError
from turncoat.yaml_model import read_yaml

_DEEP = 3  # folders below a place


class Rows:
    """The runs in some places, by the name of their study."""

    def __init__(self, places: Sequence[Path], level: float) -> None:
        """Places to look in; one-sided level of the tests."""
        self.places, self.level = places, level
        self._grids: dict[tuple[str, str, str], Grid] = {}

    @cached_property
    def studies(self) -> dict[str, tuple[Path, frozenset[int]]]:
        """Study -> its run's folder and its pilot seeds; the first place wins."""
        runs: dict[str, tuple[Path, frozenset[int]]] = {}
        for place in self.places:
            for deep in range(_DEEP):
                for path in sorted(place.glob("*/" * deep + "study.yaml")):
                    content: Any = read_yaml(path)[0]
                    pilots = frozenset(content.get("pilot_seeds") or ())
                    runs.setdefault(str(content.get("study")), (path.parent, pilots))
        return runs

    def of(self, part: Part) -> Evidence | None:
        """Evidence for a part; None where a study that it names is not here, or the part is missing.

        Raises:
            UserError: A study is here and has no such arm, task or metric.
        """
        if part.missing:
            return None
        if part.published is not None:
            return _published(*part.published)
        if any(arm.partition(": ")[0] not in self.studies for arm in part.arms):
            return None
        treated, reference = (self._grid(arm, part) for arm in part.arms)
        contrast = contrast_grids(treated, reference, part.about, confidence=1 - 2 * self.level)
        notes = [text for text in (contrast.note, contrast.barred) if text]
        return Evidence(
            contrast.difference, tuple(contrast.errors), contrast.p_mark, contrast.n_questions,
            str(contrast.n_seeds), "; ".join(notes),
        )  # fmt: skip

    def _grid(self, name: str, part: Part) -> Grid:
        key = (name, part.task, part.metric)
        if key not in self._grids:
            study, _, arm = name.partition(": ")
            folder, pilots = self.studies[study]
            there = folder / "rows" / arm
            frames = []
            for path in sorted(there.glob(f"*/{part.task}")):
                seed = seed_of(path.parent.name)
                if seed not in pilots:
                    frames += [
                        scores_of(f, arm=name, seed=seed, task=part.task)
                        for f in sample_files(path, part.task)
                    ]
            if not frames:
                arms = [path.name for path in (folder / "rows").iterdir()]
                raise UserError(f"{folder}: no rows of {part.task} for arm '{arm}'; {accepted(arms, arm)}")
            scores = pd.concat(frames, ignore_index=True)
            measured = sorted(set(scores["metric"]))
            if part.metric not in measured:
                wrong = f"{there}: {part.task} has no metric '{part.metric}'"
                raise UserError(f"{wrong}; {accepted(measured, part.metric)}")
            self._grids[key] = grid(check_scores(scores[scores["metric"] == part.metric]), name, part.metric)
        return self._grids[key]


def _published(treated: Values, reference: Values) -> Evidence:
    """Welch's test over seeds of published levels; exact permutations too where each seed is known."""
    sides = [_summary(values) for values in (treated, reference)]
    difference = sides[0][0] - sides[1][0]
    variances = [(sd**2 / n, n - 1) for _, sd, n in sides if n]
    total = sum(variance for variance, _ in variances)
    note = "published levels, one prompt or one set of answers: seeds are the only sample"
    seeds = " and ".join(str(n) if n else "base" for _, _, n in sides)
    if not total:
        return Evidence(difference, n_seeds=seeds, note=f"{note}; no spread over seeds, so no test")
    df = total**2 / sum(variance**2 / degrees for variance, degrees in variances if variance)
    p_value = 2 * float(stats.t.sf(abs(difference) / math.sqrt(total), df))
    if treated.seeds and reference.seeds:
        exact = stats.permutation_test(
            (treated.seeds, reference.seeds), lambda a, b: np.mean(a) - np.mean(b), n_resamples=np.inf
        )
        p_value = max(p_value, float(exact.pvalue))
    return Evidence(difference, (TError(math.sqrt(total), df, "t over seeds"),), p_value, 0, seeds, note)


def _summary(values: Values) -> tuple[float, float, int]:
    if values.seeds:
        return float(np.mean(values.seeds)), float(np.std(values.seeds, ddof=1)), len(values.seeds)
    return float(values.mean or 0.0), values.sd or 0.0, values.n or 0


def kept(evidence: Evidence) -> dict[str, Any]:
    """Evidence as JSON, numbers with ten significant digits."""
    record = {**vars(evidence), "errors": [list(e) for e in evidence.errors]}
    return {key: _rounded(value) for key, value in record.items()}


def from_kept(record: dict[str, Any]) -> Evidence:
    """Evidence as `kept` wrote it."""
    errors = tuple(TError(*error) for error in record["errors"])
    return Evidence(**{**record, "errors": errors})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.10g}")
    return [_rounded(one) for one in value] if isinstance(value, list) else value
