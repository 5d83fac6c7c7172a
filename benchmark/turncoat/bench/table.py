"""The record of a bench as Markdown: what ran where, rates, ratios, counters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.formats import NA, number, percent, significant
from turncoat.safe_files import read_object

_COUNTERS = ("passes", "prefill_tokens", "decode_tokens", "dead_row_steps")
_HEAD = (
    "", "runs", "median", "min to max", "ours / this", "passes", "prefill tokens", "decode tokens",
    "dead row-steps", "peak MB", "products", "roofline",
)  # fmt: skip


def read_record(path: Path) -> Mapping[str, Any]:
    """A record that `turncoat bench --out` wrote.

    Raises:
        UserError: It is not one.
    """
    record = read_object(path)
    if "turncoat_bench" not in record:
        raise UserError(f"{path}: not a record of `turncoat bench --out FILE`; name one")
    return record


def as_markdown(record: Mapping[str, Any]) -> str:
    """All works as tables, below the machine, the versions and the date."""
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    device = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads"
    quick = "; QUICK: less of each work" if record["quick"] else ""
    stopped = "; STOPPED before its end" if record["stopped"] else ""
    lines = _wrapped(
        f"{record['model']}, {record['dtype']}; {device}; {record['date']}; {versions}; {record['runs']} "
        f"runs of each in turns{quick}{stopped}; {record['model_loads']} model load(s)."
    )
    if peak := record.get("peak"):
        products = "; ".join(
            f"{dtype} " + ", ".join(f"{rows} {significant(value)}" for rows, value in by_rows.items())
            for dtype, by_rows in peak["gflops"].items()
        )
        copied = significant(peak["copy_gb_per_s"])
        text = f"GFLOP/s of its matrix products, by rows: {products}. Copying: {copied} GB/s."
        lines += ["", *_wrapped(text)]
    for work in record["works"]:
        checks = "; ".join(
            f"{one['check']} ({one['compared']}, by at most {significant(one['largest_difference'])})"
            for one in work["equality"]
        )
        title = f"**{work['work']}** {work['title']}, in {work['unit']}/s. Equal: {checks}. {work['note']}"
        lines += ["", *_wrapped(title), "", f"| {' | '.join(_HEAD)} |", f"|---|{'---:|' * (len(_HEAD) - 1)}"]
        lines += [_row(one, work["main"]) for one in work["strategies"]]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def _row(one: Mapping[str, Any], main: str) -> str:
    name = f"{one['name']} ({one['part']})" if one["part"] else one["name"]
    rate, ratio, memory = one["rate"], one["main_over_this"], one["peak_memory_bytes"]
    shares = (one["products_share"], one["roofline_share"])
    cells = [
        f"**{name}**" if one["ours"] else name,
        str(len(one["seconds"])), significant(rate["median"]),
        f"{significant(rate['min'])} to {significant(rate['max'])}",
        "1" if one["name"] == main else number(ratio and ratio["median"], 2),
        *(NA if one[key] is None else f"{one[key]:,}" for key in _COUNTERS),
        NA if memory is None else f"{memory / 1e6:,.0f}",
        *(NA if share is None else f"{percent(share, 0)}%" for share in shares),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"
