"""Build boards from entries: recompute every number from rows, then rank or flag.

built = build_boards(Path("results/submissions"))
built.boards[0].rows[0].rank.text       # "1-3"

A board is one track, base model and organism. Verified entries without a flag that nobody superseded are
held against no defence together. Ranked among each other are those of them that are shown to meet the
requirements (`gates`); canaries and undefended entries never are. Where no defence is verified yet, the
project's own runs take that place. A self-reported entry is held against no defence by itself, so that it
moves nobody else.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from turncoat.errors import UserError
from turncoat.judges.rates_table import false_alarms
from turncoat.leaderboard.board.note import board_note, family_note, requirements_note, vector_note
from turncoat.leaderboard.board.standing import family_of, reference_of, rivals_of, superseded_by
from turncoat.leaderboard.canaries.listed import is_canary, read_canaries
from turncoat.leaderboard.entry.load import SUBMISSION, load_entry
from turncoat.leaderboard.entry.maintainers import FILE, VERIFICATIONS, Maintainers, read_maintainers
from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.entry.track import Track
from turncoat.leaderboard.ranking.cells import BoardCell, board_cells
from turncoat.leaderboard.ranking.columns import BoardColumn, board_columns, ranked_metric
from turncoat.leaderboard.ranking.degenerate import Flag
from turncoat.leaderboard.ranking.flags import Candidate, candidate, flags_of, own_organism
from turncoat.leaderboard.ranking.gates import Gate, gates_of
from turncoat.leaderboard.ranking.ranks import (
    Against,
    Better,
    Pair,
    Rank,
    Verdict,
    against_none,
    compare_all,
    place,
    ranks,
)
from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.verification.draw import Tolerances
from turncoat.leaderboard.verification.status import Trust, read_trust
from turncoat.report.tables.misalignment import judged_rates

# Share of the reference's questions: a base that was measured elsewhere may fall silent on a few.
_FEWEST_OF_ALL = 0.9
# A self-reported entry never is better or worse, it only seems so.
_SEEMS: Mapping[Verdict, Verdict] = {"better": "seems better", "worse": "seems worse"}


@dataclass(frozen=True)
class Row:
    """One entry on its board."""

    submission: Submission
    kind: Literal["entry", "reference", "canary"]
    cells: Mapping[str, BoardCell]
    rank: Rank | None  # Its places; None where it is not ranked
    against: Against | None  # Against no defence; None where flagged, undefended, superseded or a canary
    gates: tuple[Gate, ...]  # Its requirements
    flags: tuple[Flag, ...]
    trust: Trust
    superseded_by: str  # The entry that replaces it, or ""
    beside: bool  # Self-reported: outside the ranking and its families of tests
    answers: pd.DataFrame  # Its sampled answers (`Entry.answers`)
    shared: Mapping[str, str] = field(default_factory=dict)  # Role -> the entry whose rows those are
    prompt: str = ""  # What it changes in every prompt of its defended arm

    @property
    def unshown(self) -> list[Gate]:
        """Requirements that it is neither shown to meet nor to fail."""
        return [gate for gate in self.gates if gate.shown is None]

    @property
    def slug(self) -> str:
        """The entry's name."""
        return self.submission.slug


@dataclass(frozen=True)
class Board:
    """One table; its id is "track/model/organism"."""

    id: str
    track: Track
    model: str
    organism: str
    control: str
    columns: tuple[BoardColumn, ...]
    ranked_by: BoardColumn
    # Ranked entries first (`place`), then those with an unshown requirement, the undefended, the
    # self-reported, the flagged, the canaries, the superseded
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]  # Every pair of ranked entries, tested
    withheld: str  # Why no misalignment rate is shown, or ""
    note: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """All boards, and the entries that were left out with what is wrong with them."""

    boards: tuple[Board, ...]
    refused: Mapping[str, Sequence[Finding]]


def build_boards(submissions: Path, *, skip_invalid: bool = False) -> Built:
    """Check and measure every entry of a folder, and rank them.

    Args:
        submissions: A folder with one folder per entry; verifications are looked for in the folder
            `verifications` beside it.
        skip_invalid: Leave invalid entries and incomplete boards out instead of stopping.

    Raises:
        EntryRefused: An entry is not valid.
        UserError: There is no entry, a listed canary is gone, or a board has no reference or no canary.
    """
    from turncoat.leaderboard.validation.validate import validate_entry

    folders = entry_folders(submissions)
    records = submissions.absolute().parent / VERIFICATIONS
    maintainers = read_maintainers(records)
    canaries = read_canaries(records)
    if missing := sorted(canaries.keys() - {folder.name for folder in folders}):
        fix = "restore them, or make them again with `turncoat dev canaries`"
        raise UserError(f"{submissions}: listed canaries are not there: {', '.join(missing)}; {fix}")
    candidates: list[Candidate] = []
    refused: dict[str, Sequence[Finding]] = {}
    for folder in folders:
        try:
            findings = validate_entry(folder)
            if findings:
                raise EntryRefused(findings)
            entry = load_entry(folder)
        except EntryRefused as error:
            if not skip_invalid:
                places = [replace(one, file=f"{folder.name}/{one.file}") for one in error.findings]
                raise EntryRefused(places) from error
            refused[folder.name] = error.findings
            continue
        trust = read_trust(entry, records)
        candidates.append(candidate(entry, trust, is_canary=is_canary(entry, canaries)))
    by_board: dict[str, list[Candidate]] = {}
    for one in candidates:
        by_board.setdefault(one.entry.submission.board, []).append(one)
    boards: list[Board] = []
    for board in (build_board(members, maintainers) for _, members in sorted(by_board.items())):
        lacking = _lacking(board)
        if not lacking:
            boards.append(board)
        elif not skip_invalid:
            raise UserError(f"board {board.id} has no {lacking}")
        else:
            without = Finding("incomplete-board", SUBMISSION, allowed=f"a board with {lacking}")
            refused |= {row.slug: [without] for row in board.rows}
    return Built(tuple(boards), refused)


def _lacking(board: Board) -> str:
    """Reference or canaries that a board has not; "" for a complete one."""
    kinds = {row.kind for row in board.rows}
    if "reference" not in kinds:
        return (
            "undefended entry to hold the others against; submit one (setting none), verify it or name it "
            f"in {FILE}"
        )
    if "canary" not in kinds:
        return (
            "canaries, so that nothing shows that it would catch one; make them: turncoat dev canaries ENTRY"
        )
    return ""


def entry_folders(submissions: Path) -> list[Path]:
    """Every folder of the submissions folder, in order of their names.

    Raises:
        UserError: It is not there or holds no entry.
    """
    if not submissions.is_dir():
        raise UserError(f"no folder {submissions}; `turncoat leaderboard submit` makes an entry in it")
    paths = (path for path in submissions.iterdir() if not path.name.startswith("."))
    folders = sorted(path for path in paths if path.is_dir())
    if not folders:
        fix = f"make one with `turncoat leaderboard submit RUN --out {submissions}/<slug>`"
        raise UserError(f"{submissions} holds no entry; {fix}")
    return folders


def build_board(entries: Iterable[Candidate], maintainers: Maintainers | None = None) -> Board:
    """One board from the entries of one track, model and organism; their order changes nothing."""
    candidates = sorted(entries, key=lambda one: one.slug)
    maintainers = Maintainers() if maintainers is None else maintainers
    superseded = superseded_by(candidates, maintainers)
    listed = [one for one in candidates if not one.is_canary and one.slug not in superseded]
    reference = reference_of(listed, maintainers)
    family, verified = family_of(listed, maintainers)
    family |= {reference.slug} if reference else set()
    candidates = [replace(one, beside=one.slug not in family) for one in candidates]
    reference = next((one for one in candidates if reference and one.slug == reference.slug), None)
    first = reference or candidates[0]
    track, facts = first.entry.track, first.entry.submission
    competing = [one for one in candidates if not one.beside] or candidates
    withheld = _withheld([reference] if reference else competing)
    measured = {metric for one in competing for _, metric in one.measured.scores}
    columns = board_columns(track, facts.organism.name, measured, withheld)
    ranked_by = ranked_metric(track, facts.organism.name, withheld)
    cells = {one.slug: board_cells(one.entry, one.measured, columns) for one in candidates}
    flags: dict[str, list[Flag]] = {}
    gates = {one.slug: gates_of(track, one.measured, cells[one.slug], columns) for one in candidates}
    for one in candidates:
        # What was learnt and lost is held against the board's rows as well: one's own could make it easy.
        if reference and (held := one.held_against(reference)):
            gates[one.slug] += gates_of(track, held, board_cells(one.entry, held, columns), columns)
        rivals = rivals_of(one, candidates, superseded, maintainers)
        gates[one.slug] += own_organism(one, ranked_by, reference, candidates)
        flags[one.slug] = flags_of(one, gates[one.slug], ranked_by, reference, rivals)
        both = [each.measured.change(ranked_by) for each in (one, reference or one)]
        n, due = (0 if change is None else len(change.cells.dropna()) for change in both)
        if cells[one.slug][ranked_by].value is None or n < _FEWEST_OF_ALL * due:
            why = f"it has a value of {ranked_by}, which ranks, on {n} of {due} questions"
            flags[one.slug].append(Flag("not measured", why))
    defended = [
        one for one in candidates
        if not (one.is_canary or one.is_reference or one.slug in superseded or flags[one.slug])
    ]  # fmt: skip
    tested = {one.slug: change for one in defended if (change := one.measured.change(ranked_by)) is not None}
    changes = {slug: change for slug, change in tested.items() if slug in family}
    column = next(column for column in columns if column.key == ranked_by)
    dtypes = {one.entry.submission.model.dtype for one in defended if one.slug in changes}
    floor = max(
        Tolerances.of_precision(dtype).resolved(column.unit, of_judge=column.judged)
        for dtype in dtypes or {facts.model.dtype}
    )
    again = {one.slug: one.measured.change_again(ranked_by) for one in defended}
    against = against_none(changes, column.better, floor, again)
    alone = {
        slug: replace(mark, verdict=_SEEMS.get(mark.verdict, mark.verdict))
        for slug, change in tested.items() if slug not in family
        for mark in against_none({slug: change}, column.better, floor, again).values()
    }  # fmt: skip
    ranked = {slug: change for slug, change in changes.items() if all(gate.shown for gate in gates[slug])}
    pairs = compare_all(ranked, floor, again)
    places = ranks(list(ranked), pairs, column.better)
    marks = against | alone
    rows = [
        Row(
            one.entry.submission,
            "canary" if one.is_canary else "reference" if one.is_reference and not one.beside else "entry",
            cells[one.slug], places.get(one.slug), marks.get(one.slug), tuple(gates[one.slug]),
            tuple(flags[one.slug]), one.trust,
            superseded.get(one.slug, ""), one.beside, one.answers,
            {role: shared.entry for role, shared in one.entry.submission.shared.items()}, one.prompt,
        )
        for one in candidates
    ]  # fmt: skip
    rows.sort(key=lambda row: _order(row, column.better))
    shown = next((row.cells[ranked_by] for row in rows if reference and row.slug == reference.slug), None)
    requirements = requirements_note(track, {slug: gates[slug] for slug in changes})
    names = (facts.model.name, facts.organism.name, facts.control.name)
    caveat = track.caveats.get("/".join(names[:2]), "")
    beside = sum(row.beside and row.kind != "canary" and not row.superseded_by for row in rows)
    standing = family_note(verified, beside)
    one_vector = sum(not again[slug] for slug in changes) if column.unit == "base SD" else 0
    conditions = [standing, *requirements, *vector_note(one_vector, len(changes))]
    note = board_note(column, pairs, against, floor, conditions, shown, withheld, caveat)
    table = tuple(rows), tuple(pairs)
    return Board(facts.board, track, *names, tuple(columns), column, *table, withheld, tuple(note))


def canaries_caught(board: Board) -> list[str]:
    """Canaries that were **not** caught: without a flag, and not behind every ranked entry. Empty is good."""
    key, sign = board.ranked_by.key, 1 if board.ranked_by.better == "lower" else -1
    values = [row.cells[key].value for row in board.rows if row.rank is not None]
    worst = max(
        (sign * value for value in values if value is not None), default=-math.inf if values else math.inf
    )
    missed = []
    for row in board.rows:
        value = row.cells[key].value
        if row.kind == "canary" and not row.flags and (value is None or sign * value <= worst):
            missed.append(row.slug)
    return missed


def _withheld(judged: Sequence[Candidate]) -> str:
    """Reason to show no misalignment rate (the judge calls the base misaligned); "" for none."""
    for one in judged:
        base = one.answers_of("base")
        why = false_alarms(judged_rates(base, {"may_rate": True}), "base") if len(base) else ""
        if why:
            return why
    return ""


def _order(row: Row, better: Better) -> tuple[int, float, float, str]:
    later = (
        row.rank is None, row.kind == "reference", row.beside, bool(row.flags), row.kind == "canary",
        bool(row.superseded_by),
    )  # fmt: skip
    # Unshown requirements, then the undefended, the self-reported, the flagged, the canaries, the superseded.
    group = max((number for number, here in enumerate(later, 1) if here), default=0)
    return (group, *place(row.rank, row.against, better), row.slug)
