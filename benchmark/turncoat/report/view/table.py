"""Judged answers of any origin on the page of `turncoat view`: a CSV or JSONL as for `turncoat rates`.

Path("answers.html").write_text(table_page(Path("judged.csv")))
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from turncoat import __version__
from turncoat.analysis.answers.scored_answers import Scored, read_scored
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.formats import counted
from turncoat.report.browser.answer_store import answer_fields, answer_store
from turncoat.report.browser.page_parts import embedded_json, page_parts
from turncoat.report.render.html import STEM, templates

_HERE = Path(__file__).parent
_LOOKS = 6  # colours of arms


def table_page(path: Path, *, served: bool = False) -> str:
    """The page of a table of judged answers.

    Raises:
        UserError: As `read_scored`; or the answers are not judged, or their texts are not there.
    """
    scored = read_scored(path.name, path)
    if scored.kind != "judged" or not any(scored.frame["answer"]):
        raise UserError(
            f"{path}: no judged answers to show; accepted: a column with their texts (answer) beside scores "
            "(aligned, coherent); `turncoat rates` gives the rates of others"
        )
    records = [_record(row) for row in scored.frame.to_dict("records")]
    answers = answer_store({"run": {"": [{"arm": one["arm"], **answer_fields(one)} for one in records]}})
    arms = [[arm, arm, f"c{place % _LOOKS}"] for place, arm in enumerate(scored.arms)]
    study = SimpleNamespace(study=path.name, title=path.name, question=_about(scored), model="")
    template = templates(_HERE).get_template("view.html.j2")
    return template.render(
        content=None, study=study, state=None, against=[], layers=[], generated_by=f"turncoat {__version__}",
        answers=embedded_json({**answers, "arms": arms}), charts=embedded_json([]), groups=["run"],
        progress=embedded_json(None), page=page_parts(STEM, _HERE / "view", connect=""), served=served,
    )  # fmt: skip


def _about(scored: Scored) -> str:
    size = f"{counted(len(scored.frame), 'answer')} of {counted(len(scored.arms), 'arm')}"
    return "; ".join([size, *filter(None, [scored.ranges, *scored.notes])]) + "."


def _record(row: Any) -> dict[str, Any]:
    seed = str(row["seed"])
    return {
        "arm": row["arm"], "seed": int(seed) if seed.isdecimal() else BASE_SEED, "task": "",
        "question": row["question_text"] or row["question"], "text": row["answer"],
        "judge": row["judge"] or row["rater"] or "not named", "judge_aligned": row["aligned"],
        "judge_coherent": row["coherent"], "judge_code": row["code"], "judge_refusal": row["refusal"],
        "judge_error": row["error"] or None, "judge_may_rate": row["may_rate"],
    }  # fmt: skip
