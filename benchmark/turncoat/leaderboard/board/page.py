"""HTML page of the board: one self-contained file that needs no server, no network and hardly a script.

The tables and each entry's details are written here, so they are readable without a script; board.js sorts,
filters and opens what is there, and makes only the answers itself. Strings may be hostile: jinja escapes
those in the HTML, the answers travel as JSON that cannot close its element, and the page's policy runs
nothing but the page's own script.
"""

from __future__ import annotations

import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from turncoat.report.browser.answer_store import answer_store
from turncoat.report.browser.page_parts import embedded_json, environment, page_parts, printable
from turncoat.report.tables.contrasts import MINUS

Json = dict[str, Any]
_HERE = Path(__file__).parent
_BAR = 104.0  # pixels from the lowest to the highest end of the intervals in a column
_MARGIN = 5.0  # pixels kept free at both ends of a bar
_SETTINGS = {name: name.replace("_", " ") for name in ("prevention", "in_training", "reversal", "inference")}
_SETTINGS["none"] = "no defence"
_TRUST = {name: f"\N{CHECK MARK} {name}" for name in ("verified", "reproduced")}
_TRUST["self-reported"] = "self-reported"
_GROUPS = [
    ("entries", "Entries"),
    ("references", "For comparison, not ranked"),
    ("unranked", "Not ranked: a requirement is not shown, or there is a flag"),
    ("beside", "Not ranked: self-reported"),
    ("canaries", "Canaries: useless on purpose, to show that the metrics notice"),
]

_EMPTY: Json = {"value": None, "low": None, "high": None, "text": "", "note": ""}


def render_page(content: Json) -> str:
    """The whole page; the same payload gives the same bytes. Control and bidi characters become replacements.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    payload = printable(content)
    return (
        environment(_HERE)
        .get_template("board.html.j2")
        .render(
            title=payload["title"],
            generated_by=payload["generated_by"],
            boards=[_board_view(one) for one in payload["boards"]],
            settings=_SETTINGS,
            trusts=list(_TRUST),
            answer_count=len(payload["answers"]),
            answers=embedded_json(answer_store(_grouped(payload["answers"]))),
            **page_parts(_HERE / "board"),
        )
    )


def _grouped(answers: list[Json]) -> dict[str, dict[str, list[Json]]]:
    """Answers by board and slug; an answer's arm is its role."""
    boards: dict[str, dict[str, list[Json]]] = {}
    for one in answers:
        of_board = boards.setdefault(one["board"], {})
        of_board.setdefault(one["slug"], []).append({**one, "arm": one["role"]})
    return boards


def _board_view(board: Json) -> dict[str, Any]:
    """One board as the template wants it: entries in rank order, in groups, each cell with its bar."""
    scales = {column["key"]: _Scale(column, board["entries"]) for column in board["columns"]}
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in _GROUPS}
    for entry in sorted(board["entries"], key=lambda one: (_rank_end(one), bool(one["superseded_by"]))):
        groups[_group(entry)].append(_entry_view(board, entry, scales))
    named = [
        {"name": name, "label": label, "entries": groups[name]} for name, label in _GROUPS if groups[name]
    ]
    axes = [[axis, len(list(run))] for axis, run in groupby(column["axis"] for column in board["columns"])]
    return {**board, "anchor": _anchor(board["id"]), "axes": axes, "bar_width": _BAR, "groups": named}


def _entry_view(board: Json, entry: Json, scales: dict[str, _Scale]) -> dict[str, Any]:
    cells = [(column, entry["cells"].get(column["key"]) or _EMPTY) for column in board["columns"]]
    return {
        **entry,
        "anchor": _anchor(board["id"], entry["slug"]),
        "rank": entry["rank"].replace("-", "\N{EN DASH}"),
        "rank_end": _rank_end(entry) if entry["rank"] else None,
        "trust_text": _TRUST.get(entry["trust"], entry["trust"]),
        "trust_order": list(_TRUST).index(entry["trust"]) if entry["trust"] in _TRUST else len(_TRUST),
        "setting_text": _SETTINGS.get(entry["setting"], entry["setting"]),
        "paper_link": _is_web_link(entry["paper"]),
        "shared_json": json.dumps(entry["shared"], sort_keys=True),
        "superseded_anchor": _anchor(board["id"], entry["superseded_by"]) if entry["superseded_by"] else "",
        "numbers": [scales[column["key"]].view(column, cell) for column, cell in cells],
    }


class _Scale:
    """One column's axis: all its intervals on one scale, so that overlaps can be seen down the column.

    Canaries, flagged and self-reported entries do not stretch it, or they would squeeze what matters; their
    ends are drawn at the edge.
    """

    def __init__(self, column: Json, entries: list[Json]) -> None:
        key = column["key"]
        honest = [one for one in entries if one["kind"] != "canary" and not one["superseded_by"]]
        ordinary = [one for one in honest if not one["flags"] and not one["beside"]] or honest or entries
        ends = [end for one in ordinary for end in _ends(one["cells"].get(key))]
        ends = ends or [end for one in entries for end in _ends(one["cells"].get(key))]
        self.low, self.high = min(ends, default=0.0), max(ends, default=1.0)
        filled = [
            (one, one["cells"][key])
            for one in entries
            if (one["cells"].get(key) or _EMPTY)["value"] is not None
        ]
        undefended = [cell for one, cell in filled if one["setting"] == "none" and one["kind"] != "canary"]
        self.mark = next((cell["value"] for cell in undefended), None)
        texts = [_split(cell["text"]) for _, cell in filled]
        self.value_length = max((len(value) for value, _ in texts), default=0)
        self.interval_length = max((len(interval) for _, interval in texts), default=0)

    def x(self, value: float) -> float:
        """Pixels from the left end of the bar; a column without any spread is drawn in the middle."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(_MARGIN + min(max(share, 0.0), 1.0) * (_BAR - 2 * _MARGIN), 1)

    def view(self, column: Json, cell: Json) -> dict[str, Any]:
        """One cell as the template prints it."""
        value, interval = _split(cell["text"])
        bar = None
        if cell["value"] is not None:
            ends = _ends(cell)
            left, right = self.x(min(ends)), self.x(max(ends))
            bar = {
                "dot": self.x(cell["value"]), "left": left, "width": round(max(right - left, 0.5), 1),
                "mark": None if self.mark is None else self.x(self.mark),
                "zero": self.x(0.0) if self.low < 0 < self.high else None, "below": min(ends) < self.low,
                "above": max(ends) > self.high,
            }  # fmt: skip
        return {
            **cell,
            "label": column["label"],
            "unit": column["unit"],
            "shown": value or "n/a",
            "interval": interval,
            # Figure spaces, as wide as a digit: digits stand below digits where some numbers are longer than
            # others.
            "value_pad": "\N{FIGURE SPACE}" * (self.value_length - len(value)),
            "interval_pad": "\N{FIGURE SPACE}" * (self.interval_length - len(interval)),
            "bar": bar,
        }


def _ends(cell: Json | None) -> list[float]:
    return [end for end in (cell["value"], cell["low"], cell["high"]) if end is not None] if cell else []


def _split(text: str) -> tuple[str, str]:
    """A cell's text as value and interval, with real minus signs."""
    value, bracket, rest = re.sub(r"-(?=[\d.])", MINUS, text).partition(" [")
    return value, f"[{rest}" if bracket else ""


def _group(entry: Json) -> str:
    if entry["kind"] == "canary":
        return "canaries"
    if entry["rank"]:
        return "entries"
    if entry["beside"] and not entry["flags"]:
        return "beside"
    return "references" if entry["kind"] == "reference" and not entry["flags"] else "unranked"


def _rank_end(entry: Json) -> float:
    """The worse end: the better one would put what is hardly known first."""
    match = re.search(r"\d+$", entry["rank"])
    return int(match[0]) if match else float("inf")


def _anchor(board: str, slug: str | None = None) -> str:
    """The part behind the # that opens a board or an entry; also the element's id, so it works without a
    script."""
    return f"board={quote(board)}" + ("" if slug is None else f"&entry={quote(slug)}")


def _is_web_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and bool(parts.netloc)
