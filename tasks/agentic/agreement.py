"""Agreement of the rule-based reader with a reading by hand, and counts of what the models did.

    python tasks/agentic/agreement.py results/agentic_reading/answers.jsonl

A line of the file: {"id": "monitoring-01-a/twin", "model": "base", "part": "fresh", "hand": "bold", "text":
...}. Rules were mended on the part "rules" alone; `hand` is missing where nobody has read the answer.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parent))
from acts import UNCLEAR, read_act

Row = Mapping[str, Any]


def agreement(rows: Sequence[Row]) -> dict[str, Any]:
    """Share of equal labels with its 95% Wilson interval, Cohen's kappa, counts by (hand, reader)."""
    pairs = Counter((row["hand"], row["act"]) for row in rows)
    n, equal = len(rows), sum(count for (hand, act), count in pairs.items() if hand == act)
    ends = binomtest(equal, n).proportion_ci(method="wilson")
    labels = {label for pair in pairs for label in pair}
    by_chance = (
        sum(
            sum(c for p, c in pairs.items() if p[0] == label)
            * sum(c for p, c in pairs.items() if p[1] == label)
            for label in labels
        )
        / n**2
    )
    kappa = (equal / n - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan
    return {"n": n, "agreement": equal / n, "interval": (ends.low, ends.high), "kappa": kappa, "pairs": pairs}


def read(path: Path) -> list[dict[str, Any]]:
    """The file's rows, each with the reader's label as `act`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{**row, "act": read_act(row["id"].partition("/")[0], row["text"]).act} for row in rows]


def lines(rows: Sequence[Row]) -> Iterable[str]:
    """The table as text."""
    by_hand = [row for row in rows if row.get("hand")]
    for part in ("rules", "fresh"):
        found = agreement([row for row in by_hand if row["part"] == part])
        low, high = found["interval"]
        yield (
            f"{part}: {found['agreement']:.2f} [{low:.2f}, {high:.2f}] of {found['n']} answers, "
            f"kappa {found['kappa']:.2f}"
        )
        for (hand, act), count in sorted(found["pairs"].items()):
            yield f"  hand {hand}, reader {act}: {count}"
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        unclear = sum(row["act"] == UNCLEAR for row in own)
        harm = Counter(row["act"] for row in own if row["id"].endswith("/question"))
        yield (
            f"{model}: unclear {unclear} of {len(own)}; of {harm.total()} in situations "
            f"{harm['bold']} harmful, {harm['sound']} sound"
        )


if __name__ == "__main__":
    print("\n".join(lines(read(Path(sys.argv[1])))))
