"""Limits of an entry's files, and the rules by which one is refused: what is allowed, how to fix it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from turncoat.leaderboard.reading.findings import EntryRefused, Finding, shown


@dataclass(frozen=True)
class Limits:
    """Sizes that an entry may have: far above a full track, low enough to check any entry on a laptop.

    A full track of 5 seeds and 5 roles has about 100 files, 40 MB packed and 200 MB unpacked, lines of 40 kB,
    depth 5.
    """

    files: int = 2_000  # folders included
    name_chars: int = 128
    file_bytes: int = 16 * 2**20
    entry_bytes: int = 128 * 2**20
    json_bytes: int = 256 * 2**10
    expanded_file_bytes: int = 64 * 2**20  # once unpacked, as the next
    expanded_entry_bytes: int = 512 * 2**20
    rows: int = 20_000
    line_bytes: int = 2**20
    depth: int = 32  # objects and lists inside one another
    string_chars: int = 100_000  # of a key, too
    integer_digits: int = 20  # 64 bits need 20
    number_size: float = 1e100  # its square and sums of such squares are finite
    findings: int = 20  # of one file, that are reported before reading stops


LIMITS = Limits()

RULES: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text("utf-8"))
"""Rule -> what is `allowed` ({words} are fields of `Limits`) and how to `fix` it."""


def finding(
    rule: str, file: str, limits: Limits, *, row: int | None = None, field: str = "", value: Any = None
) -> Finding:
    """A finding by one of `RULES`.

    Args:
        field: Dotted field, printable already; `file` and `value` are made so here.
    """
    plain = file.isascii() and file.isprintable() and len(file) <= 4 * limits.name_chars
    allowed = RULES[rule]["allowed"].format(**asdict(limits))
    value = "" if value is None else shown(value)
    return Finding(rule, file if plain else shown(file), row, field, value, allowed, RULES[rule]["fix"])


def refused(rule: str, file: str, limits: Limits, **where: Any) -> EntryRefused:
    """An error to raise, with the one finding that `finding` makes of the same arguments."""
    return EntryRefused([finding(rule, file, limits, **where)])
