"""Evidence comes from the named arms and seeds, from published levels, or from what was kept for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats
from turncoat.analysis.claims.evidence import Rows, from_kept, kept
from turncoat.analysis.claims.spec import Part
from turncoat.commands.claims import load_claims, written_files
from turncoat.errors import UserError

TEST = {
    "name": "p", "treated": "one: a", "reference": "two: b", "task": "t", "metric": "m", "expect": "higher",
    "margin": 0.1, "why": "w",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for study, arm, level in (("one", "a", 0.5), ("two", "b", 0.0)):
        folder = tmp_path / "runs" / study
        for seed in range(6):
            values = [level + q / 10 + 2 * level * seed * (q + 1) / 100 + 9 * (seed == 5) for q in range(8)]
            rows = [
                {"doc": {"id": str(q)}, "doc_id": q, "metrics": ["m"], "m": m} for q, m in enumerate(values)
            ]
            there = folder / "rows" / arm / f"seed-{seed}" / "t"
            there.mkdir(parents=True)
            (there / "samples_t_x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "study.yaml").write_text(f"study: {study}\npilot_seeds: [5]\n")
    return tmp_path / "runs"


def test_rows_of_two_studies_without_their_pilot_seeds(place):
    part = Part.model_validate(TEST | {"margin": 0.1})
    evidence = Rows([place], 0.05).of(part)
    assert (evidence.n_questions, evidence.n_seeds) == (8, "5") and evidence.difference == pytest.approx(0.59)
    assert Rows([place / "one"], 0.05).of(part) is None  # the other study is not there
    assert Rows([place], 0.05).of(Part(name="gone", missing="rows")) is None
    with pytest.raises(UserError, match="no rows of t for arm 'c'; accepted: a"):
        Rows([place], 0.05).of(Part.model_validate(TEST | {"treated": "one: c"}))
    with pytest.raises(UserError, match="no metric 'n'; accepted: m"):
        Rows([place], 0.05).of(Part.model_validate(TEST | {"metric": "n"}))


def test_published_levels_are_compared_by_welchs_test_over_seeds():
    one, other = (0.59, 0.70, 0.56, 0.35, 0.76), (0.84, 0.79, 0.30, 0.48)
    given = {"published": ({"seeds": one}, {"seeds": other}), "source": "s", "treated": "x", "reference": "y"}
    evidence = Rows([], 0.05).of(Part.model_validate(TEST | given))
    welch = stats.ttest_ind(one, other, equal_var=False)
    low, high = welch.confidence_interval(0.90)
    assert evidence.difference == pytest.approx(sum(one) / 5 - sum(other) / 4)
    assert evidence.interval(0.05) == pytest.approx((low, high)) and evidence.p_mark >= welch.pvalue
    base = {"published": ({"mean": 67, "sd": 12, "n": 3}, {"mean": 1}), "source": "s"}
    evidence = Rows([], 0.05).of(Part.model_validate(TEST | base))
    assert evidence.errors[0][:2] == pytest.approx((12 / 3**0.5, 2)) and evidence.n_seeds == "3 and base"


def test_evidence_is_kept_for_its_own_test_only(place, tmp_path):
    file = tmp_path / "claims" / "mine.yaml"
    file.parent.mkdir()
    content = {"claims": "mine", "title": "T", "registered": "now"}
    claim = {"id": "c", "sentence": "s", "origin": "o"}
    file.write_text(json.dumps(content | {"items": [claim | {"parts": [TEST]}]}))
    loaded, results, evidence = load_claims(file, [place])
    assert results[0].verdict == "supported"
    for name, data in written_files(file, loaded, results, evidence).items():
        (file.parent / name).write_bytes(data)
    assert load_claims(file, [])[1][0].verdict == "supported"
    part = loaded.items[0].parts[0]
    assert from_kept(part, kept(part, evidence["c", "p"])).n_questions == 8
    file.write_text(json.dumps(content | {"items": [claim | {"parts": [TEST | {"metric": "other"}]}]}))
    result = load_claims(file, [])[1][0]
    assert result.verdict == "cannot tell" and "its rows are not here" in result.parts[0].remark
