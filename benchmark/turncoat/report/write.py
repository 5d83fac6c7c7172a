"""Writer of a run's report: report.md, report.html, figure.png and CSV tables, and the short version on the
console.

    report_run(Path("runs/demo"), TextConsole())    # from a run folder
    files = write_report(content, Path("results"))  # from content that is at hand

Equal content gives equal bytes: no clock, no hash order, fixed number formats.
"""

from numbers import Real
from pathlib import Path

import pandas as pd
from rich.console import Console

from turncoat import formats
from turncoat.report.build import run_content
from turncoat.report.content import ReportContent
from turncoat.report.figures.overview import figure_png
from turncoat.report.render.html import render_html
from turncoat.report.render.markdown import render_markdown
from turncoat.report.render.terminal import print_report
from turncoat.safe_files import write_files
from turncoat.shown_text import for_spreadsheet


def report_run(folder: Path, console: Console, content: ReportContent | None = None) -> dict[str, Path]:
    """Write report.md, report.html, figure.png and the CSV tables beside the rows, and print the short
    version.

    Args:
        content: `run_content` of the folder, where it is at hand.

    Raises:
        UserError: The folder is not a finished run.
    """
    content = content or run_content(folder)
    files = write_report(content, folder)
    print_report(content, console, files)
    return files


def write_report(content: ReportContent, folder: Path) -> dict[str, Path]:
    """Write every file of the report into `folder`, which is made where it is missing; file name -> path."""
    figure = figure_png(content)
    files = {
        "report.html": _encode(render_html(content, figure)), "report.md": _encode(render_markdown(content)),
        "figure.png": figure, "estimates.csv": csv_bytes(content.sorted_estimates()),
        "contrasts.csv": csv_bytes(content.sorted_contrasts()),
        "answers.csv": csv_bytes(content.sorted_answers()),
    }  # fmt: skip
    if len(content.axes):
        files["four_axes.csv"] = csv_bytes(content.axes)
    write_files(folder, files)
    return {name: folder / name for name in files}


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV: ten significant digits, missing values empty, tuples "a;b", text `for_spreadsheet`."""
    ready = frame.copy()
    for column in ready.columns:
        ready[column] = _csv_column(ready[column])
    ready.columns = [for_spreadsheet(name) for name in ready.columns]
    return _encode(ready.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def _csv_column(column: pd.Series) -> pd.Series:
    values = [None if formats.is_missing(value) else value for value in column]
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, (tuple, list)) for value in present):
        joined = [None if value is None else ";".join(f"{item:.10g}" for item in value) for value in values]
        return pd.Series(joined, index=column.index, dtype="object")
    if all(isinstance(value, Real) and not isinstance(value, bool) for value in present):
        # an object column of numbers would escape float_format
        return pd.Series([float("nan" if value is None else value) for value in values], index=column.index)
    return pd.Series([for_spreadsheet(value) for value in values], index=column.index, dtype="object")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")
