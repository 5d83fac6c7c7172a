"""Requirements of an entry before it is ranked: it keeps the narrow behaviour and the coherence, and what it
is held against is the board's organism.

Each is a test at the track's margin, for new training seeds and new questions: the share that is kept by its
95 % interval, a loss of coherence by non-inferiority, one-sided at 5 %, an organism of one's own by
equivalence (two one-sided tests at 5 %). `shown` is True where the margin is excluded, False where a failure
is shown, None where neither is: then too little was measured, and an entry that measures little must not pass
for one that keeps everything. All of an entry's requirements have to be shown, so none needs a correction for
their number.

References:
    Piaggio et al. (2012), JAMA 308(24) (CONSORT for non-inferiority and equivalence trials).
    Berger (1982), Technometrics 24(4) (intersection-union tests: each at level alpha).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from turncoat.evaluation.task_facts import COHERENCE
from turncoat.formats import number
from turncoat.leaderboard.entry.track import Track
from turncoat.leaderboard.ranking.cells import BoardCell
from turncoat.leaderboard.ranking.columns import NARROW_KEPT, BoardColumn
from turncoat.leaderboard.ranking.entry_scores import Measured, claim, paired
from turncoat.stats.margins import margin_p
from turncoat.stats.paired import Differences
from turncoat.stats.planning.joint_power import Variances, joint_power
from turncoat.stats.t_errors import widest
from turncoat.stats.two_way import two_way_t

ANOTHER_ORGANISM = "another organism"
_LEVEL = 0.05  # one-sided
_MOST_QUESTIONS, _POWER = 10_000, 0.8


class Gate(NamedTuple):
    """One requirement of one entry."""

    name: str  # Where it is not shown: "coherence not shown"
    flag: str  # Where a failure is shown: "loses coherence"
    shown: bool | None
    why: str  # A sentence with the numbers; "" where it is shown
    questions: int | None = None  # Questions that would show it with 80 % power if nothing is lost


def gates_of(
    track: Track, measured: Measured, cells: Mapping[str, BoardCell], columns: Sequence[BoardColumn]
) -> list[Gate]:
    """The requirements of one entry; none for the undefended organism."""
    if measured.own_role == "organism":
        return []
    gates = [_learns(cells[NARROW_KEPT], track.narrow_kept)] if NARROW_KEPT in cells else []
    coherence = [column for column in columns if column.axis == COHERENCE]
    return gates + [_coherent(measured, cells[one.key], one, track.coherence_lost) for one in coherence]


def _learns(cell: BoardCell, least: float) -> Gate:
    names = "learning not shown", "does not learn"
    if cell.value is None:
        return Gate(*names, None, f"the share of what it keeps is missing: {cell.note}")
    low = cell.value if cell.low is None else cell.low
    high = cell.value if cell.high is None else cell.high
    keeps = f"it keeps {cell.value:.2f} of what the undefended organism learnt"
    if high < least:
        upper = "" if cell.high is None else f", at most {high:.2f}"
        why = f"{keeps}{upper}; {least:g} is the least: whoever learns nothing cannot go wrong by it"
        return Gate(*names, False, why)
    if cell.low is None or low < least:
        known = f"perhaps {low:.2f}" if cell.low is not None else f"no interval ({cell.note})"
        return Gate(*names, None, f"{keeps}, {known}; {least:g} is the least")
    return Gate(*names, True, "")


def _coherent(measured: Measured, cell: BoardCell, column: BoardColumn, margin: float) -> Gate:
    names = "coherence not shown", "loses coherence"
    if cell.value is None or cell.change is None:
        return Gate(*names, None, f"{column.label}: {cell.note}")
    errors = cell.change.errors
    if not errors:
        alike = cell.n_seeds > 1 and not cell.change.seed_sd  # all the same, to the last bit
        shown = None if not alike else cell.value > -margin
        return Gate(*names, shown, "" if shown else f"{column.label}: {cell.value:+.1f} points, {cell.note}")
    p = margin_p(cell.value, errors, margin, "non_inferiority", "higher") if margin > 0 else None
    low = widest(cell.value, errors, 1 - 2 * _LEVEL)[0]
    if p is not None and p < _LEVEL:
        return Gate(*names, True, "")
    if cell.high is not None and cell.high < 0:
        why = f"it loses {-cell.value:.1f} points (perhaps {number(-low, 1)}); {margin:g} are allowed"
        return Gate(*names, False, f"{column.label}: {why}")
    questions = _questions_needed(measured.change(column.key), margin)
    why = (
        f"{column.label}: {cell.value:+.1f} points, at worst {low:+.1f}; a loss of {margin:g} is not excluded"
    )
    more = "more training seeds are needed"
    if questions is not None:
        more = f"about {questions} would do so if nothing is lost"
    why += f" ({cell.n_questions} questions, {cell.n_seeds} training seeds; {more})"
    return Gate(*names, None, why, questions)


def organism_gate(
    own: Differences | None, due: Differences | None, margin: float | None, *, verified: bool, level: float
) -> Gate:
    """The requirement that an entry's own undefended organism is equivalent to the board's reference, or
    verified. "No difference found" does not show it.

    Args:
        own: Its organism minus the reference's base on the metric that ranks.
        due: The same of the reference's organism.
        verified: True if the maintainers made its organism's rows again; a shown difference still counts.
        level: Two-sided level of "it is another one".
    """
    names = "organism not shown to be the board's", ANOTHER_ORGANISM
    tested = claim(paired(own, due)) if own is not None and due is not None else None
    if tested is None or tested.difference is None:
        return Gate(*names, True if verified else None, "" if verified else "its organism is not measured")
    lies = f"its undefended organism lies {tested.difference:+.3g} from the board's"
    if margin is not None:
        exact = tested.n_seeds > 1 and not tested.seed_sd and abs(tested.difference) < margin
        p = margin_p(tested.difference, tested.errors, margin, "equivalence") if tested.errors else None
        if (p < _LEVEL) if p is not None else exact:
            return Gate(*names, True, "")
    if tested.p_value is not None and tested.p_value < level:
        return Gate(*names, False, f"{lies} (p = {tested.p_value:.2g}; the level is {level:.2g})")
    if verified:
        return Gate(*names, True, "")
    if margin is None:
        return Gate(*names, None, f"{lies}, and the track has no margin for it: it has to be verified")
    known = ""
    if tested.errors:
        low, high, _ = widest(tested.difference, tested.errors, 1 - 2 * _LEVEL)
        known = f" (90% interval {low:+.3g} to {high:+.3g})"
    why = f"{lies}{known}; a difference of {margin:g} is not excluded: more training seeds, or verification"
    return Gate(*names, None, why)


def _questions_needed(change: Differences | None, margin: float) -> int | None:
    """Questions at which a loss of `margin` is excluded with 80 % power if there is none; the same seeds."""
    if change is None or margin <= 0:
        return None
    parts = two_way_t(change.cells)
    if parts.sd_question is None or parts.sd_seed is None or parts.sd_cell is None:
        return None
    spread = Variances(parts.sd_question**2, parts.sd_seed**2, parts.sd_cell**2)

    def enough(questions: int) -> bool:
        return joint_power(margin, spread, questions, parts.n_seeds, 2 * _LEVEL) >= _POWER

    low, high = 2, _MOST_QUESTIONS
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
