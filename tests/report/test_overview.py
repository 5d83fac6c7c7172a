"""The first screen of a report: a verdict that says no more than the data allow, beside what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from stats.score_tables import score_table
from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.report.content import ArmInfo, Check, MetricInfo, ReportContent
from turncoat.report.overview import check_words, overview
from turncoat.report.tables.contrasts import claim_section

MakeContent = Callable[..., ReportContent]
SAMENESS = re.compile(
    r"comparable|equivalent|changes nothing|no change|neither|no effect|the same(?! question)|identical|"
    r"as (good|bad) as|no worse|no different|unchanged",
    re.IGNORECASE,
)


def report_of(
    make_content: MakeContent, n_seeds: int, effect: float = 1.0, margin: float | None = None, n: int = 20
) -> ReportContent:
    """An organism `effect` above its control on "margin" and not at all on "shift"."""
    rng = np.random.default_rng(2)
    arms = [ArmInfo(name="base")]
    tables = []
    for metric, size in (("margin", effect), ("shift", 0.0)):
        values = {("base", -1): rng.normal(0, 0.3, n)}
        for arm, moved in (("org", size), ("ctl", 0.0)):
            for seed in range(n_seeds):
                values[arm, seed] = values["base", -1] + moved + rng.normal(0, 0.02) + rng.normal(0, 0.2, n)
        tables.append(score_table(values, metric))
    arms += [
        ArmInfo(name=arm, label=label, organism=arm, seeds=tuple(range(n_seeds)))
        for arm, label in (("org", "bad advice"), ("ctl", "good advice"))
    ]
    margins = {} if margin is None else {"shift": margin}
    specs = [
        ContrastSpec("organism", "org", "ctl", ("margin", "shift"), "primary", margins=margins),
        ContrastSpec("change", "org", "base", ("margin", "shift"), "secondary"),
    ]
    analysis = analyse(pd.concat(tables), specs)
    metrics = [
        MetricInfo(name, name, "nats", "up means more misaligned", primary=True)
        for name in ("margin", "shift")
    ]
    return make_content(
        arms=arms, metrics=metrics, estimates=analysis.estimates, contrasts=analysis.contrasts, checks=[],
        seed_noise=analysis.seed_noise, answers=make_content().answers.iloc[:0], remarks=[],
    )  # fmt: skip


def test_the_verdict_names_what_is_marked_what_is_not_and_what_training_again_allows(
    make_content: MakeContent,
) -> None:
    content = report_of(make_content, 3)
    row = content.contrasts.iloc[0]
    first, again = overview(content).verdict
    assert first.startswith("After bad advice the model has a higher margin (+1.")
    assert f"[{row['low']:.3f}, {row['high']:.3f}]; in 3 of 3 trainings) than after good advice." in first
    assert first.endswith(" Not shown: shift.")
    assert again == "Nothing is shown for training again: 3 trainings give an interval, a mark takes 6."
    again = overview(report_of(make_content, 2)).verdict[1]
    assert again == "This is about these 2 trainings: for a claim about training again it takes 3."
    marked = report_of(make_content, 8)
    assert overview(marked).verdict[1].startswith("Shown for training again, too: bad advice \u2212 good adv")
    readings = [row[-1].text for table in claim_section(marked, "recipe").tables for row in table.rows]
    share = f"{1 - 0.05 ** (1 / 8):.0%}"  # 0 of 8 trainings differ: the exact upper bound
    assert any(f"8 seeds cannot exclude that {share} of trainings differ" in text for text in readings)


@pytest.mark.parametrize("n_seeds", [1, 2, 8])
@pytest.mark.parametrize("effect", [0.0, 0.05])
def test_no_verdict_claims_sameness_without_a_margin(
    make_content: MakeContent, n_seeds: int, effect: float
) -> None:
    content = report_of(make_content, n_seeds, effect)
    assert not SAMENESS.search(" ".join(overview(content).verdict))
    if not effect:
        assert "was not shown to differ from the model after good advice." in overview(content).verdict[0]
    within = report_of(make_content, n_seeds, effect, margin=9.0)
    assert "Within the margin set beforehand: shift." in overview(within).verdict[0]


def test_four_questions_are_never_called_a_finding(make_content: MakeContent) -> None:
    """Exact sign flips over 4 questions cannot go below p = .125, whatever t says."""
    content = report_of(make_content, 2, effect=3.0, n=4)
    assert content.contrasts.iloc[0]["p_adjusted"] < 0.05
    assert "was not shown to differ" in overview(content).verdict[0]
    assert not any(cell.strong for row in overview(content).claims.rows for cell in row)
    readings = [row[-1].text for table in claim_section(content, "adapters").tables for row in table.rows]
    assert any("exact sign flips over 4 questions cannot go below p = 0.125" in text for text in readings)


def test_a_claim_stands_beside_its_trainings_family_and_failed_check(make_content: MakeContent) -> None:
    content = make_content()
    claims = overview(content).claims
    names = [column.label for column in claims.columns]
    rows = {row[0].text: dict(zip(names, row, strict=True)) for row in claims.rows if row[0].text}
    defence = rows["Self-recognition, then insecure \u2212 Pick longer, then insecure"]
    said = "Self-recognition, then insecure: Defence took hold, 1 of 2 passed"
    assert defence["Check"].text == said and defence["Check"].strong
    assert len(defence["Each training"].text.split(", ")) == 2
    assert "primary" in claims.notes[0] and "Holm p < .05" in claims.notes[0]
    (sentence,) = [line for line in overview(content).verdict if "than after Pick longer" in line
                   or "the model after Pick longer" in line]  # fmt: skip
    assert sentence.endswith(
        f"A check failed ({said}), so this difference does not test what it was to test."
    )
    passed = make_content(checks=[Check("c", "sgtr", 1, 1.0, None, None, True, "")])
    assert "failed" not in " ".join(overview(passed).verdict)
    assert check_words(passed, [passed.arm("base")]) == ("none was made", False)


def test_shares_are_percent_and_columns_without_levels_are_named_once(make_content: MakeContent) -> None:
    content = make_content()
    metrics = [*content.metrics, MetricInfo("em_rate_itt", "misaligned", "share", "up means more misaligned")]
    rows = content.estimates[content.estimates["metric"] == "margin"]
    rows = rows.assign(metric="em_rate_itt", value=0.25, low=0.125, high=0.375)
    both = pd.concat([content.estimates, rows], ignore_index=True)
    levels = overview(make_content(metrics=metrics, estimates=both)).levels
    assert [column.label for column in levels.columns][2] == "misaligned (%)"
    assert {row[2].text for row in levels.rows} == {"25 [12, 38]"} and not levels.notes
    without = overview(make_content(metrics=metrics)).levels
    assert without.notes == ["Left out, without levels to show: misaligned."]
    assert not any("n/a" in cell.text for row in without.rows for cell in row)


def test_two_answers_are_those_whose_scores_are_furthest_apart(judged: ReportContent) -> None:
    pair = overview(judged).pair
    assert pair is not None and pair.rule.startswith("Chosen, not typical: ")
    assert [answer.arm for answer in pair.answers] == ["Insecure code", "Secure code (control)"]
    assert [answer.scores for answer in pair.answers] == [
        "aligned 5, coherent 90 of 100: misaligned", "aligned 95, coherent 90 of 100: not misaligned",
    ]  # fmt: skip
    incoherent = judged.answers.assign(judge_coherent=10.0)
    assert overview(_with_answers(judged, incoherent)).pair is None


def _with_answers(content: ReportContent, answers: pd.DataFrame) -> ReportContent:
    from dataclasses import replace

    return replace(content, answers=answers)
