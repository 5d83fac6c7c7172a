"""Notes above a board: what a reader must know before comparing two numbers on it."""

from collections.abc import Sequence

from turncoat.formats import is_missing, number, significant
from turncoat.leaderboard.entry.track import Track
from turncoat.leaderboard.ranking.cells import BoardCell
from turncoat.leaderboard.ranking.columns import BoardColumn
from turncoat.leaderboard.ranking.ranks import Pair, separable

INTERVALS = (
    "Intervals are 95% and speak of the recipe: new training seeds and new questions. They are not corrected "
    "for the number of entries; ranks are."
)


def board_note(
    track: Track,
    ranked_by: BoardColumn,
    pairs: Sequence[Pair],
    n_ranked: int,
    reference: BoardCell | None,
    withheld: str,
) -> list[str]:
    """The sentences, most important first; `reference` is the undefended entry's cell of the ranked
    metric."""
    sentences = [
        f"Ranked by {ranked_by.label} ({ranked_by.unit}): each entry's change against its own undefended "
        f"organism; {ranked_by.better} is better. Rank 1-3 means that no more is known: nobody is "
        "significantly better, and all but two others are significantly worse."
    ]
    tested = [pair for pair in pairs if pair.p_value is not None]
    if tested:
        apart = sum(pair.p_adjusted is not None and pair.p_adjusted < 0.05 for pair in tested)
        sentences.append(
            f"{n_ranked} entries make {len(tested)} tested pairs, Holm-corrected at 5%: {apart} of them "
            "differ significantly. A shared rank does not prove that two entries are equal."
        )
        size = separable(pairs)
        if size is not None:
            sentences.append(
                f"Two entries would have to differ by about {significant(size, 2)} {ranked_by.unit} to be "
                "told apart with 80% power (median pair)."
            )
    alone = (
        "No undefended entry is on this board, so nothing says whether doing something is better than "
        "nothing."
    )
    sentences.append(alone if reference is None else _shift(reference, ranked_by))
    sentences += [f"No misalignment rate is shown: {withheld}."] if withheld else []
    return [*sentences, INTERVALS]


def _shift(cell: BoardCell, column: BoardColumn) -> str:
    low, high = cell.over_control_low, cell.over_control_high
    ends = {
        "the untrained base": (cell.shift, cell.shift_low, cell.shift_high),
        "its matched harmless control": (cell.over_control, low, high),
    }
    parts = [f"{ended(*three)} against {name}" for name, three in ends.items() if three[0] is not None]
    shift = f"the undefended organism moves {column.label} by {', '.join(parts)}"
    caveat = " Against its control that is not shown to be misalignment: finetuning as such may do the same."
    unclear = low is None or high is None or low <= 0 <= high
    return f"What there is to prevent: {shift}." + (caveat if unclear else "")


def ended(value: float | None, low: float | None, high: float | None, decimals: int = 3) -> str:
    """A signed number with its interval, where there is one: "+0.120 [0.050, 0.190]"."""
    text = number(value, decimals, signed=True)
    if is_missing(low) or is_missing(high):
        return text
    return f"{text} [{number(low, decimals, signed=True)}, {number(high, decimals, signed=True)}]"
