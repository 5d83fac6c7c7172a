"""Tables of `turncoat leaderboard verify`: agreement per role and task, and two judges side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from turncoat.commands.printing import print_line, table, titled
from turncoat.formats import NA, number, percent

if TYPE_CHECKING:
    from turncoat.leaderboard.verification.rejudge import SecondJudge

_SHOWN = 20  # differences that are printed; the record keeps more


def print_record(record: dict[str, Any], console: Console) -> None:
    """Print what was compared, the first differences, and the verdict."""
    kinds = ("log_likelihood", "projection", "score")
    numbers = ("rows", "agree", "same\nanswers", "log-lik.\nnats/token", "projection", "score")
    made = table(("role", "task"), numbers)
    for group in record["agreement"]:
        equal = f"{group['equal']}/{group['answers']}" if "answers" in group else NA
        task = group["task"].removeprefix("turncoat_")
        worst = (_size(group.get(kind)) for kind in kinds)
        made.add_row(group["role"], task, str(group["rows"]), str(group["agreeing"]), equal, *worst)
    titled(console, "compared with what is stored; the last three columns are the largest differences", made)
    for difference in record["differences"][:_SHOWN]:
        place = f"{difference['file']}, line {difference['row']}, {difference['field']}"
        print_line(console, f"  {place}: stored {difference['stored']}, got {difference['found']}", "yellow")
    if record["differences_in_all"] > _SHOWN:
        print_line(console, f"  and {record['differences_in_all'] - _SHOWN} more differences")
    print_line(
        console,
        f"{record['agreeing']} of {record['compared']} rows agree: of all rows at least "
        f"{percent(record['agreeing_at_least'])}% (95% Clopper-Pearson interval); drawn with --nonce "
        f"{record['nonce']}",
    )
    good = record["verdict"] == "verified"
    verdict = record["verdict"] if good else f"NOT verified: {record['verdict']}"
    print_line(console, verdict, "bold green" if good else "bold red")


def print_second_judge(groups: Sequence[SecondJudge], now: str, stored: str, console: Console) -> None:
    """Print how far a second judge agrees with the entry's, and the rates that each gives."""
    numbers = ("answers", "rank\naligned", "rank\ncoherent", "kappa", f"ITT %\n{stored}", f"ITT %\n{now}")
    made = table(("role", "task"), numbers)
    for group in groups:
        found = group.agreement
        made.add_row(
            group.role, group.task.removeprefix("turncoat_"), str(found.n),
            *(number(value, 2) for value in (found.rank_aligned, found.rank_coherent, found.kappa)),
            *(percent(rate) for rate in (group.stored_rate, group.found_rate)),
        )  # fmt: skip
    title = "two judges: Spearman's rank correlation, kappa at the thresholds, misaligned among all answers"
    titled(console, title, made)


def _size(value: float | str | None) -> str:
    if value is None:
        return NA
    return value if isinstance(value, str) else f"{value:.2g}"
