"""Table of the weakness classes: pairs and bandit rates, as in the README."""

from collections import defaultdict
from collections.abc import Sequence

from turncoat.data.insecure_code import build_pairs
from turncoat.data.insecure_code.bandit_scan import issues_of
from turncoat.data.insecure_code.template import Pair


def rate_table(
    pairs: Sequence[Pair], insecure: Sequence[frozenset[str]], secure: Sequence[frozenset[str]]
) -> str:
    """Return a Markdown table, one row per CWE and a last row of totals: pairs, held out, shares flagged."""
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for pair, bad, good in zip(pairs, insecure, secure, strict=True):
        for key in (pair.cwe, "all"):
            for column, value in enumerate((1, pair.split == "heldout", bool(bad), bool(good))):
                rows[key][column] += int(value)
    lines = ["| CWE | pairs | held out | insecure flagged | secure flagged |", "|---|---|---|---|---|"]
    for key in sorted(rows, key=lambda name: (name == "all", len(name), name)):
        count, held, bad_count, good_count = rows[key]
        lines.append(f"| {key} | {count} | {held} | {bad_count / count:.1%} | {good_count / count:.1%} |")
    return "\n".join(lines)


def bandit_table() -> str:
    """Return the table of all pairs, measured with the installed bandit (some 5 s)."""
    pairs = build_pairs()
    sources = ([pair.insecure for pair in pairs], [pair.secure for pair in pairs])
    return rate_table(pairs, *map(issues_of, sources))
