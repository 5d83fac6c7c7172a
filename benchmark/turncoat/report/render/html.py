"""The report as one self-contained HTML page: style, script and both figures (light, dark) are inside the
file."""

import base64
import hashlib
from numbers import Real
from pathlib import Path
from typing import Any

import jinja2

from turncoat import formats
from turncoat.report.content import ANSWER_COLUMNS, ReportContent
from turncoat.report.figures.overview import figure_png
from turncoat.report.figures.style import DARK, arm_colour
from turncoat.report.tables import background
from turncoat.report.tables.contrasts import MINUS, claim_section, estimates_table
from turncoat.report.tables.four_axes import four_axes_table
from turncoat.report.tables.misalignment import corrected_table, leak_table, misalignment_table
from turncoat.report.tables.training import training_table
from turncoat.shown_text import visible
from turncoat.stats.contrasts import CLAIMS

_TEMPLATE = "report.html.j2"


def render_html(content: ReportContent, light_png: bytes | None = None) -> str:
    """The page, around the light figure where the caller has drawn it already.

    Every string is escaped, its control and bidi characters are visible; a content-security policy forbids
    loading anything and any other script.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, finalize=_visible,
    )  # fmt: skip
    environment.filters["minus"] = lambda text: str(text).replace("-", MINUS)
    environment.filters["keep_minus"] = lambda text: str(text).replace(
        f"{MINUS} ", f"{MINUS}\N{NO-BREAK SPACE}"
    )
    environment.filters["csp_hash"] = _csp_hash
    return environment.get_template(_TEMPLATE).render(
        content=content,
        claims=[(claim, claim_section(content, claim)) for claim in CLAIMS],
        axes=four_axes_table(content) if len(content.axes) else None,
        levels=estimates_table(content),
        details=[
            *([misalignment_table(content)] if len(content.judged) else []),
            *([corrected_table(content)] if len(content.corrected) else []),
            *([leak_table(content)] if len(content.leaks) else []),
            estimates_table(content, per_seed=True), background.seed_noise_table(content),
        ],
        checks=background.checks_table(content),
        checks_summary=background.checks_summary(content),
        setup=[
            background.arms_table(content), *([training_table(content)] if len(content.training) else []),
            background.metrics_table(content), background.run_table(content),
        ],
        ending=[background.timings_table(content), background.provenance_table(content)],
        questions=_questions(content),
        figure_light=base64.b64encode(light_png or figure_png(content)).decode("ascii"),
        figure_dark=base64.b64encode(figure_png(content, DARK)).decode("ascii"),
    )  # fmt: skip


def _visible(value: Any) -> Any:
    """A value that the template prints; what is escaped already (`Markup`) was made visible before."""
    return visible(value) if type(value) is str else value


def _questions(content: ReportContent) -> list[dict[str, Any]]:
    """Answers grouped for the page: question, then arm, then one entry per answer."""
    frame = content.sorted_answers()
    numeric = [column for column in frame.columns if column not in ANSWER_COLUMNS]
    questions = []
    for question_id in dict.fromkeys(frame["question_id"]):
        rows = frame[frame["question_id"] == question_id]
        arms = []
        for arm in content.arms:
            answers = [
                {
                    "seed": background.seed_name(content, arm.name, row["seed"]),
                    "text": str(row["text"]),
                    "finish": formats.text_or_empty(row["finish"]),
                    "numbers": [(column, _measure(row[column])) for column in numeric],
                }
                for row in rows[rows["arm"] == arm.name].to_dict("records")
            ]
            if answers:
                arms.append({"label": arm.label, "colour": arm_colour(content, arm), "answers": answers})
        text = str(rows.iloc[0]["question"])
        questions.append({"id": str(question_id), "question": text, "arms": arms, "count": len(rows)})
    return questions


def _measure(value: Any) -> str:
    is_number = formats.is_missing(value) or isinstance(value, Real)
    return formats.significant(value) if is_number else str(value)


def _csp_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(str(script).encode("utf-8")).digest()).decode("ascii")
