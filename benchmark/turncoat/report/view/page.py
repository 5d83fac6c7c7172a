"""Page of one run in `turncoat view`: overview, answers, curves, persona by layer, another run beside it.

Path("run.html").write_text(view_page(Path("runs/demo")))      # one file that loads nothing
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from turncoat import __version__
from turncoat.report.browser.answer_store import answer_fields, answer_store
from turncoat.report.browser.page_parts import embedded_json, page_parts
from turncoat.report.build import run_content
from turncoat.report.content import ReportContent
from turncoat.report.render.html import STEM, arm_looks, overview, templates
from turncoat.report.view.against import against_tables
from turncoat.report.view.charts import layer_charts, training_charts
from turncoat.report.view.running import progress, running_data
from turncoat.report.view.table import table_page
from turncoat.safe_files import read_object
from turncoat.store import Store
from turncoat.study.config import load_study

Json = dict[str, Any]
_HERE = Path(__file__).parent


def view_page(
    folder: Path, *, against: Path | None = None, served: bool = False, store: Store | None = None
) -> str:
    """The page of a run, finished or under way, or of a table of judged answers.

    Args:
        against: A finished run to show beside a finished one.
        served: The page asks its server for progress and new answers.
        store: Where the stages of a run under way are; the user cache by default.

    Raises:
        UserError: Neither a run nor a study under way, or `against` is not a finished run.
    """
    if folder.is_file():
        return table_page(folder, served=served)
    study, state = load_study(folder / "study.yaml"), progress(folder)
    parts: Json = {"content": None}
    tables: list[Any] = []
    layers: list[Any] = []
    if state is None:
        contents = _contents(folder, against)
        content = next(iter(contents.values()))
        parts = overview(content)
        answers = {**_answers(contents), "arms": _arms(contents)}
        layers = layer_charts(folder, study)
        charts = [*training_charts(read_object(folder / "run.json")["training"], study), *layers]
        tables = against_tables(contents) if against else []
    else:
        answers, charts = running_data(folder, store or Store())
    return templates(_HERE).get_template("view.html.j2").render(
        **parts, study=study, state=state, layers=layers, against=tables,
        generated_by=f"turncoat {__version__}",
        answers=embedded_json(answers), charts=embedded_json(charts), groups=list(answers["groups"]),
        progress=embedded_json(state),
        page=page_parts(STEM, _HERE / "view", connect="'self'" if served else ""), served=served,
    )  # fmt: skip


def _contents(folder: Path, against: Path | None) -> dict[str, ReportContent]:
    """Contents by the name that tells the runs apart."""
    folders = [folder, *([against] if against else [])]
    contents = [run_content(one) for one in folders]
    names = [content.study for content in contents]
    if len(set(names)) < len(names):
        names = [f"{content.study} ({one})" for content, one in zip(contents, folders, strict=True)]
    return dict(zip(names, contents, strict=True))


def _answers(contents: Mapping[str, ReportContent]) -> Json:
    """Answers of all runs; the arms of a second one are named apart."""
    several = len(contents) > 1
    groups: dict[str, dict[str, list[Json]]] = {}
    for run, content in contents.items():
        records = cast(list[Json], content.sorted_answers().to_dict("records"))
        name = f"{run}: " if several else ""
        groups[run] = {"": [{"arm": f"{name}{one['arm']}", **answer_fields(one)} for one in records]}
    return answer_store(groups)


def _arms(contents: Mapping[str, ReportContent]) -> list[list[str]]:
    if len(contents) == 1:
        return arm_looks(next(iter(contents.values())).arms)
    return [
        [f"{run}: {name}", f"{label} ({run})", look]
        for run, content in contents.items()
        for name, label, look in arm_looks(content.arms)
    ]
