"""All tables and figures of a folder of runs as files: name -> bytes. Equal rows give equal bytes.

    files = paper_files(find_runs(Path("results")), load_specs())

index.md says what there is, and what is missing and why; tables.tex shows every table.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from turncoat.report.figures.from_rows import RunFigure, figures_of
from turncoat.report.figures.style import PNG, SVG
from turncoat.report.paper.cells import markdown_table, table_of
from turncoat.report.paper.frames import table_frame, why_empty
from turncoat.report.paper.models import models_frame, models_table
from turncoat.report.paper.published import HEADING, published_frame, published_table
from turncoat.report.paper.spec import MODELS, TableSpec
from turncoat.report.render.latex import document, latex_table
from turncoat.report.render.markdown import escape
from turncoat.report.run_rows import Run
from turncoat.report.tables.table import Table
from turncoat.report.write import csv_bytes

KINDS = ("md", "csv", "tex", SVG, PNG)


def paper_files(
    runs: Sequence[Run], specs: Sequence[TableSpec], *, png: bool = True, paper: str = "",
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[str, bytes]:  # fmt: skip
    """Every file by its name; each run has a label of its own, `png` adds PNG to the figures' SVG.

    With `paper` the tables stand beside that paper's published numbers, and no figure is made. `on_step` is
    called with a few words on what is made next.
    """
    kinds = (SVG, PNG) if png else (SVG,)
    files: dict[str, bytes] = {}
    index = ["# Tables and figures", f"Runs: {', '.join(_run_name(run) for run in runs)}.", "## Tables"]
    made: list[str] = []
    missing: list[str] = []
    for spec in specs:
        on_step(f"table {spec.table}")
        frame = models_frame(spec, runs) if spec.show == MODELS else table_frame(spec, runs)
        published = published_frame(spec, frame, runs if paper else None)
        if frame.empty and not len(published):
            if paper or not spec.paper:
                missing.append(
                    f"- table {spec.table} ({escape(spec.title)}): {escape(why_empty(spec, runs))}"
                )
            continue
        sections = _sections(spec, frame, runs)
        several = len(runs) > 1
        parts = [(name if several else "", table) for name, table in sections]
        parts += [(HEADING, published_table(published))] if len(published) else []
        files[f"{spec.table}.csv"] = csv_bytes(frame)
        files[f"{spec.table}.tex"] = latex_table(
            parts, name=spec.table, caption=f"{spec.title}. {spec.caption}".strip()
        ).encode()
        page = [f"# {escape(spec.title)}"]
        for name, table in sections:
            page += [*[f"## {escape(name)}"] * bool(name), markdown_table(table)]
        if len(published):
            page += [f"## {HEADING}", markdown_table(published_table(published))]
            files[f"{spec.table}_published.csv"] = csv_bytes(published)
        files[f"{spec.table}.md"] = ("\n\n".join(page) + "\n").encode()
        made.append(spec.table)
        index.append(f"- [{escape(spec.title)}]({spec.table}.md) ({_others(spec.table, ('csv', 'tex'))})")
    if made:
        files["tables.tex"] = document(made).encode()
    if not paper:
        index.append("## Figures")
    for run in () if paper else runs:
        on_step(f"figures of {run.label}")
        for figure in figures_of(run, kinds):
            name = f"{run.label}_{figure.name}"
            if figure.frame is None:
                missing.append(f"- figure {figure.name} of {escape(run.label)}: {escape(figure.why)}")
                continue
            index.append(_figure(files, name, figure, run))
    if not paper and (papers := {spec.paper for spec in specs if spec.paper and spec.table not in made}):
        names = ", ".join(sorted(papers))
        missing.append(f"- tables of papers ({names}) that no run here fills: `turncoat tables --paper`")
    index += ["## Missing, and why", *(missing or ["Nothing is missing."])]
    files["index.md"] = (_paragraphs(index) + "\n").encode()
    return {name: files[name] for name in sorted(files)}


def _sections(spec: TableSpec, frame: pd.DataFrame, runs: Sequence[Run]) -> list[tuple[str, Table]]:
    """The parts of a table, each under the name of its run; one over base models has a single part."""
    if spec.show == MODELS:
        return [("", models_table(spec, frame))]
    labels = set(frame["study"])
    return [(_run_name(run), table_of(spec, frame, run)) for run in runs if run.label in labels]


def _figure(files: dict[str, bytes], name: str, figure: RunFigure, run: Run) -> str:
    for kind, data in figure.files.items():
        files[f"{name}.{kind}"] = data
    assert figure.frame is not None
    files[f"{name}.csv"] = csv_bytes(figure.frame)
    others = [*(kind for kind in figure.files if kind != SVG), "csv"]
    return f"- {escape(run.label)}: [{escape(figure.title)}]({name}.{SVG}) ({_others(name, others)})"


def _others(name: str, kinds: Sequence[str]) -> str:
    return ", ".join(f"[{kind}]({name}.{kind})" for kind in kinds)


def _run_name(run: Run) -> str:
    return f"{run.label} ({run.study.model})"


def _paragraphs(parts: Sequence[str]) -> str:
    """Headings and sentences apart, list items together."""
    text = ""
    for number, part in enumerate(parts):
        close = part.startswith("- ") and number > 0 and parts[number - 1].startswith("- ")
        text += part if not text else ("\n" if close else "\n\n") + part
    return text
