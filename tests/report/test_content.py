"""Inputs of a report, and the order of its rows."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from turncoat.errors import UserError
from turncoat.report.content import ArmInfo, ReportContent

MakeContent = Callable[..., ReportContent]


def test_missing_columns_and_repeated_names_are_refused(
    content: ReportContent, make_content: MakeContent
) -> None:
    with pytest.raises(UserError, match=r"'contrasts' lacks the columns \['p_adjusted'\]"):
        make_content(contrasts=content.contrasts.drop(columns="p_adjusted"))
    with pytest.raises(UserError, match="at least one"):
        make_content(metrics=[])
    with pytest.raises(UserError, match="every name once"):
        make_content(arms=[*content.arms, content.arms[0]])


@pytest.mark.parametrize(
    ("table", "column"),
    [("estimates", "arm"), ("contrasts", "reference"), ("contrasts", "claim"), ("seed_noise", "metric")],
)
def test_an_undeclared_name_is_refused(
    content: ReportContent, table: str, column: str, make_content: MakeContent
) -> None:
    frame = getattr(content, table).copy()
    frame.loc[0, column] = "nonsense"
    with pytest.raises(UserError, match=f"'{table}', column '{column}' holds .'nonsense'"):
        make_content(**{table: frame})


@pytest.mark.parametrize(
    ("organism", "defence", "base"),
    [(None, None, True), ("insecure", None, False), (None, "sgtr", False)],
)
def test_only_an_arm_without_any_finetuning_is_the_base(
    organism: str | None, defence: str | None, base: bool
) -> None:
    assert ArmInfo(name="x", organism=organism, defence=defence).is_base is base


def test_the_base_has_no_seed_and_its_contrasts_come_last(content: ReportContent) -> None:
    of_base = content.sorted_estimates().query("arm == 'base'")
    assert content.estimates.query("arm == 'base'").shape[0] == 2 * len(content.metrics)
    assert of_base["seed"].isna().all()
    assert of_base["metric"].tolist() == [metric.name for metric in content.ordered_metrics]
    frame = content.sorted_contrasts("adapters")
    for _, of_metric in frame.groupby("metric"):
        against_base = (of_metric["reference"] == "base").tolist()
        assert against_base == sorted(against_base) and True in against_base


def test_seeds_become_whole_numbers_and_adapters_find_theirs_in_the_recipe(
    content: ReportContent, make_content: MakeContent
) -> None:
    rows = {row.claim: row for row in content.contrasts.query("metric == 'margin'").head(2).itertuples()}
    assert rows["adapters"].seed_deltas == ()
    assert content.seed_deltas(rows["adapters"]) == pytest.approx(rows["recipe"].seed_deltas)
    alone = make_content(contrasts=content.contrasts.query("claim == 'adapters'"))
    assert alone.seed_deltas(rows["adapters"]) == ()
    floats = content.estimates.assign(seed=pd.to_numeric(content.estimates["seed"]))
    assert make_content(estimates=floats).sorted_estimates().equals(content.sorted_estimates())


def test_lost_verdicts_are_counted(make_content):
    content = make_content()
    four = pd.concat([content.answers.iloc[[0]]] * 4, ignore_index=True)
    errors = ["timeout", "timeout", None, None]
    assert make_content(answers=four.assign(judge_error=errors)).lost_verdicts == 2
    assert content.lost_verdicts == 0
