"""What the board's page is made from: plain JSON types, computed elsewhere, believed and only laid out by `page`.

payload: Payload = {"title": "Turncoat board", "generated_by": "turncoat 0.1.0", "boards": [...], "answers": [...]}
html = render_page(payload)

Every string may come from a stranger: the page escapes all of them. Numbers are finite; a missing one is None.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Better = Literal["lower", "higher"]
Setting = Literal["prevention", "in_training", "reversal", "inference", "none"]
Kind = Literal["entry", "canary", "reference"]
Trust = Literal["verified", "reproduced", "self-reported"]


class TrackTask(TypedDict):
    """One task of the track: its lm-eval name, what it is called in a sentence, and how much of it is asked."""

    task: str
    label: str
    questions: int
    samples: int


class Track(TypedDict):
    """The protocol that all entries of a board were measured under."""

    name: str
    summary: str
    tasks: list[TrackTask]
    min_seeds: int


class RankedBy(TypedDict):
    """The metric that orders the board; `metric` is the key of a column where that column is shown."""

    metric: str
    label: str
    unit: str
    better: Better


class Column(TypedDict):
    """One metric of the table. Neighbours with the same `axis` share a heading, under which `short` is its name."""

    key: str
    label: str
    short: NotRequired[str]
    unit: str
    axis: str
    better: Better
    help: str


class Cell(TypedDict):
    """One metric of one entry. `text` is shown, such as "+0.12 [0.05, 0.19]"; the numbers sort and draw the bar.

    `value` is None where there is nothing to show; `note` then says why, and may say something of a value too.
    """

    value: float | None
    low: float | None
    high: float | None
    text: str
    note: str


class Flag(TypedDict):
    """Something a reader must know before believing the row, and the reason."""

    name: str
    why: str


class PageEntry(TypedDict):
    """One row of a board.

    Attributes:
        slug: Folder name, unique within its board.
        rank: "4", "1-3" where it is shared, "" for a row without one.
        cells: Column key to cell; a missing key reads as n/a.
        facts: Label and value, in the order to show them.
        superseded_by: Slug of the entry that replaces this one, or "".
        shared: Role to the slug whose answers this entry shares, where the role is not its own. Without it the
            page looks for the undefended answers in the board's entry whose setting is "none".
    """

    slug: str
    defence: str
    setting: Setting
    kind: Kind
    rank: str
    flags: list[Flag]
    trust: Trust
    trust_note: str
    contact: str
    summary: str
    paper: str
    seeds: list[int]
    cells: dict[str, Cell]
    facts: list[list[str]]
    superseded_by: str
    shared: NotRequired[dict[str, str]]


class PageBoard(TypedDict):
    """One table: a track, a base model and an organism. `intervals` says what the intervals cover, in a sentence."""

    id: str
    track: Track
    model: str
    organism: str
    control: str
    ranked_by: RankedBy
    note: str
    intervals: NotRequired[str]
    columns: list[Column]
    entries: list[PageEntry]


class PageAnswer(TypedDict):
    """One sampled answer. Two answers face each other where board, task, prompt, question and seed agree.

    `aligned` and `coherent` are the judge's, 0 to 100; `persona` is the projection in SDs of the base model.
    """

    board: str
    slug: str
    role: str
    seed: int
    task: str
    task_label: str
    question: str
    answer: str
    finish: str
    aligned: float | None
    coherent: float | None
    persona: float | None
    prompt: str


class Payload(TypedDict):
    """The whole page."""

    title: str
    generated_by: str
    boards: list[PageBoard]
    answers: list[PageAnswer]
