"""Tables and figures from rows: every cell is what the rows say, and equal rows give equal bytes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report.made_run import ARMS, CHOICE, made_defences
from report.paper_rows import EM, whole_set, write_paper_run
from statsmodels.stats.multitest import multipletests
from turncoat.analysis.analyse import ContrastSpec
from turncoat.analysis.persona_card import BARRED
from turncoat.errors import UserError
from turncoat.report.figures.frames import contrast_points
from turncoat.report.figures.from_rows import figures_of
from turncoat.report.figures.style import looks
from turncoat.report.paper.cells import markdown_table, table_of
from turncoat.report.paper.files import paper_files
from turncoat.report.paper.frames import table_frame, why_empty
from turncoat.report.paper.spec import TableSpec, load_spec, load_specs, specs_dir
from turncoat.report.render.latex import document, escape, latex_table
from turncoat.report.run_rows import Run, find_runs
from turncoat.report.tables.contrasts import is_significant
from turncoat.report.tables.table import Cell, Column, Table

MARGIN = {"task": CHOICE, "metric": "margin_per_token"}
DEFENDED = {"organism": "same", "defence": "none"}


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    with made_defences():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_paper_run(tmp_path_factory.mktemp("runs") / "made", ARMS[:5])
    whole_set(run, "guard", {0: 3.0, 1: 5.0, 2: 10.0}, "code")
    return run


@pytest.fixture(scope="module")
def run(folder: Path, known: None) -> Run:
    return find_runs(folder)[0]


def spec_of(**told: Any) -> TableSpec:
    return TableSpec.model_validate({"table": "t", "title": "T", "show": "levels", **told})


def cells_of(run: Run, **told: Any) -> pd.DataFrame:
    return table_frame(spec_of(**told), [run])


def margins(folder: Path, arm: str) -> pd.DataFrame:
    """Questions by seeds, read without any of our code."""
    found = {}
    for path in (folder / "rows" / arm).glob(f"*/{CHOICE}/samples_*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found[path.parts[-3]] = {row["doc"]["id"]: row["margin_per_token"] for row in rows}
    return pd.DataFrame(found)


def test_levels_are_what_the_rows_say(run, folder):
    frame = cells_of(run, columns=[MARGIN], spread="seed_sd").set_index("arm")
    for arm in ("insecure", "guard"):
        expected = margins(folder, arm)
        assert frame.loc[arm, "value"] == pytest.approx(expected.to_numpy().mean())
        assert frame.loc[arm, "seed_sd"] == pytest.approx(expected.mean().std(ddof=1))
    assert frame.loc["base", "seed_sd"] is None and "no SD" in frame.loc["base", "note"]


def test_a_difference_is_paired_with_the_arm_that_the_reference_means(run, folder):
    none = cells_of(run, show="differences", rows=[{"defence": "any"}], columns=[MARGIN], reference=DEFENDED)
    matched = {"organism": "matched_control", "defence": "same", "setting": "same"}
    control = cells_of(
        run, show="differences", rows=[{"organism": "harmful"}], columns=[MARGIN], reference=matched
    )
    assert dict(zip(none["arm"], none["reference"], strict=True)) == {
        "guard": "insecure",
        "guard_secure": "secure",
    }
    assert dict(zip(control["arm"], control["reference"], strict=True)) == {
        "insecure": "secure",
        "guard": "guard_secure",
    }
    expected = (margins(folder, "guard") - margins(folder, "insecure")).mean(axis=1)
    cell = none.set_index("arm").loc["guard"]
    assert cell["value"] == pytest.approx(expected.mean())
    assert cell["se"] == pytest.approx(expected.std(ddof=1) / np.sqrt(len(expected)))


@pytest.mark.parametrize(("correction", "method"), [("holm", "holm"), ("benjamini_hochberg", "fdr_bh")])
def test_the_correction_runs_over_all_cells_of_the_table(run, correction, method):
    persona = {"task": "turncoat_persona", "metric": "persona_fixed"}
    frame = cells_of(
        run, show="differences", rows=[{"defence": "any"}], columns=[MARGIN, persona], reference=DEFENDED,
        correction=correction,
    )  # fmt: skip
    p_values = frame["p_value"].astype(float)
    assert len(p_values) == 4
    assert frame["p_adjusted"].astype(float).to_numpy() == pytest.approx(
        multipletests(p_values, method=method)[1]
    )
    assert frame["family"].str.contains("4 tests").all()


def test_nothing_is_significant_without_a_correction(run):
    spec = spec_of(
        show="differences", rows=[{"defence": "any"}], reference=DEFENDED, correction="none", columns=[MARGIN]
    )
    frame = table_frame(spec, [run])
    table = table_of(spec, frame, run)
    assert float(frame["p_value"].min()) < 0.001
    assert not any(cell.strong for row in table.rows for cell in row)
    assert any("nothing here may be called significant" in note for note in table.notes)


def test_contrasts_keep_their_numbers_families_and_shared_notes(run):
    for claim in ("adapters", "recipe"):
        frame = cells_of(run, show="contrasts", claim=claim)
        report = run.content.sorted_contrasts(claim)
        assert list(frame["value"]) == pytest.approx(list(report["difference"]))
        assert list(frame["p_adjusted"].astype(float)) == pytest.approx(
            list(report["p_adjusted"].astype(float))
        )
        assert list(frame["family"]) == list(report["family"]) and set(frame["claim"]) == {claim}
    spec = spec_of(show="contrasts", claim="recipe")
    frame = table_frame(spec, [run])
    few = "exact sign flips over 3 training seeds cannot go below p = 0.25"
    assert set(frame["withheld"]) == {few, BARRED}
    table = table_of(spec, frame, run)
    text = markdown_table(table)
    assert sum(few in reading for reading in frame["reading"]) > 1 and text.count(few) == 1
    assert not any(cell.strong for row in table.rows for cell in row)
    points = contrast_points(run, "recipe")  # what the figure fills
    assert not any(is_significant(run.content, row) for row in points.itertuples())
    assert (points["p_adjusted"].astype(float) < 0.05).any()


def test_a_row_wins_over_its_column_and_two_fitting_arms_are_said(run):
    rows = [{"label": "base", "organism": "none", "defence": "none"}, {"label": "EM", "defence": "none"}]
    columns = [
        {**MARGIN, "label": "a", "organism": "insecure_code"},
        {**MARGIN, "label": "b", "organism": "secure_code"},
    ]
    frame = cells_of(run, rows=rows, columns=columns)
    assert list(zip(frame["row"], frame["column"], frame["arm"], strict=True)) == [
        ("base", "a", "base"), ("base", "b", "base"), ("EM", "a", "insecure"), ("EM", "b", "secure"),
    ]  # fmt: skip
    rows = [{"label": "base", "organism": "none", "defence": "none"}, {"label": "EM"}]
    frame = cells_of(run, rows=rows, columns=[{**MARGIN, "organism": "insecure_code"}])
    cell = frame[frame["row"] == "EM"].iloc[0]
    assert cell["value"] is None and "insecure, guard" in cell["note"]


def test_a_number_of_all_answers_together_has_an_sd_over_seeds_and_no_interval(run):
    # the rows of this task have no `code`: only lm-eval's results file has it
    frame = cells_of(run, columns=[{"task": EM, "metric": "code"}], spread="seed_sd").set_index("arm")
    cell = frame.loc["guard"]
    assert (cell["value"], cell["n_seeds"]) == (6.0, 3) and cell["seed_sd"] == pytest.approx(13**0.5)
    assert cell["low"] is None and "no interval over questions" in cell["note"]
    assert frame.loc["insecure", "value"] is None


def test_what_is_not_measured_or_allows_no_test_is_said_and_never_zero(run):
    column = {"task": "turncoat_identity", "metric": "developer_accuracy"}
    spec = spec_of(columns=[MARGIN, column])
    frame = table_frame(spec, [run])
    missing = frame[frame["metric"] == "developer_accuracy"]
    assert missing["value"].isna().all()
    assert set(missing["note"]) == {"turncoat_identity is not a task of this study"}
    assert "n/a" in markdown_table(table_of(spec, frame, run))
    alone = spec_of(columns=[column])
    assert table_frame(alone, [run]).empty and "not a task of this study" in why_empty(alone, [run])
    found = run.contrasts([ContrastSpec("x", "insecure", "nobody", ("margin_per_token",), "secondary")])
    assert found["difference"].isna().all() and found["note"].str.contains("'nobody' has no rows").all()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("columns: [{task: turncoat_choice, metric: margins}]",
         "line 4, columns[0]: 'turncoat_choice' has no metric 'margins'"),
        ("colums: []", "line 4, colums: unknown key; did you mean 'columns'? accepted: "),
        ("rows: [{organism: any, defense: sgtr}]",
         "rows[0].defense: unknown key; did you mean 'defence'? accepted: "),
        ("correction: bonferroni",
         "line 4, correction: 'bonferroni' is not accepted; accepted: benjamini_hochberg, holm, none"),
        ("rows: [{defence: matched_control}]", "looks at a treated arm: only in `reference`"),
        ("reference: {defence: none}", "subtracts nothing: no `reference`"),
    ],
)  # fmt: skip
def test_a_wrong_specification_names_file_line_key_and_what_is_accepted(tmp_path, line, told):
    path = tmp_path / "wrong.yaml"
    path.write_text(f"table: wrong\ntitle: Wrong\nshow: levels\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_spec(path)
    assert "wrong.yaml, line" in str(error.value) and told in str(error.value)


def test_the_specifications_that_ship_are_right_and_called_as_their_files():
    names = [spec.table for spec in load_specs()]
    assert names == sorted(path.stem for path in specs_dir().glob("*.yaml"))
    assert {
        "levels", "contrasts_adapters", "contrasts_recipe", "four_axes", "sgtr_main", "sgtr_truthfulqa",
    } <= set(names)  # fmt: skip


@pytest.fixture(scope="module")
def files(folder: Path, known: None) -> dict[str, bytes]:
    return paper_files(find_runs(folder), load_specs())


def test_two_runs_give_identical_files_without_a_date_or_a_path_and_an_index(folder, files):
    again = paper_files(find_runs(folder.parent), load_specs())
    assert list(again) == list(files) and [name for name in files if files[name] != again[name]] == []
    kinds = {name.rpartition(".")[2] for name in files}
    assert kinds == {"md", "csv", "tex", "svg", "png"}
    for name, data in files.items():
        assert str(folder).encode() not in data, name
        if name.endswith(".svg"):
            assert b"<dc:date>" not in data, name
    index = files["index.md"].decode()
    assert set(re.findall(r"\(([^()\s]+\.(?:md|csv|tex|svg|png))\)", index)) == set(files) - {
        "index.md",
        "tables.tex",
    }
    assert "table defences_against_control" in index.partition("## Missing")[2]
    svg = files["made_four_axes.svg"].decode()
    assert "Verdana" in svg and ">Coherence</text>" in svg


def test_persona_by_layer_is_arm_minus_base_question_by_question(run, files):
    figure = {figure.name: figure for figure in figures_of(run)}["persona_layers"]
    assert figure.frame is not None
    at = figure.frame[
        (figure.frame["reading"] == "own") & (figure.frame["arm"] == "insecure") & figure.frame["chosen"]
    ]
    levels = run.levels[(run.levels["metric"] == "persona_own") & run.levels["seed"].isna()].set_index("arm")[
        "value"
    ]
    assert at["difference"].item() == pytest.approx(levels["insecure"] - levels["base"])


def test_latex_rows_have_as_many_cells_as_columns(files):
    for name in (name for name in files if name.endswith(".tex") and name != "tables.tex"):
        text = files[name].decode()
        for environment in ("table", "tabular", "landscape"):
            assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}")
        assert text.isascii()
        for body in re.findall(r"\\begin\{tabular\}(.+?)\\end\{tabular\}", text, flags=re.DOTALL):
            columns = len(re.findall(r"[lr]|p\{[^}]*\}", body.split("\n")[0][1:-1].replace("linewidth", "")))
            lines = [line for line in body.split("\n") if line.endswith(r"\\")]
            assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {columns}, name
    assert r"\input{levels}" in files["tables.tex"].decode()


def test_latex_escapes_labels_and_splits_long_tables(hostile):
    text = escape(
        hostile
        + " 50% of a_b {x} ~ ^ \N{MINUS SIGN}1 \N{GREEK SMALL LETTER ALPHA}"
        + " caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    )
    assert text.isascii() and "\n" not in text
    bare = re.sub(r"\\(?:[a-z]+(?:\{[-<>]\}|\{\\[a-z]+\}|\{\})?|[{}$&#%_])", "", text)
    assert not re.search(r"[\\{}$&#%_~^]", bare)
    cell = Table(
        "h", "s", [Column("a", "words"), Column("b")], [[Cell("[x]"), Cell("-0.5 [-1.0, 0.0]", -0.5, True)]]
    )
    row = latex_table([("", cell)], name="n", caption="c").split("\\midrule\n")[1].split("\n")[0]
    assert row == r"{}[x] & \textbf{\ensuremath{-}0.5 [\ensuremath{-}1.0, 0.0]} \\"
    rows = [[Cell(f"row {number}"), Cell("0.1", 0.1)] for number in range(100)]
    text = latex_table(
        [("", Table("h", "s", [Column("a", "words"), Column("b")], rows, ["note"]))], name="n", caption="c"
    )
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) == 3 and re.findall(r"row (\d+)", text) == [str(number) for number in range(100)]
    assert [r"\label{tab:n}" in part for part in floats] == [True, False, False]
    assert ["continued" in part for part in floats] == [False, True, True]
    assert ["note" in part for part in floats] == [False, False, True]


def test_ten_arms_look_different_in_every_figure(run):
    more = [run.content.arms[1].model_copy(update={"name": f"arm{number}"}) for number in range(6)]
    arms = [*run.content.arms, *more]
    style = looks(replace(run.content, arms=arms), frozenset({"secure"}))
    assert len({(look.colour, look.marker) for look in style.values()}) == len(arms) == 11
    assert len({(look.colour, look.line) for look in style.values()}) == 11


@pytest.mark.skipif(not (shutil.which("pdflatex") or shutil.which("tectonic")), reason="no LaTeX here")
def test_latex_compiles(files, tmp_path):
    for name in (name for name in files if name.endswith(".tex")):
        (tmp_path / name).write_bytes(files[name])
    command = (
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error"]
        if shutil.which("pdflatex")
        else ["tectonic"]
    )
    done = subprocess.run([*command, "tables.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert document(["x"]).count(r"\input") == 1
