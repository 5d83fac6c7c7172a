"""The four axes: levels, gains, shares kept, partners and what is said where something is missing."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.made_run import ARMS, CHOICE, EM, FALL, LOSS, MARGIN, made_defences, study_of, write_run
from turncoat.analysis import four_axes as axes
from turncoat.analysis.analyse import analyse
from turncoat.evaluation.task_facts import BENIGN, BROAD, COHERENCE, NARROW
from turncoat.report.build import run_content
from turncoat.report.content import ReportContent
from turncoat.report.render import html
from turncoat.report.render.markdown import render_markdown
from turncoat.report.write import csv_bytes
from turncoat.stats.scores import SCORE_COLUMNS
from turncoat.study.config import Study

LEARNT = {LOSS: {"insecure_code": "insecure_loss_per_token", "secure_code": "secure_loss_per_token"}}


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, made_defences():
        patch.setattr(axes, "learnt_by", lambda task: LEARNT.get(task, {}))
        patch.setattr(html, "figure_png", lambda *_: b"")
        yield


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, known: None) -> ReportContent:
    return content_of(tmp_path_factory.mktemp("run"))


def content_of(folder: Path, **changes: Any) -> ReportContent:
    return run_content(write_run(folder, study_of(**changes)))


def row(content: ReportContent, arm: str, axis: str) -> dict[str, Any]:
    frame = content.axes
    return frame[(frame["arm"] == arm) & (frame["axis"] == axis)].iloc[0].to_dict()


def four_axes_section(markdown: str) -> str:
    return markdown.partition("## The four axes\n")[2].partition("\n## ")[0]


def without(*names: str) -> list[dict[str, Any]]:
    return [arm for arm in ARMS if arm["name"] not in names]


def test_a_row_for_every_arm_and_axis(content):
    frame = content.axes
    assert set(zip(frame["arm"], frame["axis"], strict=True)) == {
        (a["name"], x) for a in ARMS for x in axes.AXES
    }
    assert not frame[["arm", "axis", "metric"]].duplicated().any()


def test_levels_and_their_change_by_the_defence(content):
    guard = row(content, "guard", BROAD)
    assert guard["metric"] == "margin_per_token" and guard["better"] == "higher is better"
    assert guard["reference"] == "insecure"
    assert guard["difference"] == pytest.approx(MARGIN["guard"] - MARGIN["insecure"], abs=0.05)
    assert guard["difference_low"] < guard["difference"] < guard["difference_high"]
    level = content.estimates.query("arm == 'guard' and metric == 'margin_per_token' and seed.isna()").iloc[0]
    assert (guard["value"], guard["low"], guard["high"]) == tuple(level[["value", "low", "high"]])
    assert pd.isna(row(content, "insecure", BROAD)["reference"]), "an undefended arm is nobody's defence"


def test_what_was_learnt_and_what_is_kept(content):
    for arm, reference in (("insecure", ""), ("guard", "insecure"), ("steered_insecure", "insecure")):
        found = row(content, arm, NARROW)
        assert found["value"] == pytest.approx(FALL[arm], abs=0.05)
        assert found["low"] < found["value"] < found["high"]
        assert (found["reference"] if reference else "") == reference
    guard = row(content, "guard", NARROW)
    assert guard["kept"] == pytest.approx(0.5, abs=0.05)
    assert guard["kept_low"] < guard["kept"] < guard["kept_high"]
    assert guard["difference"] == pytest.approx(guard["value"] - row(content, "insecure", NARROW)["value"])
    assert row(content, "secure", NARROW)["status"] == "control"
    assert (
        row(content, "base", NARROW)["status"] == row(content, "steered", NARROW)["status"] == "no organism"
    )
    guard = row(content, "guard", BENIGN)
    assert (guard["measured_on"], guard["reference"], guard["metric"]) == (
        "guard_secure", "secure", "secure_loss_per_token",
    )  # fmt: skip
    assert guard["kept"] == pytest.approx(FALL["guard_secure"] / FALL["secure"], abs=0.06)
    assert row(content, "guard_secure", BENIGN)["kept"] == guard["kept"]
    assert row(content, "insecure", BENIGN)["measured_on"] == "secure"


def test_without_a_partner_it_says_how_to_get_one(tmp_path):
    content = content_of(tmp_path, arms=without("guard_secure"))
    found = row(content, "guard", BENIGN)
    assert found["status"] == "not measured" and pd.isna(found["value"])
    assert found["note"] == "add an arm with organism secure_code and the same defence, setting and options"
    assert "the arm with organism secure_code and no defence" in row(
        content_of(tmp_path / "b", arms=without("guard_secure", "secure")), "guard", BENIGN
    )["note"]  # fmt: skip
    assert f"`task: {LOSS}`" in row(content_of(tmp_path / "c", tasks=(CHOICE,)), "guard", NARROW)["note"]


def test_a_partner_has_the_same_options(tmp_path):
    arms = [{**a, "defence_options": {"weight": 9.0}} if a["name"] == "guard_secure" else a for a in ARMS]
    assert row(content_of(tmp_path, arms=arms), "guard", BENIGN)["status"] == "not measured"
    arms = [{**a, "defence_options": {"weight": 0.1}} if a["name"] == "guard_secure" else a for a in ARMS]
    told = row(content_of(tmp_path / "b", arms=arms), "guard", BENIGN)
    assert told["measured_on"] == "guard_secure", "the default, spelt out, is the same option"


def test_a_share_of_nothing_is_undefined_in_words(tmp_path, monkeypatch):
    monkeypatch.setitem(FALL, "insecure", 0.0)
    content = content_of(tmp_path)
    guard = row(content, "guard", NARROW)
    assert pd.isna(guard["kept"]) and "own gain is not above 0" in guard["note"]
    section = four_axes_section(render_markdown(content))
    assert "| undefined |" in section
    assert "Undefined, narrow behaviour: the undefended arm's own gain is not above 0" in section


def test_without_base_or_undefended_arm_it_says_so(tmp_path):
    content = content_of(tmp_path, arms=without("base", "insecure", "steered"))
    assert "add `- {name: base}`" in row(content, "guard", NARROW)["note"]
    broad = row(content, "guard", BROAD)
    assert pd.isna(broad["difference"])
    assert broad["note"] == "its change needs the arm with organism insecure_code and no defence"


def test_pre_registered_metrics_are_the_broad_ones(tmp_path):
    primary = {"name": "p", "treated": "guard", "reference": "insecure", "role": "primary"}
    told = ["secure_loss_per_token", "margin_per_token"]
    frame = content_of(tmp_path, contrasts=[{**primary, "metrics": told}]).axes
    assert set(frame[frame["axis"] == BROAD]["metric"]) == {"margin_per_token"}, "a loss is a narrow matter"


def scores_of(metrics: dict[str, float]) -> pd.DataFrame:
    rows = [
        (arm, seed, EM, metric, f"q{q}", level + 0.01 * q, 1)
        for arm, seed in (("base", -1), ("insecure", 0))
        for metric, level in metrics.items()
        for q in range(4)
    ]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


@pytest.mark.parametrize("may_rate", [True, False])
def test_rates_and_incoherence_need_a_judge_that_may_rate(may_rate):
    study = Study.model_validate(study_of(arms=without("guard", "guard_secure", "steered"), tasks=(EM,)))
    scores = scores_of(
        {"em_rate_itt": 0.1, "judge_coherent_mean": 60.0, "incoherent": 0.2, "repetition": 0.1}
    )
    frame = axes.four_axes(study, scores, analyse(scores, []).estimates, may_rate=may_rate)
    shown = frame[frame["arm"] == "insecure"].groupby("axis")["metric"].apply(list)
    assert shown[COHERENCE] == (
        ["judge_coherent_mean", "incoherent"] if may_rate else ["judge_coherent_mean"]
    )
    assert [name for name in shown[BROAD] if not pd.isna(name)] == (["em_rate_itt"] if may_rate else [])


def test_nobody_judged_leaves_the_surface():
    study = Study.model_validate(study_of(arms=ARMS[:2], tasks=(EM,)))
    scores = scores_of({"repetition": 0.1})
    found = axes.four_axes(study, scores, analyse(scores, []).estimates, may_rate=False)
    coherent = found[found["axis"] == COHERENCE]
    assert set(coherent["metric"]) == {"repetition"}
    assert coherent["label"].str.contains("surface only").all()


def test_a_study_of_the_base_alone_has_no_axes(tmp_path):
    content = content_of(tmp_path, arms=ARMS[:1], tasks=(CHOICE,))
    assert content.axes.empty and four_axes_section(render_markdown(content)) == ""
    assert "The four axes" not in html.render_html(content, b"none")


def test_every_rendering_shows_the_same_numbers(content):
    guard = row(content, "guard", NARROW)
    share = f"{100 * guard['kept']:.0f}% [{100 * guard['kept_low']:.0f}%, {100 * guard['kept_high']:.0f}%]"
    for text in (render_markdown(content), html.render_html(content, b"none")):
        assert share in text and "higher is better" in " ".join(text.split())
    written = pd.read_csv(io.BytesIO(csv_bytes(content.axes))).set_index(["arm", "axis"])
    assert written.loc[("guard", NARROW), "kept"] == pytest.approx(guard["kept"], rel=1e-9)


def test_the_axes_agree_with_a_contrast_of_the_study(tmp_path):
    told = {"name": "g", "treated": "guard", "reference": "insecure", "metrics": ["margin_per_token"]}
    content = content_of(tmp_path, contrasts=[told])
    contrast = content.contrasts.query("claim == 'adapters'").iloc[0]
    found = row(content, "guard", BROAD)
    ends = [found[key] for key in ("difference", "difference_low", "difference_high")]
    assert ends == pytest.approx([contrast[key] for key in ("difference", "low", "high")])
