"""The report as one self-contained HTML page: style, script and both figures (light, dark) are inside the
file."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import jinja2

from turncoat.report.browser.answer_store import answer_fields, answer_store
from turncoat.report.browser.page_parts import embedded_json, environment, page_parts
from turncoat.report.content import ReportContent
from turncoat.report.figures.overview import figure_png
from turncoat.report.figures.style import DARK
from turncoat.report.glossary import hover_texts
from turncoat.report.overview import overview as first_screen
from turncoat.report.tables import background
from turncoat.report.tables.contrasts import MINUS, claim_section
from turncoat.report.tables.four_axes import four_axes_table
from turncoat.report.tables.levels import estimates_table, seeds_table
from turncoat.report.tables.misalignment import corrected_table, leak_table, misalignment_table
from turncoat.report.tables.training import training_table
from turncoat.stats.contrasts import CLAIMS
from turncoat.study.arm_config import Arm

_HERE = Path(__file__).parent
_TEMPLATE = "report.html.j2"
STEM = _HERE / "report"
"""Style and script of tables and of the first screen, without their endings."""


def render_html(content: ReportContent, light_png: bytes | None = None) -> str:
    """The page, around the light figure where the caller has drawn it already.

    Every string is escaped, its control and bidi characters are visible; a content-security policy forbids
    loading anything and any other script.
    """
    return templates().get_template(_TEMPLATE).render(
        **overview(content, light_png),
        claims=[(claim, claim_section(content, claim)) for claim in CLAIMS],
        checks=background.checks_table(content) if content.checks else None,
        checks_summary=background.checks_summary(content),
        details=[
            *([four_axes_table(content)] if len(content.axes) else []), estimates_table(content),
            *([misalignment_table(content)] if len(content.judged) else []),
            *([corrected_table(content)] if len(content.corrected) else []),
            *([leak_table(content)] if len(content.leaks) else []),
            seeds_table(content), background.seed_noise_table(content), background.arms_table(content),
            *([training_table(content)] if len(content.training) else []), background.run_table(content),
            background.timings_table(content), background.provenance_table(content),
            background.glossary_table(content),
        ],
        answers=embedded_json(run_answers(content)) if len(content.answers) else None,
        page=page_parts(STEM),
    )  # fmt: skip


def templates(*folders: Path) -> jinja2.Environment:
    """The templates of reports, and of these folders, with the filters that tables need."""
    made = environment(_HERE, *folders)
    made.filters["minus"] = lambda text: str(text).replace("-", MINUS)
    made.filters["keep_minus"] = lambda text: str(text).replace(f"{MINUS} ", f"{MINUS}\N{NO-BREAK SPACE}")
    return made


def overview(content: ReportContent, light_png: bytes | None = None) -> dict[str, Any]:
    """Variables of overview.html.j2: content, first screen, glossary, and the figures as base64."""
    return {
        "content": content,
        "first": first_screen(content),
        "hover": hover_texts(content),
        "figure_light": base64.b64encode(light_png or figure_png(content)).decode("ascii"),
        "figure_dark": base64.b64encode(figure_png(content, DARK)).decode("ascii"),
    }


def run_answers(content: ReportContent) -> dict[str, Any]:
    """The answers of a run as the browser's script reads them, with its arms: name, label, class."""
    records = cast(list[dict[str, Any]], content.sorted_answers().to_dict("records"))
    fields = [{"arm": record["arm"], **answer_fields(record)} for record in records]
    return {**answer_store({"run": {"": fields}}), "arms": arm_looks(content.arms)}


def arm_looks(arms: Sequence[Arm]) -> list[list[str]]:
    """Name, label and class of every arm: the classes have the colours of the figures."""
    trained = [arm.name for arm in arms if not arm.is_base]
    return [
        [arm.name, arm.label or arm.name, "base" if arm.is_base else f"c{trained.index(arm.name) % 6}"]
        for arm in arms
    ]
