"""The marks in README.md: an invisible comment directly behind numbers says where they come from, so that a test can look.

    +0.076 [0.015, 0.137], p = .026<!--seeds/recipe/organism minus control/persona_fixed#interval,p-->

One grammar, `<!--SOURCE/...#FIELDS-->`; the mark takes as many numbers before it as its fields give values:

    RUN/adapters|recipe/CONTRAST/METRIC#...   results/RUN/contrasts.csv; CONTRAST may be a pattern (`*: SGTR minus none`), then
                                              every field gives a value per contrast. Fields: interval (three numbers; where
                                              no field is named), difference, half (of the interval), p, holm, detectable,
                                              seed-N, cancelled (share of the seed variance that pairing cancels)
    RUN/level/ARM/METRIC                      results/RUN/estimates.csv: value, low, high
    RUN/check/CHECK/ARMS#min,max              run.json's checks over arms and seeds; patterns, ARMS separated by commas
    RUN/kept/ARMS#min,max                     results/RUN/four_axes.csv: share of the narrow behaviour that is kept
    RUN/persona/PATH                          run.json's persona vector; `layer` in the path is the chosen layer
    RUN/report/WORDS                          results/RUN/report.md says these words, `{}` standing for a number
    board/ENTRY/COLUMN#...                    results/leaderboard.csv: change (value, low, high; where no field is named),
                                              minus-base, minus-control (of the board's undefended organism)
    judge/PATH                                the embedded judge's card; judge/megabytes is the size of its weights
    calibration/COLUMN#min,max or #96x3       the first table of stats/README.md: extremes, or questions x seeds

Files that are not themselves rows are made from rows byte for byte (test_committed_runs.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from statistics import variance
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[2]
CARD = ROOT / "benchmark" / "turncoat" / "judges" / "embedded" / "weights"
NUMBER = re.compile(r"(?<!seed )(?<![\w.])<?(?:\+-|[+-])?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+)%?(?![\w.]*\d)")
_MARK = re.compile(r"<!--([^<>]+)-->")
_AFTER = re.compile(r"[\s\]*|)]{0,6}")  # what may stand between a number and its mark
_CODE = re.compile(r"(?:(?<=\n\n)(?: {4}[^\n]*\n|\n(?= {4}))+)|```.*?```|`[^`\n]*`", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """A mark and the numbers that it speaks for.

    Attributes:
        text: What stands between `<!--` and `-->`.
        shown: The numbers as the README prints them, as many as there are values.
        places: (start, end) of each in the prose.
        values: What the committed files say.
    """

    text: str
    shown: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    values: tuple[float, ...]


def prose(text: str) -> str:
    """The text with code and the targets of links blanked out, every place kept."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return re.sub(r"(?<=\])\([^()\s]*\)", blank, _CODE.sub(blank, text))


def marks_of(text: str) -> Iterator[Mark]:
    """The marks of a prose, in order.

    Raises:
        ValueError: A mark has no number directly before it, fewer numbers than values, or is not understood.
    """
    start = 0
    for match in _MARK.finditer(text):
        values = values_of(match[1])
        found = list(NUMBER.finditer(text, start, match.start()))[-len(values) :]
        if len(found) < len(values) or not _AFTER.fullmatch(text, found[-1].end(), match.start()):
            raise ValueError(f"{match[0]}: {len(values)} number(s) expected directly before it")
        yield Mark(match[1], tuple(number[0] for number in found), tuple(number.span() for number in found), values)
        start = match.end()


def agrees(shown: Sequence[str], values: Sequence[float]) -> list[str]:
    """What is wrong: numbers that are not the values rounded to as many places as are printed."""
    times = 100 if any(number.endswith("%") for number in shown) else 1
    wrong = []
    for number, value in zip(shown, values, strict=True):
        plain = number.removeprefix("<").removeprefix("+-").rstrip("%").replace(",", "")
        size = 10 ** -len(plain.partition(".")[2])
        good = (
            times * value < float(plain)
            if number.startswith("<")
            else abs(float(plain) - times * value) < 0.5001 * size
        )
        if not good:
            wrong.append(f"{number} is {times * value:.6g}")
    return wrong


def values_of(mark: str) -> tuple[float, ...]:
    """What the committed files say about a mark.

    Raises:
        ValueError: The mark is not understood, or means nothing.
    """
    where, _, fields = mark.partition("#")
    names = fields.split(",") if fields else []
    parts = where.split("/")
    match parts:
        case ["judge", path]:
            found = [_judge(path)]
        case ["board", entry, column]:
            found = _board(entry, column, names or ["change"])
        case ["calibration", column]:
            found = _calibration(column, names)
        case [run, "adapters" | "recipe" as claim, contrast, metric]:
            found = _contrasts(run, claim, contrast, metric, names or ["interval"])
        case [run, "level", arm, metric]:
            found = _level(run, arm, metric)
        case [run, "check", check, arms]:
            rows = [row for row in record(run)["checks"] if fnmatchcase(row["name"], check) and _fits(row["arm"], arms)]
            found = _extremes([row["value"] for row in rows], names)
        case [run, "kept", arms]:
            axes = table(run, "four_axes")
            rows = axes[(axes["axis"] == "narrow behaviour") & axes["kept"].notna()]
            found = _extremes([row.kept for row in rows.itertuples() if _fits(str(row.arm), arms)], names)
        case [run, "persona", path]:
            vector = record(run)["persona"]
            found = [_at(vector, [str(vector["layer"]) if key == "layer" else key for key in path.split(".")])]
        case [run, "report", words]:
            page = (ROOT / "results" / run / "report.md").read_text(encoding="utf-8")
            told = re.search(re.escape(words).replace(r"\{\}", r"(\d+(?:\.\d+)?)"), page)
            found = [float(number) for number in told.groups()] if told else []
        case _:
            raise ValueError(f"<!--{mark}--> is no mark; {__doc__}")
    if not found:
        raise ValueError(f"<!--{mark}--> means nothing in the committed files")
    return tuple(float(value) for value in found)


@cache
def table(run: str, name: str) -> pd.DataFrame:
    """A CSV file of a committed run."""
    return pd.read_csv(ROOT / "results" / run / f"{name}.csv")


@cache
def record(run: str) -> dict[str, Any]:
    """run.json of a committed run."""
    return json.loads((ROOT / "results" / run / "run.json").read_text(encoding="utf-8"))


def _fits(arm: str, patterns: str) -> bool:
    return any(fnmatchcase(arm, pattern) for pattern in patterns.split(","))


def _at(tree: Any, keys: Sequence[str]) -> float:
    for key in keys:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return float(tree)


def _extremes(values: Sequence[float], names: Sequence[str]) -> list[float]:
    return [{"min": min, "max": max}[name](values) for name in names] if values else []


def _judge(path: str) -> float:
    if path == "megabytes":
        return (CARD / "weights.safetensors").stat().st_size / 1e6
    return _at(json.loads((CARD / "card.json").read_text(encoding="utf-8")), path.split("."))


def _calibration(column: str, names: Sequence[str]) -> list[float]:
    page = (ROOT / "benchmark" / "turncoat" / "stats" / "README.md").read_text(encoding="utf-8")
    lines = page.partition("<!-- calibration: begin -->")[2].partition("Beyond Monte-Carlo error")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    place = cells[0].index(column)
    # in per cent there; a share here, as everywhere else
    shares = {f"{row[0]}x{row[1]}": float(row[place]) / 100 for row in cells[2:]}
    return [shares[name] if name in shares else _extremes(list(shares.values()), [name])[0] for name in names]


def _level(run: str, arm: str, metric: str) -> list[float]:
    levels = table(run, "estimates")
    row = levels[(levels["arm"] == arm) & (levels["metric"] == metric) & levels["seed"].isna()].iloc[0]
    return [row["value"], row["low"], row["high"]]


def _board(entry: str, column: str, names: Sequence[str]) -> list[float]:
    rows = _read_csv(ROOT / "results" / "leaderboard.csv")
    row = rows[(rows["slug"] == entry) & (rows["column"] == column)].iloc[0]
    keys = {"change": ("value", "low", "high")}
    for against in ("base", "control"):
        start = f"organism_minus_{against}"
        keys[f"minus-{against}"] = (start, f"{start}_low", f"{start}_high")
    return [float(row[key]) for name in names for key in keys[name]]


@cache
def _read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def _contrasts(run: str, claim: str, contrast: str, metric: str, names: Sequence[str]) -> list[float]:
    rows = table(run, "contrasts")
    rows = rows[(rows["claim"] == claim) & (rows["metric"] == metric)]
    chosen = [row for row in rows.to_dict("records") if fnmatchcase(row["name"], contrast)]
    return [value for name in names for row in chosen for value in _field(run, row, name)]


def _field(run: str, row: dict[Any, Any], name: str) -> list[float]:
    match name.partition("-"):
        case ("interval", _, _):
            return [row["difference"], row["low"], row["high"]]
        case ("half", _, _):
            return [(row["high"] - row["low"]) / 2]
        case ("seed", _, number):
            return [_deltas(row)[record_seeds(run).index(int(number))]]
        case ("cancelled", _, _):
            levels = table(run, "estimates")
            levels = levels[(levels["metric"] == row["metric"]) & levels["seed"].notna()]
            arms = [list(levels.loc[levels["arm"] == arm, "value"]) for arm in (row["treated"], row["reference"])]
            return [1 - variance(_deltas(row)) / sum(map(variance, arms))]
    return [row[{"p": "p_value", "holm": "p_adjusted", "detectable": "detectable_adjusted"}.get(name, name)]]


def _deltas(row: dict[Any, Any]) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", str(row["seed_deltas"]))]


@cache
def record_seeds(run: str) -> list[int]:
    """The training seeds of a committed run, in the order of its differences."""
    seeds = table(run, "estimates")["seed"].dropna()
    return sorted({int(seed) for seed in seeds})
