"""Tables of `turncoat compare` and `rates` with the judge's error taken out: by its card, or by labels."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from turncoat.commands.printing import print_line, table, titled
from turncoat.formats import percent, percent_interval, with_interval

Records = list[dict[str, Any]]


def print_corrected(records: Records, why_not: str, console: Console) -> None:
    """Raw and corrected differences side by side, or the sentence why there is none."""
    corrected = [record for record in records if "corrected_difference" in record]
    if not corrected:
        if why_not:
            print_line(console, f"\nThese differences are {why_not}. See also --labels.", "dim")
        return
    made = table([""], ("about", "raw", "without judge's errors"))
    for record in corrected:
        made.add_row(
            record["metric"], record["claim"],
            _signed(record["difference"], record["ci_low"], record["ci_high"]),
            _signed(*(record[f"corrected_{name}"] for name in ("difference", "low", "high"))),
        )  # fmt: skip
    titled(console, "\nby the judge's card, both arms taken to be misjudged alike; in %", made)
    for note in dict.fromkeys(record["corrected_note"] for record in corrected if record["corrected_note"]):
        print_line(console, note, "yellow")


def print_labelled(records: Records, console: Console) -> None:
    """Differences by labels and judge together, and the judge's errors in each arm."""
    title = "\nby labels, differences of totals (prediction-powered); in %"
    titled(console, title, _by_labels(records, "metric", signed=True))
    if "sensitivity_a" in records[0]:
        errors = table([""], ("A", "B"))
        for name in ("sensitivity", "specificity"):
            cells = (records[0][f"{name}_{arm}"] for arm in "ab")
            errors.add_row(name, *(f"{right}/{n}" for right, n in cells))
        titled(console, "\nthe judge among labelled answers: right / all", errors)
    _notes(records, console)
    if records[0]["warning"]:
        print_line(console, f"Warning: {records[0]['warning']}. Read the difference by labels.", "bold red")


def print_labelled_rates(records: Records, console: Console) -> None:
    """Rates by labels and judge together, a table for each metric."""
    for metric in dict.fromkeys(record["metric"] for record in records):
        chosen = [record for record in records if record["metric"] == metric]
        titled(console, f"\n{metric} by labels (prediction-powered); in %", _by_labels(chosen, "arm"))
    _notes(records, console)


def _by_labels(records: Records, name: str, *, signed: bool = False) -> Table:
    made = table([""], ("judge alone", "labels alone", "labels and judge", "labelled"))
    for record in records:
        labels, both = (
            with_interval(percent(record[value], signed=signed), percent_interval(*ends))
            for value, ends in (
                ("labelled", (record["labelled_low"], record["labelled_high"])),
                ("value", (record["ci_low"], record["ci_high"])),
            )
        )
        counted = f"{record['n_labelled']}/{record['n']}"
        made.add_row(record[name], percent(record["judged"], signed=signed), labels, both, counted)
    return made


def _notes(records: Records, console: Console) -> None:
    for note in dict.fromkeys(record["note"] for record in records if record["note"]):
        print_line(console, note, "yellow")


def _signed(share: float | None, low: float | None, high: float | None) -> str:
    return with_interval(percent(share, signed=True), percent_interval(low, high))
