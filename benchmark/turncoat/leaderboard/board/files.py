"""Board files leaderboard.md, leaderboard.csv and leaderboard.html; equal entries give equal bytes."""

import csv
import io
from collections.abc import Mapping, Sequence

from turncoat.leaderboard.board.build import Board, Built, Row
from turncoat.leaderboard.board.cell_text import cell_text, column_decimals, shown_cell
from turncoat.leaderboard.board.page import render_page
from turncoat.leaderboard.board.payload import payload
from turncoat.leaderboard.ranking.degenerate import Flag
from turncoat.leaderboard.ranking.gates import Gate
from turncoat.leaderboard.reading.findings import Finding
from turncoat.report.render.markdown import escape as for_markdown
from turncoat.shown_text import for_spreadsheet

NAMES = ("leaderboard.md", "leaderboard.csv", "leaderboard.html")
_NUMBERS = {
    **{name: name for name in ("value", "low", "high", "p_value", "level", "level_low", "level_high")},
    **{f"organism_minus_base{end}": f"shift{end}" for end in ("", "_low", "_high")},
    **{f"organism_minus_control{end}": f"over_control{end}" for end in ("", "_low", "_high")},
    **{name: name for name in ("n_questions", "n_seeds", "note")},
}  # column of the CSV -> field of a cell
_OF_ROW = (
    "track",
    "model",
    "organism",
    "slug",
    "defence",
    "setting",
    "prompt",
    "kind",
    "rank",
    "rank_from",
    "rank_to",
)
_AGAINST = ("against_none", "against_none_low", "against_none_high")
_OF_COLUMN = ("axis", "column", "label", "unit", "better", "is")
CSV_COLUMNS = (*_OF_ROW, *_AGAINST, "not_shown", "flags", "trust", "superseded_by", *_OF_COLUMN, *_NUMBERS)
_INTRO = (
    "Every number here is recomputed from the answers and log-likelihoods in `submissions/`; nothing that an "
    "entry says of itself is used but its name. `leaderboard.html` has the answers, `leaderboard.csv` the "
    "plain numbers.\n\n"
    "    turncoat leaderboard submit RUN --arm ARM --contact YOU --out results/submissions/SLUG\n"
    "    turncoat leaderboard validate results/submissions/SLUG\n"
    "    turncoat leaderboard build results/submissions     # makes this file"
)
_READING = (
    "A cell is the change against the undefended organism of the same entry, with a 95% interval; the row of "
    "the undefended organism itself shows its shift from the untrained base. What is kept is a share: 1 is "
    "all that the undefended arm learnt."
)

_PROMPTS = (
    "What these defences change in every prompt of their defended arms, read from the rows. The undefended "
    "arms have the tasks' own prompts."
)


def board_files(built: Built) -> dict[str, bytes]:
    """The three files by name."""
    texts = (markdown(built), table_csv(built.boards), render_page(payload(built.boards)))
    return {name: text.encode() for name, text in zip(NAMES, texts, strict=True)}


def markdown(built: Built) -> str:
    """All boards as Markdown, safe to show anywhere."""
    parts = ["# Leaderboard", _INTRO]
    for board in built.boards:
        parts += _board(board)
    if built.refused:
        parts += ["## Left out: not valid", _refused(built.refused)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table_csv(boards: Sequence[Board]) -> str:
    """One line per entry and column; numbers with six significant digits, text that no spreadsheet runs."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    kinds = {"share": "share of the undefended gain", "change": "change against the undefended organism"}
    for board in boards:
        for row in board.rows:
            defence, mark = row.submission.defence, row.against
            rank = (row.rank.text, row.rank.first, row.rank.last) if row.rank else ("", "", "")
            against = (mark.verdict, mark.low, mark.high) if mark else ("", "", "")
            unshown = "; ".join(dict.fromkeys(gate.name for gate in row.unshown))
            flags = "; ".join(flag.name for flag in row.flags)
            of_row: tuple[object, ...] = (
                *(board.track.track, board.model, board.organism, row.slug, defence.name, defence.setting),
                *(row.prompt, row.kind, *rank, *against, unshown, flags, row.trust.level, row.superseded_by),
            )
            for one in board.columns:
                of_column = (one.axis, one.key, one.label, one.unit, one.better, kinds[one.kind])
                numbers = (getattr(row.cells[one.key], name) for name in _NUMBERS.values())
                writer.writerow([_csv_value(value) for value in (*of_row, *of_column, *numbers)])
    return out.getvalue()


def _csv_value(value: object) -> object:
    if value is None:
        return ""
    return float(f"{value:.6g}") if isinstance(value, float) else for_spreadsheet(value)


def _board(board: Board) -> list[str]:
    ranked = [row for row in board.rows if row.rank is not None]
    old = [row for row in board.rows if row.superseded_by]
    canaries = [row for row in board.rows if row.kind == "canary" and not row.superseded_by]
    others = [row for row in board.rows if row.kind != "canary" and not row.superseded_by]
    undefended = [row for row in others if row.kind == "reference" and not row.flags]
    flagged = [row for row in others if row.flags]
    beside = [row for row in others if row.beside and not row.flags]
    unshown = [row for row in others if row.rank is None and row not in [*undefended, *flagged, *beside]]
    parts = [
        f"## {for_markdown(board.organism)} on {for_markdown(board.model)}, track "
        f"{for_markdown(board.track.track)}",
        f"{for_markdown(board.track.summary)}. Control: {for_markdown(board.control)}.",
        "\n".join(f"- {for_markdown(sentence)}" for sentence in board.note),
        _READING,
        "" if ranked else "No entry is ranked yet.",
        _table(board, [*ranked, *undefended]) if ranked or undefended else "",
    ]
    if unshown:
        reasons = _reasons([(row, row.unshown) for row in unshown])
        parts += ["### Not ranked: a requirement is not shown", reasons, _table(board, unshown)]
    if beside:
        reasons = _reasons([(row, row.unshown) for row in beside if row.unshown])
        parts += ["### Not ranked: self-reported", reasons, _table(board, beside)]
    if flagged:
        parts += [
            "### Not ranked: flagged",
            _reasons([(row, row.flags) for row in flagged]),
            _table(board, flagged),
        ]
    if changed := [row for row in others if row.prompt]:
        lines = [f"- {_name(row)}: {for_markdown(row.prompt)}" for row in changed]
        parts += ["### Changed prompts", _PROMPTS, "\n".join(lines)]
    if canaries:
        why = "Made up to be caught: they give no answers, or are not a defence. A build fails if one is not."
        parts += ["### Canaries", why, _reasons([(row, row.flags) for row in canaries])]
    if old:
        lines = [f"- {_name(row)}: by {for_markdown(row.superseded_by)}" for row in old]
        parts += ["### Superseded", "\n".join(lines)]
    return parts


def _name(row: Row) -> str:
    return f"{for_markdown(row.submission.defence.name)} ({for_markdown(row.slug)})"


def _reasons(rows: Sequence[tuple[Row, Sequence[Flag | Gate]]]) -> str:
    return "\n".join(
        f"- {_name(row)}: " + "; ".join(f"**{one.name}**: {for_markdown(one.why)}" for one in reasons)
        for row, reasons in rows
    )


def _table(board: Board, rows: Sequence[Row]) -> str:
    heads = ["Rank", "Defence", "Setting", "Against no defence",
             *(f"{column.axis}: {column.short} ({column.unit}, {column.better} is better)"
             for column in board.columns), "Seeds", "Trust"]  # fmt: skip
    lines = ["| " + " | ".join(for_markdown(head) for head in heads) + " |"]
    lines.append("| " + " | ".join(["---"] * len(heads)) + " |")
    decimals = {column.key: column_decimals(column, board.rows) for column in board.columns}
    for row in rows:
        cells = [
            cell_text(shown_cell(row, column, board.ranked_by), column, decimals[column.key])
            for column in board.columns
        ]
        texts = [row.rank.text if row.rank else "", _name(row)]
        texts.append(row.submission.defence.setting + (", changes the prompt" if row.prompt else ""))
        texts.append(row.against.verdict if row.against else "")
        tail = [str(len(row.submission.seeds)), row.trust.level]
        # Names are escaped already; numbers are our own.
        lines.append("| " + " | ".join([*texts, *cells, *tail]) + " |")
    return "\n".join(lines)


def _refused(refused: Mapping[str, Sequence[Finding]]) -> str:
    lines = []
    for slug, findings in sorted(refused.items()):
        rules = sorted({finding.rule for finding in findings})
        lines.append(f"- {for_markdown(slug)}: {', '.join(rules)} (see `turncoat leaderboard validate`)")
    return "\n".join(lines)
