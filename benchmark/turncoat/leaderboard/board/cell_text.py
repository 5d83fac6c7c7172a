"""Text of a board cell: "-0.12 [-0.19, -0.05]", with the decimals that the column's intervals bear."""

from collections.abc import Sequence
from dataclasses import replace

from turncoat.formats import NA, decimals_for, half_widths, interval, number
from turncoat.leaderboard.board.build import Row
from turncoat.leaderboard.board.note import ended
from turncoat.leaderboard.ranking.cells import BoardCell
from turncoat.leaderboard.ranking.columns import BoardColumn


def column_decimals(column: BoardColumn, rows: Sequence[Row]) -> int:
    """Two significant digits of a typical interval's half-width, at most three decimals."""
    # Self-reported entries do not decide how finely the others are shown.
    rows = [row for row in rows if row.kind == "canary" or not row.beside] or rows
    cells = [row.cells[column.key] for row in rows]
    widths = half_widths([(cell.low, cell.high) for cell in cells])
    widths += half_widths([(cell.shift_low, cell.shift_high) for cell in cells])
    values = [cell.value for cell in cells] + [cell.shift for cell in cells]
    return min(decimals_for(widths, values), 3)


def shown_cell(row: Row, column: BoardColumn, ranked_by: BoardColumn) -> BoardCell:
    """A row's cell; in the ranked column with the interval that its mark against no defence rests on."""
    cell = row.cells[column.key]
    if column.key != ranked_by.key or row.against is None:
        return cell
    return replace(cell, low=row.against.low, high=row.against.high)


def cell_text(cell: BoardCell, column: BoardColumn, decimals: int) -> str:
    """One cell; the undefended organism's own change, 0 by definition, shows its shift from the untrained
    base."""
    if cell.value is None:
        return NA
    if cell.is_reference and (column.kind == "share" or cell.shift is None):
        return "1 (reference)" if column.kind == "share" else "0 (reference)"
    if cell.is_reference:
        return f"reference ({ended(cell.shift, cell.shift_low, cell.shift_high, decimals)} against the base)"
    if column.kind == "change":
        return ended(cell.value, cell.low, cell.high, decimals)
    text = number(cell.value, decimals)
    return text if cell.low is None else f"{text} {interval(cell.low, cell.high, decimals)}"


def cell_note(cell: BoardCell, column: BoardColumn, decimals: int) -> str:
    """Note beside a cell: the level, numbers of questions and seeds, the reason why something is missing."""
    parts = []
    if cell.level is not None:
        bounds = (cell.level_low, cell.level_high, decimals)
        level = number(cell.level, decimals) + (f" {interval(*bounds)}" if cell.level_low is not None else "")
        parts.append(f"level {level} {column.unit}")
    if cell.is_reference and cell.shift is not None:
        parts.append(f"organism minus base {ended(cell.shift, cell.shift_low, cell.shift_high, decimals)}")
    if cell.is_reference and cell.over_control is not None:
        over = ended(cell.over_control, cell.over_control_low, cell.over_control_high, decimals)
        parts.append(f"organism minus control {over}")
    if cell.is_reference:
        parts.append(f"the reference itself: {'0 by definition' if column.kind == 'change' else '1'}")
    elif cell.note:
        parts.append(cell.note)
    if cell.n_questions:
        parts.append(f"{cell.n_questions} questions, {cell.n_seeds} training seeds")
    return "; ".join(parts)
