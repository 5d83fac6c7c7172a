"""Tables over base models: which runs belong together, which are pooled, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from report.made_run import ARMS, CHOICE, made_defences, study_of, write_run
from turncoat.report.paper.cells import markdown_table
from turncoat.report.paper.files import paper_files
from turncoat.report.paper.frames import why_empty
from turncoat.report.paper.models import POOLED, models_frame, models_table
from turncoat.report.paper.spec import TableSpec, load_spec, specs_dir
from turncoat.report.run_rows import Run, find_runs
from turncoat.stats.meta_analysis.random_effects import random_effects

CONTRAST = {"name": "c", "treated": "insecure", "reference": "secure", "metrics": ["margin_per_token"]}
MARGIN = {"task": CHOICE, "metric": "margin_per_token"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with made_defences():
        arms = [{**arm, "label": f"L {arm['name']}"} for arm in ARMS[:4]]
        study = study_of(arms=arms, tasks=(CHOICE,), contrasts=[CONTRAST])
        yield find_runs(write_run(tmp_path_factory.mktemp("run"), study))[0]


def on(run: Run, model: str, label: str, *, shift: float = 0.0, seeds: int = 3) -> Run:
    """The run as another base model would have given it: insecure differs by `shift` more."""
    scores = run.scores[run.scores["seed"] < seeds].copy()
    scores.loc[scores["arm"] == "insecure", "value"] += shift
    study = run.study.model_copy(update={"model": model, "training_seeds": tuple(range(seeds))})
    content = replace(run.content, model={**run.content.model, "weights": model})
    return replace(run, label=label, study=study, content=content, scores=scores)


def spec_of(**more: Any) -> TableSpec:
    matched = {"organism": "matched_control", "defence": "same", "setting": "same"}
    return TableSpec.model_validate({
        "table": "t", "title": "T", "show": "models", "rows": [{"organism": "harmful"}], "columns": [MARGIN],
        "reference": matched, "claim": "recipe", **more,
    })  # fmt: skip


def test_each_model_counts_once_and_the_mean_is_that_of_its_lines(run: Run) -> None:
    runs = [on(run, "a", "a1", seeds=2), on(run, "a", "a2"), on(run, "b", "b1", shift=0.2)]
    frame = models_frame(spec_of(), runs)
    assert frame["contrast"].unique().tolist() == ["insecure_code - secure_code"], "guard has no control arm"
    lines = frame.set_index(frame["study"].fillna(POOLED))
    assert lines["pooled"].tolist() == [False, True, True, False] and lines.loc["a1", "se"] is None
    assert lines.loc["b1", "value"] == pytest.approx(lines.loc["a2", "value"] + 0.2)
    mean = random_effects(lines.loc[["a2", "b1"], "value"], lines.loc[["a2", "b1"], "se"])
    assert tuple(lines.loc[POOLED, ["value", "low", "tau"]]) == pytest.approx((mean.mean, mean.low, mean.tau))
    assert mean.low < min(lines["value"]) and mean.high > max(lines["value"]), "two models: very wide"
    page = markdown_table(models_table(spec_of(), frame))
    assert page.count("random effects") == 1 and "12.7 standard errors" in page and "a †" in page
    assert "2 training seeds allow no claim about the recipe; at least 3 are needed (a1)" in page


def test_runs_of_one_base_model_and_other_metrics_are_not_compared(run: Run) -> None:
    alone = [on(run, "a", "a1"), on(run, "a", "a2")]
    assert models_frame(spec_of(), alone).empty and "no two runs" in why_empty(spec_of(), alone)
    other = on(run, "b", "b1")
    other = replace(other, scores=other.scores[other.scores["arm"] != "secure"])
    assert models_frame(spec_of(), [*alone[:1], other]).empty, "nothing to compare the one difference with"


def test_its_files_and_its_specification(run: Run) -> None:
    shipped = load_spec(specs_dir() / "transfer.yaml").model_copy(update={"paper": "p"})  # without figures
    runs = [on(run, name, name) for name in ("a", "b", "c")]
    files = paper_files(runs, [shipped], png=False, paper="p")
    text = files["transfer.md"].decode()
    assert {"transfer.csv", "transfer.tex"} <= set(files) and "3 models leave 2 degrees" in text
    assert "\n## " not in text and text.count("| c |") == 1
    with pytest.raises(ValidationError, match="`show: models` needs `reference`"):
        TableSpec.model_validate({"table": "t", "title": "T", "show": "models"})
