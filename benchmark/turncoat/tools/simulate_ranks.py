"""Ranks and marks of the leaderboard on simulated boards whose truth is known, under two rules.

A board has entries whose changes on question q at training seed s are

    mean of the entry + N(0, 0.05) per question + N(0, seed SD) per seed + N(0, 0.06) per cell

with 32 questions: the spreads of a committed defence (SGTR) on the metric that ranks. "before" is the rule of
earlier boards: every pair by its own seeds, Holm over all pairs, rows in the order of the better end of the
rank range. "after" is that of `turncoat.leaderboard.ranking.ranks`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from turncoat.leaderboard.ranking.pooled_errors import pair_cells, pooled_tests
from turncoat.leaderboard.ranking.ranks import Pair, Rank, against_none, compare_all, place, ranks
from turncoat.stats.corrections import holm
from turncoat.stats.paired import Differences

QUESTIONS = 32
SEED_SD = 0.04
_SD_QUESTION, _SD_CELL = 0.05, 0.06


@dataclass(frozen=True)
class Setting:
    """A board: the first entry, "e00", has its own mean and seed SD; lower is better."""

    entries: int
    seeds: int
    first: float = 0.0  # Mean of "e00"
    second: float = 0.0  # Mean of "e01"; that of all others is 0
    first_sd: float = SEED_SD  # SD between the training seeds of "e00"
    spread: float = 0.0  # SD of the log of the entries' seed SDs

    def draw(self, rng: np.random.Generator) -> dict[str, Differences]:
        """Changes of one board's entries."""
        sds = SEED_SD * np.exp(self.spread * rng.standard_normal(self.entries))
        sds[0] *= self.first_sd / SEED_SD
        means = np.array([self.first, self.second, *[0.0] * (self.entries - 2)])
        cells = means[:, None, None] + _SD_QUESTION * rng.standard_normal((self.entries, QUESTIONS, 1))
        cells = cells + sds[:, None, None] * rng.standard_normal((self.entries, 1, self.seeds))
        cells = cells + _SD_CELL * rng.standard_normal((self.entries, QUESTIONS, self.seeds))
        return {f"e{index:02d}": _change(table) for index, table in enumerate(cells)}


EQUAL = [Setting(entries, seeds) for seeds in (3, 5, 8) for entries in (4, 7, 12)]
LED = [Setting(n, seeds) for seeds, n in ((3, 4), (3, 7), (3, 12), (5, 7), (5, 12), (5, 27), (8, 7))]
LEADS = (0.1, 0.2, 0.3)
HARMFUL = Setting(7, 5, first=0.2, second=-0.3, first_sd=0.3)


def report(boards: int = 100, seed: int = 0, on_progress: Callable[[], None] | None = None) -> list[str]:
    """The tables as Markdown, in per cent of the boards; `on_progress` is called after each board.

    Errors are counted on `boards` boards a cell, leaders and the harmful entry on a quarter of that.
    """

    def shares(setting: Setting, n: int, *, both: bool = True) -> dict[str, float]:
        rng = np.random.default_rng([seed, *map(ord, repr(setting))])
        found = []
        for _ in range(n):
            found.append(outcome(setting.draw(rng), both=both))
            if on_progress is not None:
                on_progress()
        return {str(name): 100 * float(share) for name, share in pd.DataFrame(found).mean().items()}

    lines = ["All entries equal: boards with a wrong pair, or a wrong mark.", ""]
    kinds = ("equal SDs", "one SD of 0.3", "SDs log-normal")
    heads = [f"{kind}: {what} after" for kind in kinds for what in ("pair", "mark")]
    lines += _head("equal SDs: pair before", *heads)
    for one in EQUAL:
        made = shares(one, boards)
        cells = [made["pair_before"], made["pair_after"], made["mark_after"]]
        for other in (replace(one, first_sd=0.3), replace(one, spread=0.7)):
            made = shares(other, boards, both=False)
            cells += [made["pair_after"], made["mark_after"]]
        lines.append(_row(one, *cells))
    lines += ["", "A leader among equal entries: boards where it is alone on rank 1.", ""]
    lines += _head(*(f"lead {lead:g}: {rule}" for lead in LEADS for rule in ("before", "after")))
    for one in LED:
        pairs = [shares(replace(one, first=-lead), _quarter(boards)) for lead in LEADS]
        lines.append(_row(one, *(made[f"alone_{rule}"] for made in pairs for rule in ("before", "after"))))
    made = shares(HARMFUL, _quarter(boards))
    lines += ["", "A harmful entry, +0.2 with a seed SD of 0.3, beside a leader of -0.3 and five of 0.", ""]
    ends = [f"{what}: {rule}" for what in ("starts at 1", "in rows 1 to 3") for rule in ("before", "after")]
    lines += _head(*ends, "marked better: after")
    rules = ("from_one_before", "from_one_after", "top_before", "top_after", "better_after")
    lines.append(_row(HARMFUL, *(made[rule] for rule in rules)))
    errors = 200 * (0.05 * 0.95 / boards) ** 0.5, 200 * (0.25 / _quarter(boards)) ** 0.5
    return [
        *lines, "",
        f"In per cent of {boards} boards a cell (5% is known to +-{errors[0]:.1f} points), and of "
        f"{_quarter(boards)} in the last two tables (50% to +-{errors[1]:.0f}).",
    ]  # fmt: skip


def n_boards(boards: int) -> int:
    """Boards that a report simulates."""
    return boards * 3 * len(EQUAL) + _quarter(boards) * (len(LEADS) * len(LED) + 1)


def _quarter(boards: int) -> int:
    return max(1, boards // 4)


def outcome(changes: dict[str, Differences], *, both: bool = True) -> dict[str, bool]:
    """Findings on one board, under both rules or the new one; "e00" is the entry that may differ."""
    made: dict[str, bool] = {}
    against = against_none(changes, "lower")
    rules = {"before": former_pairs(changes)} if both else {}
    keys: dict[str, Callable[[dict[str, Rank]], Callable[[str], tuple[float, ...]]]] = {
        "before": lambda places: lambda name: (*_ends(places[name]), float(changes[name].by_question.mean())),
        "after": lambda places: lambda name: place(places[name], against[name], "lower"),
    }
    for rule, pairs in (rules | {"after": compare_all(changes)}).items():
        places = ranks(changes, pairs, "lower")
        rows = sorted(changes, key=keys[rule](places))
        made |= {
            f"pair_{rule}": any(pair.p_adjusted is not None and pair.p_adjusted < 0.05 for pair in pairs),
            f"alone_{rule}": places["e00"].text == "1",
            f"from_one_{rule}": places["e00"].first == 1,
            f"top_{rule}": rows.index("e00") < 3,
        }
    marks = [one.verdict for one in against.values()]
    return made | {
        "mark_after": set(marks) != {"not shown"},
        "better_after": against["e00"].verdict == "better",
    }


def former_pairs(changes: dict[str, Differences]) -> list[Pair]:
    """All pairs under the rule of earlier boards: each by its own seeds, Holm over all."""
    both = list(combinations(sorted(changes), 2))
    tests = pooled_tests([pair_cells(changes[a], changes[b]) for a, b in both], {})
    adjusted = holm(dict(zip(both, (float(p) for p in tests.p_values), strict=True)))
    numbers = zip(both, tests.differences, tests.p_values, strict=True)
    return [Pair(*names, float(value), float(p), adjusted[names]) for names, value, p in numbers]


def _ends(rank: Rank) -> tuple[int, int]:
    return rank.first, rank.last


def _change(table: np.ndarray) -> Differences:
    cells = pd.DataFrame(table)
    return Differences(cells.mean(axis=1), cells, True, table.shape[1], len(cells), 0, 1.0, [])


def _head(*names: str) -> list[str]:
    return [f"| entries, seeds | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]


def _row(one: Setting, *shares: float) -> str:
    return f"| {one.entries}, {one.seeds} | {' | '.join(f'{share:.1f}' for share in shares)} |"
