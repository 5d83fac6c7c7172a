"""Persona differences in the base's SD on the reported questions, and the vector's own error in recipes."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_runs import write
from scipy import stats
from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.analysis.persona_rows import read_persona_rows
from turncoat.analysis.persona_units import persona_units
from turncoat.analysis.run_scores import read_rows
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import metric_facts
from turncoat.evaluation.task_facts import readings
from turncoat.report.build import run_content
from turncoat.report.render.html import render_html
from turncoat.report.render.markdown import render_markdown
from turncoat.stats.contrasts import paired_contrast
from turncoat.study.config import load_study

RUN = Path(__file__).parents[2] / "results" / "seeds"
SPECS = [ContrastSpec("c", "insecure", "secure", ("persona_fixed",), "primary")]
K = 20


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and persona evidence of the committed run, whose rows hold no re-extractions."""
    study = load_study(RUN / "study.yaml")
    return read_rows(RUN / "rows", study)[0], read_persona_rows(RUN / "rows", study)


@pytest.fixture(scope="module")
def scales() -> np.ndarray:
    return 1 + 0.2 * np.random.default_rng(0).standard_normal(K)


@pytest.fixture(scope="module")
def remeasured(tmp_path_factory: pytest.TempPathFactory, scales: np.ndarray) -> Path:
    """The run with re-extractions whose units differ: a value under the k-th is it times the k-th scale."""
    folder = tmp_path_factory.mktemp("run") / "seeds"
    shutil.copytree(RUN, folder)
    for path in folder.glob("rows/*/*/turncoat_persona/samples_*.jsonl.gz"):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for row in rows:
            for sample in row["samples"]:
                for reading in ("own", "fixed"):
                    value = sample[f"persona_{reading}"]
                    sample[f"persona_{reading}_vectors"] = [value * float(s) for s in scales]
        write(path, rows)
    return folder


def test_the_evidence_is_averaged_as_the_metric_is(remeasured, scales):
    study = load_study(remeasured / "study.yaml")
    scores, persona = read_rows(remeasured / "rows", study)[0], read_persona_rows(remeasured / "rows", study)
    key = ["arm", "seed", "metric", "question"]
    both = scores.merge(persona, on=key)
    assert len(both) == len(persona) > 0 and set(persona["metric"]) >= {"persona_fixed", "persona_own"}
    of_persona = both[both["metric"].isin(["persona_fixed", "persona_own"])]
    for value, again in zip(of_persona["value"], of_persona["again"], strict=True):
        assert again == pytest.approx(tuple(value * scales))
    assert both["cosine"].notna().all() and both["cosine"].abs().max() < 1


def test_the_unit_is_the_bases_sd_on_the_reported_questions(tables):
    scores, persona = tables
    one = persona_units(scores, persona, SPECS, base="base").set_index("claim").loc["adapters"]
    level = scores[(scores["arm"] == "base") & (scores["metric"] == "persona_fixed")]["value"]
    n, sd = len(level), level.std()
    assert (one["n_questions"], one["base_mean"], one["base_sd"]) == (n, level.mean(), pytest.approx(sd))
    assert one["base_sd_low"] == pytest.approx(sd * ((n - 1) / stats.chi2.ppf(0.975, n - 1)) ** 0.5)
    plain = paired_contrast(scores, "insecure", "secure", "persona_fixed", "adapters")
    assert one["effect"] == pytest.approx(plain.difference / sd)
    assert one["effect_high"] - one["effect_low"] > (plain.high - plain.low) / sd, "the SD's error is in it"
    both = scores.merge(persona, on=["arm", "seed", "metric", "question"])
    both = both.assign(value=both["cosine"])
    by_cosine = paired_contrast(both, "insecure", "secure", "persona_fixed", "adapters")
    assert (one["cosine"], one["cosine_low"]) == pytest.approx((by_cosine.difference, by_cosine.low))
    assert one["n_again"] == 0
    alone = persona_units(scores, persona, SPECS, base=None).set_index("claim").loc["adapters"]
    assert np.isnan(alone["effect"]) and np.isnan(alone["base_sd"]) and alone["cosine"] == one["cosine"]


def test_recipes_hold_the_vectors_error_and_adapters_do_not(tables, remeasured, scales):
    scores, without = tables
    persona = read_persona_rows(remeasured / "rows", load_study(remeasured / "study.yaml"))
    old, new = (
        analyse(scores, SPECS, again=again).contrasts.set_index("claim") for again in (without, persona)
    )
    columns = [name for name in old if name not in ("seed_deltas", "instrument_se")]
    pd.testing.assert_series_equal(old.loc["adapters", columns], new.loc["adapters", columns])
    before, after = old.loc["recipe"], new.loc["recipe"]
    spread = (before["difference"] * scales).std(ddof=1)
    assert after["instrument_se"] == pytest.approx(spread) and np.isnan(before["instrument_se"])
    assert after["high"] >= before["high"] and after["p_value"] >= before["p_value"]
    # far larger errors show
    added = {"insecure": 10 * (scales - 1)}
    wild = [
        tuple(np.array(again) + added.get(arm, 0.0)) if again else ()
        for arm, again in zip(persona["arm"], persona["again"], strict=True)
    ]
    far = analyse(scores, SPECS, again=persona.assign(again=wild)).contrasts.set_index("claim").loc["recipe"]
    v = far["instrument_se"] ** 2
    assert far["se"] == pytest.approx((before["se"] ** 2 + v) ** 0.5, rel=0.01) and v > 1
    assert far["high"] - far["low"] > 10 * (before["high"] - before["low"])
    assert far["low"] < 0 < far["high"] and far["p_value"] > 0.5
    # a unit that is off by a factor is so in the base too: the standardised difference does not move
    units = [persona_units(scores, p, SPECS, base="base").set_index("claim") for p in (without, persona)]
    pd.testing.assert_frame_equal(units[0].drop(columns="n_again"), units[1].drop(columns="n_again"))
    assert list(units[1]["n_again"]) == [K, K]


def test_one_arm_without_reextractions_leaves_the_contrast_as_it_was(tables, remeasured):
    scores, without = tables
    persona = read_persona_rows(remeasured / "rows", load_study(remeasured / "study.yaml"))
    mixed = pd.concat([persona[persona["arm"] != "secure"], without[without["arm"] == "secure"]])
    pd.testing.assert_frame_equal(
        analyse(scores, SPECS, again=mixed).contrasts, analyse(scores, SPECS).contrasts
    )


def test_reports_say_what_is_in_the_intervals(remeasured):
    base = "The base on these 32 questions, in base SD: mean 0.87, SD 1.10 [0.88, 1.46]."
    said = "sampling error is not in these intervals: the rows hold no re-extractions"
    held = "hold the vector's sampling error, from 20 re-extractions"
    for folder, there, absent in ((RUN, said, held), (remeasured, held, said)):
        content = run_content(folder)
        for text in (render_markdown(content), render_html(content, b"").replace("&#39;", "'")):
            assert text.count(there) == 1 and absent not in text
            plain = text.replace("\\", "").replace("\N{MINUS SIGN}", "-")
            assert plain.count(base) == 4
            assert "like the adapters: its own error is in no interval" in plain


def test_a_reading_that_does_not_exist_is_named(monkeypatch):
    assert readings("turncoat_persona") == {"persona_fixed": "fixed", "persona_own": "own"}
    assert readings("turncoat_em") == {"em_persona_own": "own"} and readings("turncoat_choice") == {}
    facts = {"persona_own": {**metric_facts("turncoat_persona")["persona_own"], "reading": "owm"}}
    monkeypatch.setattr("turncoat.evaluation.task_facts.metric_facts", lambda task: facts)
    with pytest.raises(UserError, match=r"metrics\.persona_own\.reading: 'owm' is not a reading; .*own"):
        readings("turncoat_persona")
