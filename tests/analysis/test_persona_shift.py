"""Shift per layer from samples files made by hand: known differences, pairing, seeds, and what cannot be
compared."""

import json
from pathlib import Path

import numpy as np
import pytest
from turncoat.analysis.persona_shift import shift_by_layer
from turncoat.errors import UserError

LAYERS, QUESTIONS = 5, 12


def write(
    run: Path, arm: str, seed: str, shift: list[float], *, layer: int = 3, noise: int = 0, gap: bool = False
):
    """Rows of one arm: question effects shared by all arms, noise of its own, and a shift per layer."""
    folder = run / "rows" / arm / seed / "turncoat_persona"
    folder.mkdir(parents=True)
    questions = np.random.default_rng(0).normal(0, 3, (QUESTIONS, LAYERS))
    own = np.random.default_rng(noise).normal(0, 0.05, (2, QUESTIONS, LAYERS))
    rows = []
    for q in range(QUESTIONS):
        fixed = [list(np.round(questions[q] + shift + own[k, q], 4)) for k in range(2)]
        samples = [
            {"index": k, "layer": layer, "persona_fixed_by_layer": fixed[k], "persona_own_by_layer": fixed[k]}
            for k in range(2)
        ]
        if gap and q == 0:
            samples[0]["persona_own_by_layer"] = None
            samples[1]["persona_own_by_layer"] = None
        rows.append({"doc_id": q, "doc": {"id": f"q{q}"}, "metrics": ["persona_own"], "samples": samples})
    path = folder / "samples_turncoat_persona_2026.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path, "base", "base", [0] * LAYERS, noise=1)
    write(tmp_path, "control", "seed-0", [0.1] * LAYERS, noise=2)
    write(tmp_path, "control", "seed-1", [0.1] * LAYERS, noise=3)
    write(tmp_path, "organism", "seed-0", [0.1, 0.1, 0.3, 0.6, 0.4], noise=4)
    write(tmp_path, "organism", "seed-1", [0.1, 0.1, 0.3, 0.6, 0.4], noise=5, gap=True)
    return tmp_path


def test_the_shift_by_layer_against_control_and_base(run):
    table = shift_by_layer(run, "organism", "control")
    assert list(table["reading"].unique()) == ["fixed", "own"]
    for reading in ("fixed", "own"):
        part = table[table["reading"] == reading]
        assert list(part["layer"]) == [0, 1, 2, 3, 4]
        assert part["difference"].to_numpy() == pytest.approx([0, 0, 0.2, 0.5, 0.3], abs=0.05)
        assert (part["high"] - part["low"]).max() < 0.15, "questions differ by 3 SD: paired, that cancels"
        assert list(part["chosen"]) == [False, False, False, True, False]
        assert list(part["depth"]) == [0, 0.25, 0.5, 0.75, 1] and (part["n_seeds"] == 2).all()
    chosen = table[table["chosen"]]
    assert (chosen["low"] > 0.4).all() and (chosen["p_value"] < 1e-6).all()
    still = table[(table["layer"] == 0) & (table["reading"] == "fixed")].iloc[0]
    assert still["low"] < 0 < still["high"]
    table = shift_by_layer(run, "control", "base")
    assert table["difference"].to_numpy() == pytest.approx([0.1] * 10, abs=0.05)
    assert (table["n_questions"] == QUESTIONS).all()


def test_what_is_not_there_is_named(run):
    with pytest.raises(
        UserError, match=r"arm 'organsm' has no rows of task 'turncoat_persona'; arms there: base, cont"
    ):
        shift_by_layer(run, "organsm", "control")
    with pytest.raises(
        UserError, match=r"'turncoat_em'; tasks of this arm: turncoat_persona; name one of them"
    ):
        shift_by_layer(run, "organism", "control", task="turncoat_em")
    with pytest.raises(UserError, match="arms there: none"):
        shift_by_layer(run / "rows", "organism", "control")


def test_rows_that_cannot_be_compared_are_refused(run):
    path = next((run / "rows" / "organism" / "seed-0").rglob("samples_*.jsonl"))
    path.write_text(json.dumps({"doc_id": 0, "doc": {"id": "q"}, "metrics": [], "samples": [{"text": "a"}]}))
    with pytest.raises(UserError, match=r"no answer carries persona_own_by_layer or persona_fixed_by_layer"):
        shift_by_layer(run, "organism", "control")
    write(run, "other", "seed-0", [0] * LAYERS, layer=2)
    with pytest.raises(UserError, match=r"report different layers \(\[2, 3\]\)"):
        shift_by_layer(run, "other", "control")
