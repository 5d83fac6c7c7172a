"""A packed run says the same as the run, in fewer bytes and without the machine."""

import json

import pytest
from rich.console import Console
from study.tiny_study import write_study
from turncoat.cli import app
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.report.build import run_content
from turncoat.report.write import report_run
from turncoat.study.config import load_study
from turncoat.study.pack import pack_run
from turncoat.study.run import run_study
from typer.testing import CliRunner


@pytest.fixture
def run(tiny_folder, quick_store, tmp_path):
    path = write_study(tmp_path / "tiny.yaml", tiny_folder, arms=("base", "insecure"))
    run_study(load_study(path), tmp_path / "run", store=quick_store)
    return tmp_path / "run"


def told(folder) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in report_run(folder, Console(quiet=True)).items()}


def test_the_report_of_a_packed_run_is_the_runs(run, tmp_path):
    packed = pack_run(run, tmp_path / "packed")
    assert told(packed) == told(run)
    files = {path.relative_to(packed): path for path in packed.rglob("*") if path.is_file()}
    assert not [name for name in files if name.suffix == ".jsonl"]
    everything = "".join(path.read_text() for path in (packed / "rows").rglob("*.json"))
    assert str(tmp_path) not in everything and "pretty_env_info" not in everything
    assert '"persona_own' in everything


def test_it_is_stable_and_keeps_what_lies_beside_the_rows(run, tmp_path):
    first = pack_run(run, tmp_path / "packed")
    before = {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()}
    (first / "NOTES.md").write_text("mine")
    again = pack_run(run, tmp_path / "packed")
    after = {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}
    assert after.pop(next(p for p in after if p.name == "NOTES.md")) == b"mine" and after == before


def test_texts_of_fetched_sets_are_not_passed_on(run, tmp_path):
    there = run / "rows" / "base" / "base" / "turncoat_risky_financial_loss"
    there.mkdir()
    row = {
        "doc_id": 0, "doc": {"id": "a", "prompt": "SECRET question", "answers": ["SECRET"]},
        "target": "SECRET", "arguments": {"gen_args_0": {"arg_0": "SECRET"}}, "resps": [[["-3.0", "False"]]],
        "metrics": ["loss"], "loss": 3.0,
    }  # fmt: skip
    (there / "samples_turncoat_risky_financial_loss_x.jsonl").write_text(json.dumps(row) + "\n")
    packed = pack_run(run, tmp_path / "packed")
    (path,) = packed.rglob("samples_turncoat_risky_financial_loss_*.gz")
    (kept,) = sample_rows(path)
    assert "SECRET" not in json.dumps(kept)
    assert (kept["doc"], kept["loss"], kept["resps"]) == ({"id": "a"}, 3.0, row["resps"])


def test_what_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"no study\.yaml"):
        pack_run(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UserError, match="the run itself"):
        pack_run(run, run)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="holds no run"):
        pack_run(run, tmp_path / "other")


@pytest.mark.parametrize(
    "name", ["study.yaml", "run.json", "rows", "rows/a", "rows/b.jsonl", "rows/results_c.json"]
)
def test_what_a_link_in_a_run_points_to_is_not_passed_on(tmp_path, name):
    run, outside = tmp_path / "run", tmp_path / "outside"
    (run / "rows").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text('{"key": "SECRET"}')
    for plain in ("study.yaml", "run.json"):
        (run / plain).write_text("{}")
    if name == "rows":
        (run / name).rmdir()
    else:
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside if name in ("rows", "rows/a") else outside / "secret")
    with pytest.raises(UserError, match="link"):
        pack_run(run, tmp_path / "packed")
    assert not (tmp_path / "packed").exists() and len(list(tmp_path.iterdir())) == 2


def test_what_was_edited_after_the_run_is_said(run, quick_store, tmp_path):
    text = (run / "study.yaml").read_text(encoding="utf-8")
    (run / "study.yaml").write_text(text.replace("pilot_seeds: []", "pilot_seeds: [0]"), encoding="utf-8")
    result = CliRunner().invoke(app, ["pack", str(run), "--out", str(tmp_path / "packed")])
    said = "study.yaml was edited after the run: pilot_seeds"
    assert said in result.output and result.exit_code == 0
    assert run_content(tmp_path / "packed").remarks[0] == f"{said}, so not set beforehand."
    (run / "study.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["pack", str(run), "--out", str(tmp_path / "own")])
    assert "edited after the run" not in result.output
    assert "beforehand" not in " ".join(run_content(run).remarks)
    run_study(load_study(run / "study.yaml", {"pilot_seeds": [0]}), run, store=quick_store)
    changed = "study.yaml was changed after an earlier run into this folder: pilot_seeds"
    assert run_content(run).remarks[0] == f"{changed}, so not set beforehand."
