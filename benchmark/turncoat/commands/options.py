"""Command-line options that several commands share, and the reading of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turncoat.commands.printing import note
from turncoat.errors import UserError

if TYPE_CHECKING:
    from turncoat.analysis.answers.arm_rates import Thresholds
    from turncoat.analysis.answers.scored_answers import Columns

IncludePath = Annotated[list[Path] | None, typer.Option(
    "--include-path", exists=True, file_okay=False,  # checked before anything heavy is imported
    help="Folder with tasks, traits, organisms, defences or judges of your own; repeatable.",
)]  # fmt: skip
BaseModelName = Annotated[str, typer.Option(help="A registry model, a Hugging Face id or a local folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line; shares are fractions.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Training seeds with commas, such as 0,1,2.")]
Day = Annotated[str | None, typer.Option("--date", help="Day of the record, YYYY-MM-DD; default: today.")]

By = Annotated[list[str] | None, typer.Option(help="A column that tells arms apart; repeatable.")]
QuestionColumn = Annotated[str | None, typer.Option(help="What tells questions apart; default: guessed.")]
AlignedColumn = Annotated[str | None, typer.Option(help="Alignment scores, 0 to 100; default: guessed.")]
CoherentColumn = Annotated[str | None, typer.Option(help="Coherence scores, 0 to 100; default: guessed.")]
CorrectColumn = Annotated[str | None, typer.Option(help="Right or wrong (1 or 0) instead of scores.")]
ScoreMax = Annotated[float | None, typer.Option(help="Top of the scores' scale, which starts at 0.")]
Card = Annotated[Path | None, typer.Option(help="The judge's card; default: that of the embedded judge.")]
Labels = Annotated[str | None, typer.Option(
    help="Labels of some answers, drawn at random, by people or a better judge: column NAME (1 = misaligned "
    "and coherent, 0 = not) or NAME_aligned and NAME_coherent (0 to 100).",
)]  # fmt: skip
SeedColumn = Annotated[str | None, typer.Option(help="Training seed; default: guessed.")]
Options = Annotated[str, typer.Option(help="Valid answers to right-or-wrong items; any other is invalid.")]
AlignedBelow = Annotated[float, typer.Option(help="Misaligned below this alignment score ...")]
CoherentAbove = Annotated[float, typer.Option(help="... among answers with a coherence above this one.")]
Confidence = Annotated[float, typer.Option(help="Confidence level of the intervals.")]


def plug_ins(folders: Sequence[Path] | None) -> tuple[Path, ...]:
    """Register what `--include-path` brings, before anything is looked up by name, and return the folders.

    Raises:
        UserError: One is not a folder, or a file in it is wrong.
    """
    from turncoat.registry import discover

    if folders:
        names = ", ".join(map(str, folders))
        note(f"--include-path: Python files in {names} run, with all rights of yours", "dim")
    discover(folders or ())
    return tuple(folders or ())


def check_replaces(path: Path, mark: str, option: str) -> None:
    """Refuse to write over a file that another program, or a person, has written.

    Args:
        mark: Text that every file of this kind holds.

    Raises:
        UserError: The file is there, and has no such text.
    """
    from turncoat.text_files import read_text

    if path.is_file() and path.stat().st_size and mark not in read_text(path):
        raise UserError(f"{option} {path}: is there, with something else in it; name another file")


def seed_list(text: str) -> list[int]:
    """The training seeds that `--seeds` names.

    Raises:
        UserError: Something else than whole numbers with commas between them.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds {text!r}: whole numbers with commas are expected, such as 0,1,2") from None


def day(text: str | None) -> str:
    """The day that `--date` names, or today (UTC), as YYYY-MM-DD.

    Raises:
        UserError: The text is not a day.
    """
    if text is None:
        return datetime.now(UTC).date().isoformat()
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UserError(f"--date {text!r}: a day is expected, YYYY-MM-DD, such as 2026-01-31") from None


def columns_of(
    by: list[str] | None, question: str | None, aligned: str | None, coherent: str | None,
    correct: str | None, seed: str | None, options: str, score_max: float | None = None,
    labels: str | None = None,
) -> Columns:  # fmt: skip
    """The column options as one value.

    Raises:
        UserError: Options that exclude each other, or no valid answer at all.
    """
    from turncoat.analysis.answers.scored_answers import Columns

    if correct is not None and (aligned is not None or coherent is not None):
        raise UserError(
            "--correct-column is for right-or-wrong items; leave out --aligned-column and --coherent-column"
        )
    valid = tuple(option.strip() for option in options.split(",") if option.strip())
    if not valid:
        raise UserError(f"--options {options!r}: answers with commas between are expected, such as A,B,C,D")
    top = scale_top(score_max)
    return Columns(tuple(by or ()), question, aligned, coherent, correct, seed, valid, top, labels)


def scale_top(score_max: float | None) -> float | None:
    """`--score-max`, checked.

    Raises:
        UserError: It is not above 0.
    """
    if score_max is not None and not score_max > 0:
        raise UserError(f"--score-max {score_max:g}: the top of the scale is expected, such as 1, 10 or 100")
    return score_max


def thresholds_of(
    aligned_below: float, coherent_above: float, confidence: float, score_max: float | None = None
) -> Thresholds:
    """The thresholds as one value; the confidence level is checked on the way.

    Raises:
        UserError: A threshold is outside 0 to 100 or seems to be on the scores' own scale, or the confidence
            level is outside 0 to 1.
    """
    from turncoat.analysis.answers.arm_rates import Thresholds
    from turncoat.stats.estimates import check_confidence

    for option, value in (("--aligned-below", aligned_below), ("--coherent-above", coherent_above)):
        if not 0 <= value <= 100:
            raise UserError(f"{option} {value:g}: scores run from 0 to 100")
        top = 1.0 if score_max is None else score_max
        if 0 < value < 1 or (0 < value <= top < 100):
            raise UserError(
                f"{option} {value:g}: thresholds are on a scale of 0 to 100 whatever the scores' own is; is "
                f"{option} {100 * value / top:g} meant?"
            )
    check_confidence(confidence)
    return Thresholds(aligned_below, coherent_above)
