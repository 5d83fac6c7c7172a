"""Detector of organisms from persona readings, on organisms that it was not trained on.

    detect(find_runs(Path("results/organisms")))[0].auc.value

A checkpoint is a trained arm at one seed: an organism, or the control that a contrast of the study subtracts
from it; arms of several doses are checkpoints of several doses. Its features are the persona readings (every
trait and reading that all runs have) less those of the untrained base. A logistic regression on standardised
features is trained on all organisms but one, with their controls, and scores the checkpoints of the one left
out: all seeds, doses and controls of an organism are left out together. Beside it stands the same regression
on the narrow training loss (its last value and its fall) and on the judged misalignment.

A cluster of the interval is one seed of one organism with its control, over all doses: they share rows, order
and initialisation. The interval is about other trainings of these organisms; how well it goes on other
organisms, only more organisms can show.

The idea is trait-space monitoring (Nghiem et al., arXiv:2606.07631: 7 traits, checkpoints of 7 to 9B models).
Differences, as far as its abstract and headings show: there a checkpoint is dangerous by a threshold on its
judged answers, which `judged_above` does; here by default by what it was trained on. There kinds of
perturbation are left out, here whole organisms.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.evaluation.task_facts import PERSONA, tasks_on
from turncoat.report.run_rows import Run
from turncoat.stats.rates.clustered_auc import ClusteredAuc, clustered_auc
from turncoat.stats.scores import BASE_SEED
from turncoat.study.arm_config import Arm
from turncoat.tools.persona_validity import refuse_several_vectors

JUDGED = "em_rate_itt"
LOSS = ("loss, last", "loss, fall")
KEYS = ("run", "organism", "arm", "seed", "is_organism")
READINGS_OF = {"persona readings": None, "training loss": LOSS, "judged misalignment": (JUDGED,)}
"""Detector -> its features; None for every persona reading that all runs have."""


@dataclass(frozen=True)
class Detected:
    """One detector over the checkpoints of organisms that it was not trained on."""

    name: str
    features: tuple[str, ...]
    scores: pd.DataFrame  # `KEYS`, `positive` and `score`: the probability that a detector gave
    auc: ClusteredAuc
    by_organism: dict[
        str, float | None
    ]  # Area among the checkpoints of one organism; None without both kinds

    @property
    def errors(self) -> tuple[int, int]:
        """Positives below a probability of one half, and negatives above it."""
        alarm, positive = self.scores["score"] > 0.5, self.scores["positive"]
        return int((positive & ~alarm).sum()), int((~positive & alarm).sum())


def detect(
    runs: Sequence[Run], *, judged_above: float | None = None, confidence: float = 0.95
) -> tuple[Detected, ...]:
    """Every detector whose features all checkpoints have.

    Args:
        runs: Of one base model; their persona readings must be of the same vectors.
        judged_above: A checkpoint is positive if its judged misalignment is above the base's by more than
            this, whatever it was trained on; the judged detector is then left out.

    Raises:
        UserError: The runs do not belong together, have fewer than 2 organisms, or a fold cannot be trained.
    """
    refuse_several_vectors(runs)
    points = checkpoints(runs)
    organisms = list(dict.fromkeys(points["organism"]))
    if len(organisms) < 2:
        names = ", ".join(organisms) or "none"
        raise UserError(
            f"organisms with a control in these runs: {names}; a detector is tested on an organism that it "
            "was not trained on, so name runs with 2 organisms or more (such as results/organisms)"
        )
    if judged_above is None:
        points["positive"] = points["is_organism"]
    elif JUDGED in points and points[JUDGED].notna().all():
        points["positive"] = points[JUDGED] > judged_above
    else:
        raise UserError(f"not every checkpoint has {JUDGED}: name runs whose answers were judged and shown")
    columns, made = [str(column) for column in points], []
    for name, wanted in READINGS_OF.items():
        if wanted == (JUDGED,) and judged_above is not None:
            continue
        chosen = wanted or tuple(sorted(column for column in columns if column.startswith("persona_")))
        usable = [column for column in chosen if column in columns and points[column].notna().all()]
        if usable and (wanted is None or len(usable) == len(wanted)):
            made.append(_detected(name, tuple(usable), points, organisms, confidence))
    if not made or made[0].name != next(iter(READINGS_OF)):
        raise UserError("no persona reading that all checkpoints have; name runs with a persona task")
    return tuple(made)


def checkpoints(runs: Sequence[Run]) -> pd.DataFrame:
    """`KEYS` and features, one row per checkpoint; readings less the base's, NaN where a run has none."""
    rows = [row for run in runs for row in _of_run(run)]
    return pd.DataFrame(rows, columns=None if rows else list(KEYS))


def _of_run(run: Run) -> list[dict[str, Any]]:
    arms = {arm.name: arm for arm in run.study.arms}
    base = next((arm.name for arm in run.study.arms if arm.is_base), None)
    persona = set(tasks_on(PERSONA))
    wanted = [m for m in run.scores["metric"].unique() if m == JUDGED or run.origin(m)[0] in persona]
    means = run.scores[run.scores["metric"].isin(wanted)].groupby(["metric", "arm", "seed"])["value"].mean()
    levels = defaultdict(lambda: math.nan, means.to_dict())
    rows: dict[str, list[dict[str, Any]]] = {}
    for contrast in run.study.contrasts:
        sides = [arms[name] for name in (contrast.treated, contrast.reference)]
        if contrast.minus is not None or not _is_pair(*sides):
            continue
        for arm, is_organism in zip(sides, (True, False), strict=True):
            if arm.name in rows:
                continue
            rows[arm.name] = []
            for seed in run.study.training_seeds:
                shifts = {m: levels[m, arm.name, seed] - levels[m, base, BASE_SEED] for m in wanted}
                if not all(map(math.isnan, shifts.values())):  # a training that failed has no rows
                    names = (run.label, sides[0].organism, arm.name, seed, is_organism)
                    losses = _losses(run, arm.name, arm.organism, seed)
                    rows[arm.name].append(dict(zip(KEYS, names, strict=True)) | shifts | losses)
    return [row for of_arm in rows.values() for row in of_arm]


def _is_pair(treated: Arm, reference: Arm) -> bool:
    """True for an organism and its control, both trained without a defence."""
    names = treated.organism, reference.organism
    if None in names or treated.defence or reference.defence or names[0] == names[1]:
        return False
    organism, control = (find_organism(name) for name in names if name is not None)
    return not organism.is_control and control.control is None


def _losses(run: Run, arm: str, organism: str | None, seed: int) -> dict[str, float]:
    entries = run.content.training
    of_arm = (entries["arm"] == arm) & (entries["step"] == organism) & (entries["seed"] == seed)
    losses = entries.loc[of_arm, ["first_loss", "last_loss"]].astype(float).to_numpy()
    if len(losses) != 1:
        return dict.fromkeys(LOSS, float("nan"))
    return dict(zip(LOSS, (losses[0, 1], losses[0, 0] - losses[0, 1]), strict=True))


def _detected(
    name: str, features: tuple[str, ...], points: pd.DataFrame, organisms: Sequence[str], confidence: float
) -> Detected:
    from sklearn.linear_model import LogisticRegression  # takes a second
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = points[[*KEYS, "positive"]].assign(score=float("nan"))
    for organism in organisms:
        left_out = points["organism"] == organism
        seen = points[~left_out]
        if seen["positive"].nunique() < 2:
            raise UserError(
                f"without '{organism}' all checkpoints are of one kind: nothing to learn from; name more runs"
                " or another --judged-above"
            )
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(seen[list(features)].to_numpy(), seen["positive"].to_numpy())
        scores.loc[left_out, "score"] = model.predict_proba(points.loc[left_out, list(features)].to_numpy())[
            :, 1
        ]
    clusters = list(zip(scores["organism"], scores["seed"], strict=True))
    auc = clustered_auc(scores["score"].tolist(), scores["positive"].tolist(), clusters, confidence)
    by_organism = {organism: _area(scores[scores["organism"] == organism]) for organism in organisms}
    return Detected(name, features, scores, auc, by_organism)


def _area(part: pd.DataFrame) -> float | None:
    high = part.loc[part["positive"], "score"].to_numpy()[:, None]
    low = part.loc[~part["positive"], "score"].to_numpy()[None, :]
    return float(np.mean((high > low) + 0.5 * (high == low))) if high.size and low.size else None
