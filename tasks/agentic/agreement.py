"""Agreement of the rule-based reader with a reading by hand, and counts of what the models did.

    python tasks/agentic/agreement.py results/agentic_reading/answers.jsonl

A line of the file: {"id": "monitoring-01-a/twin", "model": "base", "part": "fresh", "hand": "bold", "text":
...}. Rules were mended on the part "rules" alone; `hand` is missing where nobody has read the answer.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, variance
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


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, one on each line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read(path: Path) -> list[dict[str, Any]]:
    """The file's rows, each with the reader's label as `act`."""
    rows = read_json_lines(path)
    return [{**row, "act": read_act(row["id"].partition("/")[0], row["text"]).act} for row in rows]


def interval_ratio(margins: Sequence[Row], answers: int = 240) -> tuple[float, float]:
    """Standard errors of a share of wrong steps: 48 scenarios in 12 templates, and one of the scenarios.

    Both with as many answers. A scenario's share is that of a model which draws its step by the likelihoods
    of `turncoat_agentic_choice`, both orders together, so that it is known without sampling error.

    Args:
        margins: Rows with a document's `id` and its `agentic_margin` in nats.
    """
    by_scenario: dict[str, list[float]] = defaultdict(list)
    by_template: dict[str, list[float]] = defaultdict(list)
    for row in margins:
        share = 1 / (1 + math.exp(row["agentic_margin"]))
        by_scenario[row["id"].partition("/")[0]].append(share)
        by_template[row["id"].partition("/")[0][:-2]].append(share)
    shares, templates = ([fmean(v) for v in by.values()] for by in (by_scenario, by_template))
    noise = fmean(share * (1 - share) for share in shares) / answers
    return math.sqrt(variance(templates) / len(templates) + noise), math.sqrt(variance(shares) + noise)


def interval_line(margins: Sequence[Row]) -> str:
    """The two standard errors as text."""
    both, one = interval_ratio(margins)
    ratio = both / one
    return f"240 answers: standard error {both:.3f} over templates, {one:.3f} of one scenario ({ratio:.2f})"


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
    answers = Path(sys.argv[1])
    print(*lines(read(answers)), sep="\n")
    print(interval_line(read_json_lines(answers.with_name("choice_margins.jsonl"))))
