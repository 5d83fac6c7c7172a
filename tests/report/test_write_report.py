"""The files of a report: stable bytes, inert answers, numbers that agree with the tables they come from."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from turncoat import formats
from turncoat.report.content import ADAPTERS, RECIPE, ReportContent
from turncoat.report.render.html import render_html
from turncoat.report.render.markdown import escape, render_markdown
from turncoat.report.tables.contrasts import AGAINST_BASE, CLAIM_TEXTS, claim_section, contrast_decimals
from turncoat.report.write import csv_bytes, write_report
from turncoat.shown_text import from_spreadsheet, visible
from turncoat.stats.contrasts import CLAIMS

MakeContent = Callable[..., ReportContent]

NAMES = {"report.md", "report.html", "figure.png", "estimates.csv", "contrasts.csv", "answers.csv"}


@pytest.fixture(scope="module")
def files(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_report(content, tmp_path_factory.mktemp("report") / "made" / "here")


class _Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_link_in_a_run_folder_is_replaced_and_never_followed(
    files: dict[str, Path], content: ReportContent, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in files:
        (folder / name).symlink_to(tmp_path / "kept")
    for name, path in write_report(content, folder).items():
        assert not path.is_symlink() and path.read_bytes() == files[name].read_bytes()
    assert (tmp_path / "kept").read_text() == "kept"


def test_equal_content_gives_equal_bytes_whatever_the_row_order(
    files: dict[str, Path], tmp_path: Path, make_content: MakeContent
) -> None:
    plain = make_content()
    shuffled = make_content(
        **{
            name: getattr(plain, name).sample(frac=1, random_state=5)
            for name in ("estimates", "contrasts", "seed_noise", "answers")
        }
    )
    again = write_report(shuffled, tmp_path)
    assert set(files) == NAMES == set(again)
    for name, path in files.items():
        assert path.read_bytes() == again[name].read_bytes(), name
    assert files["figure.png"].stat().st_size > 20_000


def test_the_page_loads_nothing_runs_its_own_script_and_shows_hostile_answers_as_text(
    files: dict[str, Path], hostile: str
) -> None:
    html = files["report.html"].read_text("utf-8")
    page = _Page(html)
    loading = {"src", "srcset", "href", "action", "data", "poster", "background"}
    for name, value in page.attributes:
        if name in loading:
            assert value.startswith(("data:image/png;base64,", "#")), (name, value[:80])
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert page.tags.count("script") == 2 and not re.search(r"url\(|@import", html)
    assert "prefers-color-scheme: dark" in html
    import base64
    import hashlib

    html = files["report.html"].read_text("utf-8")
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = next(
        value for name, value in _Page(html).attributes if name == "content" and "default-src" in value
    )
    assert f"default-src 'none'; script-src 'sha256-{digest}'" in policy and "unsafe" not in policy
    page = _Page(files["report.html"].read_text("utf-8"))
    assert not [name for name, _ in page.attributes if name.startswith("on")] and page.tags.count("img") == 1
    stored = json.loads(html.split('id="answer-store">')[1].split("</script>")[0])
    assert visible(hostile) in [row[7] for row in stored["groups"]["run"][""]]
    assert "\x1b" not in "".join(page.words)
    assert "\u202e" not in "".join(page.words)


def test_hostile_labels_and_answers_are_text_in_html_and_markdown(
    content: ReportContent, make_content: MakeContent, files: dict[str, Path], hostile: str
) -> None:
    bad = "<script>alert(1)</script>\"' onclick=x \u202e\x1b[31m"
    page = _Page(render_html(make_content(title=bad, question=bad, remarks=[bad], facts={bad: bad})))
    assert page.tags.count("script") == 2
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.words).count(visible(bad)) == 6
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(
        files["report.md"].read_text("utf-8")
    )
    kinds = {child.type for token in tokens for child in token.children or []}
    assert not {"link_open", "em_open", "code_inline", "html_block"} & kinds
    assert "fence" not in {token.type for token in tokens}
    inline = {
        child.content for token in tokens for child in token.children or [] if child.type == "html_inline"
    }
    assert inline == {"<br>"}
    images = [child for token in tokens for child in token.children or [] if child.type == "image"]
    assert [image.attrs["src"] for image in images] == ["figure.png"]
    cells = ["".join("\n" if c.type == "html_inline" else c.content for c in token.children or [])
             for token in tokens if token.type == "inline"]  # fmt: skip
    assert visible(hostile).strip() in [cell.strip() for cell in cells]


@pytest.mark.parametrize(
    "text", ["- x", "1. x", "> x", "a | b", "```", "=== ", "\\|", "&lt;", "[a](b)", "~~x~~"]
)
def test_markdown_escaping_renders_back_to_the_text(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(escape(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(child.content for child in tokens[1].children or []).strip() == text.strip()


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_number_of_the_contrast_tables_is_the_data_frames(
    make_content: MakeContent, content: ReportContent, claim: str
) -> None:
    content = make_content(contrasts=_with_recipe_tests(content))
    tables = _markdown_tables(render_markdown(content), CLAIM_TEXTS[claim][0])
    shown = [row for table in tables for row in table]
    frame = content.sorted_contrasts(claim)
    assert len(shown) == len(frame) == 10
    for cells, row in zip(shown, frame.itertuples(), strict=True):
        places = contrast_decimals(content, content.metric(str(row.metric)))
        difference = formats.number(row.difference, places, signed=True)
        ci = formats.interval(row.low, row.high, places)
        assert cells["Difference [95% CI]"] == f"{difference} {ci if ci != 'n/a' else '[n/a]'}"
        assert float(difference) == pytest.approx(row.difference, abs=0.5001 * 10**-places)
        assert cells["p"] == formats.p_value(row.p_value)
        assert cells["Holm p"] == formats.p_value(row.p_adjusted)
        assert not [name for name in cells if "etectable" in name]
        if claim == RECIPE:
            assert cells["Per seed"].split(", ") == [
                formats.number(d, places, signed=True) for d in row.seed_deltas
            ]
            assert cells["Seeds"] == str(row.n_seeds)


def test_recipes_claim_nothing_with_two_seeds_and_show_their_test_with_three(
    content: ReportContent, make_content: MakeContent
) -> None:
    section = claim_section(content, RECIPE)
    assert not section.tables and section.notes[0].startswith("n/a: 2 training seeds allow no claim")
    assert render_markdown(content).count("allow no claim") == 1
    section = claim_section(make_content(contrasts=_with_recipe_tests(content)), RECIPE)
    texts = [cell.text for table in section.tables for cell in table.rows[0]]
    assert {".234", ".432", "not significant"} <= set(texts)


def test_the_two_claims_have_their_own_headings_and_say_their_sample(files: dict[str, Path]) -> None:
    for name in ("report.md", "report.html"):
        text = files[name].read_text("utf-8")
        for claim, sample in (
            (ADAPTERS, "The questions are the sample"),
            (RECIPE, "The training seeds are the sample"),
        ):
            heading, sentence = CLAIM_TEXTS[claim]
            assert sentence.startswith(sample) and sentence in text[text.index(heading) :]


def test_a_change_against_the_base_is_never_called_misalignment_nor_significant_outside_a_family(
    content: ReportContent, make_content: MakeContent
) -> None:
    frame = content.contrasts.assign(p_adjusted=0.001, family="primary")
    section = claim_section(make_content(contrasts=frame), ADAPTERS)
    against_base = [row for table in section.tables for row in table.rows if "Base model" in row[0].text]
    assert len(against_base) == 4
    for row in against_base:
        assert row[0].text.endswith("\N{DAGGER}") and "aligned" not in row[-1].text
        assert row[-1].text.endswith("than before finetuning")
    assert AGAINST_BASE in section.notes
    assert any("misaligned" in row[-1].text for table in section.tables for row in table.rows)
    section = claim_section(content, ADAPTERS)
    rows = [row for table in section.tables for row in table.rows if "Base model" in row[0].text]
    assert all(row[-1].text == "outside the pre-registered family: no claim" for row in rows)
    assert not any(cell.strong for row in rows for cell in row)


def test_csv_files_hold_defused_answers_and_full_precision(
    files: dict[str, Path], content: ReportContent, hostile: str
) -> None:
    answers = pd.read_csv(io.BytesIO(files["answers.csv"].read_bytes()), keep_default_na=False)
    assert visible(hostile) in map(from_spreadsheet, answers["text"]) and len(answers) == len(content.answers)
    contrasts = pd.read_csv(files["contrasts.csv"])
    expected = content.sorted_contrasts()
    assert contrasts["difference"].tolist() == pytest.approx(expected["difference"].tolist(), rel=1e-9)
    recipe = contrasts[contrasts["claim"] == RECIPE].iloc[0]
    wanted = expected[expected["claim"] == RECIPE].iloc[0]["seed_deltas"]
    assert [float(part) for part in recipe["seed_deltas"].split(";")] == pytest.approx(wanted, rel=1e-9)
    frame = pd.DataFrame({"a": pd.Series([0.1 + 0.2, None, 3], dtype="object"), "b": [True, False, None]})
    assert csv_bytes(frame.assign(**{"=c": "@d"})) == b"a,b,'=c\n0.3,True,'@d\n,False,'@d\n3,,'@d\n"


def test_an_almost_empty_study_says_what_is_missing(
    content: ReportContent, tmp_path: Path, make_content: MakeContent
) -> None:
    nothing = make_content(
        **{name: getattr(content, name).iloc[:0]
           for name in ("estimates", "contrasts", "seed_noise", "answers")},
        remarks=[], checks=[], withheld=[], timings=[],
    )  # fmt: skip
    written = write_report(nothing, tmp_path)
    for name in ("report.md", "report.html"):
        text = written[name].read_text("utf-8")
        assert text.count("n/a: the study makes no claim of this kind.") == 2
        assert "n/a: the study sampled no answers." in text and "Left out, not measured" in text
        assert "compares no arms" in text


def _with_recipe_tests(content: ReportContent) -> pd.DataFrame:
    """The contrasts with three training seeds."""
    frame = content.contrasts.copy()
    tested = {"low": -0.1, "high": 0.3, "p_value": 0.2345, "p_adjusted": 0.4321, "n_seeds": 3, "note": ""}
    for column, value in tested.items():
        frame.loc[frame["claim"] == RECIPE, column] = value
    return frame


def _markdown_tables(text: str, heading: str) -> list[list[dict[str, str]]]:
    """The tables under one second-level heading, each row as column -> text, emphasis and escapes removed."""
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    tables = []
    for block in section.split("\n\n"):
        if block.startswith("|"):
            lines = [[cell.strip().strip("*").replace("\\", "") for cell in line.strip("|").split(" | ")]
                     for line in block.splitlines()]  # fmt: skip
            tables.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return tables
