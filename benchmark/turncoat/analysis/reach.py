"""Pre-run checks: claims that a study is too small to support, from its YAML alone.

Three things bar a pre-registered claim: too few training seeds for any test of the recipe, an exact test
whose smallest p lies above Holm's strictest level (alpha over the size of the family; Holm 1979, Scandinavian
Journal of Statistics 6(2); Phipson & Smyth 2010, SAGMB 9(1)), and an effect larger than a share can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from turncoat.analysis.analyse import ContrastSpec
from turncoat.evaluation.task_catalogue import metric_facts, metric_names
from turncoat.stats.contrasts import CLAIMS, Claim
from turncoat.stats.planning.components import Components, default_components
from turncoat.stats.planning.designs import Design, detectable, group_floor
from turncoat.stats.scores import MINIMUM_SEEDS
from turncoat.stats.sign_flip import exact_floor, units_for_floor

if TYPE_CHECKING:
    from turncoat.study.config import Study

_UNITS = {"adapters": "questions", "recipe": "training seeds"}
_ABOUT = {"adapters": "about these adapters", "recipe": "about the recipe"}


def planned_contrasts(study: Study, role: str = "primary") -> list[ContrastSpec]:
    """The study's contrasts of one role, as `analyse` takes them."""
    return [
        ContrastSpec(
            c.name, c.treated, c.reference, c.metrics, c.role,
            (c.minus.treated, c.minus.reference) if c.minus else None,
        )
        for c in study.contrasts
        if c.role == role
    ]  # fmt: skip


def family_size(study: Study, specs: list[ContrastSpec], claim: Claim) -> int:
    """Number of tests in the family of these contrasts; two untrained arms allow no test of the recipe."""
    trained = {arm.name for arm in study.arms if arm.is_trained}
    counted = [spec for spec in specs if claim == "adapters" or trained & set(spec.arms)]
    return sum(len(spec.metrics) for spec in counted)


def metric_units(study: Study) -> dict[str, tuple[str, str]]:
    """Metric -> (task, unit) of the study's tasks."""
    names = metric_names(use.task for use in study.tasks)
    facts = {use.task: metric_facts(use.task) for use in study.tasks}  # each reads a YAML: once is enough
    return {name: (task, facts[task][metric]["unit"]) for name, (task, metric) in names.items()}


def cannot_reach(
    study: Study, *, questions: Mapping[str, int] | None = None,
    components: Mapping[tuple[str, str], Components] | None = None, alpha: float = 0.05,
    role: str = "primary",
) -> list[str]:  # fmt: skip
    """Sentences about claims that the study cannot make; empty if there are none.

    Args:
        questions: Questions of each task; default: the study's `limit`; tasks without one are not checked.
        components: (contrast, metric) -> SDs from a pilot; default: `default_components`.
    """
    specs = planned_contrasts(study, role)
    units = metric_units(study)
    sizes = {use.task: use.limit for use in study.tasks if use.limit} | dict(questions or {})
    seeds = len(study.fresh_seeds)
    lines: list[str] = []
    for claim in CLAIMS:
        tests = family_size(study, specs, claim)
        if not tests:
            continue
        if claim == "recipe" and seeds < MINIMUM_SEEDS:
            lines.append(
                f"{seeds} training seed{'s' * (seeds != 1)}: no {role} contrast can be claimed of the "
                f"recipe, only of these adapters; {MINIMUM_SEEDS} seeds are the least."
            )
            continue
        counts = {sizes[units[m][0]] for spec in specs for m in spec.metrics if units[m][0] in sizes}
        for n in [seeds] if claim == "recipe" else sorted(counts):
            if exact_floor(n) >= alpha / tests:
                lines.append(_floor_sentence(claim, n, tests, alpha, role))
    for spec in specs:
        for metric in spec.metrics:
            task, unit = units[metric]
            if unit != "share" or task not in sizes:
                continue
            sds = (components or {}).get((spec.name, metric)) or default_components(metric, unit)
            samples = next((use.repeats for use in study.tasks if use.task == task and use.repeats), 1)
            for claim in CLAIMS:
                tests = max(1, family_size(study, specs, claim))
                size = detectable(sds, Design(sizes[task], samples, seeds, tests, alpha), claim)
                if size is not None and size > 1:
                    lines.append(
                        f"{spec.name}, {metric}, {_ABOUT[claim]}: only a difference of {size:.2g} or more "
                        "would be found with 80% power, and a share cannot differ by more than 1."
                    )
    return lines


def _floor_sentence(claim: Claim, n: int, tests: int, alpha: float, role: str) -> str:
    unit, level = _UNITS[claim], alpha / tests
    asks = f"{tests} {role} tests ask for {level:.2g} (Holm)" if tests > 1 else f"the test asks for {level:g}"
    unpaired = f" (unpaired, {n} against {n}: {group_floor(n):.2g})" if claim == "recipe" else ""
    return (
        f"{n} {unit}: the exact sign-flip p {_ABOUT[claim]} cannot go below {exact_floor(n):.3g}{unpaired}, "
        f"and {asks}. The exact test needs {units_for_floor(level)} {unit}; with fewer, none is marked as "
        "significant."
    )
