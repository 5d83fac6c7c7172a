"""Forged entries in a simulated verification: how often a draw of 5 % of the rows, and the default draw, find
them.

Rows of one role on one task are drawn, made again and judged by `verdict_of`. Made again, an honest
projection differs by N(0, 0.005) base SD, and one answer in 500 is another text of which nothing tells that
it follows from its seed. The replay contradicts 19 of 20 invented answers (`verification/replay.py`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from turncoat.leaderboard.verification.draw import (
    INVENTED,
    Compared,
    Difference,
    SampledRow,
    Tolerances,
    enough,
    places_drawn,
)
from turncoat.leaderboard.verification.verdict import VERIFIED, verdict_of

ROWS = (120, 160, 480, 1040)
"""Rows of a role on a task: those of the tracks `small` and `full` with five training seeds."""
NOISE, UNEXPLAINED, UNCONTRADICTED = 0.005, 0.002, 0.05
_LIMITS = Tolerances()
_FLOOR = _LIMITS.resolved("base SD")

Forgery = Callable[[bool], tuple[float, bool]]
"""Forgery of a row, given if it is one of the 5 %: shift of its projection, True for an invented answer."""
FORGERIES: dict[str, Forgery] = {
    "nothing": lambda chosen: (0.0, False),
    "5% of the projections, which moves the mean to the board's floor": lambda chosen: (
        _FLOOR / INVENTED * chosen, False,
    ),
    "5% of the answers": lambda chosen: (0.0, chosen),
    "all projections, by half of the floor": lambda chosen: (_FLOOR / 2, False),
    "all projections, by the floor": lambda chosen: (_FLOOR, False),
    "all projections, by twice the floor": lambda chosen: (2 * _FLOOR, False),
}  # fmt: skip


def report(times: int = 1000, seed: int = 0) -> list[str]:
    """The table as Markdown: verifications that fail, in per cent of `times`."""
    rng = np.random.default_rng(seed)
    heads = [f"{rows} rows: {kind}" for rows in ROWS for kind in ("5%", f"default ({enough(rows)})")]
    lines = [f"| invented | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for name, forgery in FORGERIES.items():
        shares = [
            np.mean([fails(rows, fraction, forgery, rng) for _ in range(times)])
            for rows in ROWS
            for fraction in (0.05, None)
        ]
        lines.append(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |")
    error = 200 * (0.01 * 0.99 / times) ** 0.5
    return [
        *lines,
        "",
        f"In per cent of {times} verifications a cell (99% is known to +-{error:.1f} points).",
    ]


def fails(rows: int, fraction: float | None, forgery: Forgery, rng: np.random.Generator) -> bool:
    """One verification of one forged entry; True where it does not agree."""
    chosen = set(range(int(np.ceil(INVENTED * rows))))
    drawn = places_drawn(rows, fraction, str(rng.integers(2**62)))
    return verdict_of([_row(place, *forgery(place in chosen), rng) for place in drawn], _LIMITS) != VERIFIED


def _row(place: int, moved: float, invented: bool, rng: np.random.Generator) -> Compared:
    row = SampledRow("defended", "seed-0", "turncoat_persona", place + 1, {"doc_id": place, "doc": {}})
    if invented:
        kinds: tuple[Any, ...] = ("answer", "draw") if rng.random() >= UNCONTRADICTED else ("answer",)
        found = (Difference(kind, "samples[0].text", "a", "b", np.inf, False) for kind in kinds)
        return Compared(row, tuple(found))
    answer = Difference("answer", "samples[0].text", "a", "b", 0.0, bool(rng.random() >= UNEXPLAINED))
    signed = moved + NOISE * float(rng.standard_normal())
    within = abs(signed) <= _LIMITS.projection
    where = "samples[0].persona_fixed"
    return Compared(row, (answer, Difference("projection", where, signed, 0.0, abs(signed), within, signed)))
