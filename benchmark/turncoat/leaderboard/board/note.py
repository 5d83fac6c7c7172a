"""Notes above a board: what a reader must know before comparing two numbers on it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from turncoat.formats import is_missing, number, significant
from turncoat.leaderboard.entry.track import Track
from turncoat.leaderboard.ranking.cells import BoardCell
from turncoat.leaderboard.ranking.columns import BoardColumn
from turncoat.leaderboard.ranking.gates import ANOTHER_ORGANISM, Gate
from turncoat.leaderboard.ranking.ranks import Against, Pair

SEEMS = (
    "An entry only seems better, or worse, where its interval says so but exact sign flips, which do not "
    "take training seeds for normal, cannot reach 5% (fewer than 6 seeds), or where a few questions hold "
    "nearly all of the spread."
)
INTERVALS = (
    "Intervals are 95% and speak of the recipe: new training seeds and new questions. Each holds for its own "
    "number alone, but for those of the ranked column, which hold for the whole family of tests together."
)


def board_note(
    ranked_by: BoardColumn,
    pairs: Sequence[Pair],
    against: Mapping[str, Against],
    floor: float,
    requirements: Sequence[str],
    reference: BoardCell | None,
    withheld: str,
    caveat: str,
) -> list[str]:
    """The sentences, most important first.

    Args:
        floor: Change up to which a re-run cannot tell it from none, in the unit of the ranked column.
        withheld: Reason that no misalignment rate is shown, or empty.
        caveat: The board's sentence of `Track.caveats`, or empty.
    """
    sentences = [
        f"Ranked by {ranked_by.label} ({ranked_by.unit}): each entry's change against its own undefended "
        f"organism; {ranked_by.better} is better. Rank 1-3 means that no more is known: nobody is "
        "significantly better, and all but two others are significantly worse. Rows are in the order of the "
        "worse end of these ranges, then of the worse end of the interval against no defence."
    ]
    tested = [pair for pair in pairs if pair.p_adjusted is not None]
    marks = Counter(one.verdict for one in against.values())
    if against:
        counts = ", ".join(f"{verdict} {number}" for verdict, number in sorted(marks.items()))
        apart = sum(pair.p_adjusted is not None and pair.p_adjusted < 0.05 for pair in tested)
        sentences.append(
            f"Two families of tests, each at 5%. Entries against no defence, by max-T: {counts}. Pairs of "
            f"ranked entries, by step-down max-T: {apart} of {len(tested)} differ significantly. A shared "
            "rank does not prove that two entries are equal."
        )
        sentences.append(
            f"A change, or difference, of up to {significant(floor, 2)} {ranked_by.unit} counts as none: "
            "verification cannot tell it from none, so an interval has to exclude all of it."
        )
    if any(verdict.startswith("seems") for verdict in marks):
        sentences.append(SEEMS)
    widths = sorted(pair.half_width for pair in pairs if pair.half_width is not None)
    if widths:
        median = f"{significant(widths[len(widths) // 2], 2)} {ranked_by.unit}"
        sentences.append(
            f"The difference of two ranked entries is known to within {median} (half of a simultaneous 95% "
            "interval, median pair)."
        )
    sentences += requirements
    alone = (
        "No undefended entry is on this board, so nothing says whether doing something is better than "
        "nothing."
    )
    sentences.append(alone if reference is None else f"{_shift(reference, ranked_by)} {caveat}".strip())
    sentences += [f"No misalignment rate is shown: {withheld}."] if withheld else []
    return [*sentences, INTERVALS]


def family_note(verified: bool, beside: int) -> str:
    """Sentence on the entries that compete for ranks.

    Args:
        verified: They do because they are verified; else the project's own do as well.
        beside: Number of self-reported entries outside of the tests.
    """
    text = (
        "Only verified entries compete for ranks."
        if verified
        else "No defence of the project's is verified yet: its own runs compete for ranks beside verified "
        "entries, and nobody else's."
    )
    if not beside:
        return text
    return (
        f"{text} {beside} self-reported {'entry is' if beside == 1 else 'entries are'} listed beside them, "
        "outside both families of tests: their intervals hold each for itself alone, and they only ever seem "
        "better or worse."
    )


def vector_note(one_vector: int, entries: int) -> list[str]:
    """Number of entries whose intervals do not hold the persona vector's own error."""
    text = (
        f"The intervals of {one_vector} of {entries} entries without a flag do not hold the persona vector's "
        "own sampling error, as their rows have no readings on re-extracted vectors: they are about this one "
        "vector."
    )
    return [text] if one_vector else []


def requirements_note(track: Track, gates: Mapping[str, Sequence[Gate]]) -> list[str]:
    """Requirements of ranked entries, the number of others that did not show them, and what it would take."""
    open_ = {slug: [gate for gate in some if gate.shown is None] for slug, some in gates.items()}
    missing = [slug for slug, some in open_.items() if some]
    if not missing:
        return []
    text = (
        f"Ranked is what is shown to keep {track.narrow_kept:g} of what the organism learnt and to lose less "
        f"than {track.coherence_lost:g} points of coherence. {len(missing)} of {len(gates)} entries "
        f"{'is' if len(missing) == 1 else 'are'} not shown to do so, and not shown to fail."
    )
    if any(gate.flag == ANOTHER_ORGANISM for some in gates.values() for gate in some):
        text += (
            " An organism of an entry's own has to be shown to be equivalent to the board's, within the "
            "track's margin, or verified."
        )
    needs = [gate.questions for some in open_.values() for gate in some if gate.questions is not None]
    if needs:
        text += (
            f" If nothing is lost, up to {max(needs)} questions with as many answers to each would show it "
            "with 80% power; more training seeds help too."
        )
    return [text]


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
