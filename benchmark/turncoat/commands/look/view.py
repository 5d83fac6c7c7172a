"""`turncoat view`: a run in the browser, also while it runs."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, check_replaces, plug_ins
from turncoat.commands.printing import note, print_line
from turncoat.errors import UserError
from turncoat.paths import existing
from turncoat.safe_files import write_file
from turncoat.shown_text import TextConsole


def view(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A run folder, finished or under way, a folder that holds some, or a judged table."
        ),
    ] = Path("runs"),
    against: Annotated[
        Path | None, typer.Option("--against", help="Another finished run, to be shown beside it.")
    ] = None,
    static: Annotated[
        Path | None, typer.Option("--static", help="Write one HTML file that loads nothing, and stop.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address and open nothing.")
    ] = False,
    include_path: IncludePath = None,
) -> None:
    """Look at a run: verdict, every answer, training curves, persona by layer; progress while it runs.

    A CSV or JSONL of judged answers, as for `turncoat rates`, has its answers with filters and search.

    Example: turncoat view runs/demo

    Example: turncoat view judged.csv

    Example: turncoat view results/demo --against results/advice --static both.html
    """
    for path in (folder, *([against] if against else [])):
        existing(path)
    if static and static.suffix != ".html":
        raise UserError(f"--static {static}: browsers open a name that ends in .html, such as {static}.html")
    note(f"reading {folder}" + ("" if static else "; its page is made once it is asked for"), "dim")
    from turncoat.report.view.page import view_page
    from turncoat.report.view.runs import runs_in
    from turncoat.report.view.server import ViewServer

    plug_ins(include_path)
    runs = runs_in(folder)
    if len(runs) > 1 and (static or against):
        raise UserError(f"{folder} holds {len(runs)} runs ({', '.join(runs)}): name one of them")
    if folder.is_file() and against:
        raise UserError(
            f"--against {against}: two runs stand side by side, {folder} is a table; leave it out"
        )
    console = TextConsole()
    if static:
        check_replaces(static, "view-answers", "--static")
        write_file(static, view_page(next(iter(runs.values())), against=against))
        print_line(console, f"{static}: open it in a browser; it needs no server and no network")
        return
    server = ViewServer(runs, against=against, port=port)
    print_line(console, f"{server.address}  (this machine only; Ctrl-C ends it)")
    if not no_browser:
        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print_line(console, "stopped; nothing was changed")
    finally:
        server.server_close()
