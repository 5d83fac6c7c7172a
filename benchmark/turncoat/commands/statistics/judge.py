"""`turncoat judge`: saved answers scored again, without generating."""

import json
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import By, IncludePath, ScoreMax, check_replaces, plug_ins, scale_top
from turncoat.commands.printing import note
from turncoat.commands.statistics.judge_tables import print_rescored
from turncoat.errors import UserError
from turncoat.formats import counted
from turncoat.paths import cache_dir, existing
from turncoat.shown_text import TextConsole

_FEW = 100  # answers of a card: error rates from fewer have wide intervals


def judge(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_FILE",
            help="A run or lm_eval output folder, a samples_*.jsonl, or a CSV or JSONL of answers.",
        ),
    ],
    judge_name: Annotated[
        str | None,
        typer.Option("--judge", help="NAME or NAME:key=value,...; default $TURNCOAT_JUDGE, else embedded."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Scored rows: .jsonl, or .csv with formulas defused; also .gz.")
    ] = None,
    write_card: Annotated[
        Path | None,
        typer.Option(help="Write the judge's card here (JSON); the input needs scores to compare."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many answers.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Of a folder, only this task; repeatable.")] = None,
    by: By = None,
    question_column: Annotated[str | None, typer.Option(help="With the question; default: guessed.")] = None,
    answer_column: Annotated[str | None, typer.Option(help="With the answer; default: guessed.")] = None,
    score_max: ScoreMax = None,
    include_path: IncludePath = None,
) -> None:
    """Score saved answers with a judge, without generating. Kill it anywhere: the same command goes on.

    Exit code 1: calls failed, or more than half of the answers got no score; the reason is printed.
    Scores that the input has already (columns as for `turncoat rates`, or another judge's) are compared with.

    Example: turncoat judge runs/demo --judge embedded --out scores.jsonl
    """
    existing(path)
    from turncoat.analysis.answers.answer_table import check_writable, write_table
    from turncoat.analysis.answers.saved_answers import read_answers
    from turncoat.plug_ins import include

    include(include_path or ())
    score_max = scale_top(score_max)
    if out is not None:
        check_writable(out)
        if path.exists() and out.exists() and out.samefile(path):
            raise UserError(f"--out {out} is the input; name another file")
        check_replaces(out, "judge_aligned", "--out")
    if write_card is not None:
        check_replaces(write_card, '"rubric"', "--write-card")
    saved = read_answers(
        path, question_column=question_column, answer_column=answer_column, tasks=tuple(task or ()),
        limit=limit,
    )  # fmt: skip
    from turncoat.analysis.answers.rescore import references, rescore  # heavy: after the table is read
    from turncoat.judges.doubts import doubts
    from turncoat.judges.filter import progress_of
    from turncoat.judges.spec import judge_from_name
    from turncoat.judges.unscored import most_unscored, unscored_lines
    from turncoat.safe_files import write_file

    plug_ins(include_path)
    chosen = judge_from_name(judge_name)
    if chosen is None:
        raise UserError("judging is off (TURNCOAT_JUDGE=off); give --judge, see `turncoat list judges`")
    if write_card is not None:
        _check_card(write_card, path, bool(references(saved.rows, chosen, score_max)))
    answers, questions = len(saved.answers), len(set(saved.clusters))
    note(f"{counted(answers, 'answer')} to {counted(questions, 'question')}; judge {chosen.id}")
    with progress_of(len(saved.answers), "judging") as on_done:
        scored = rescore(saved, chosen, by=tuple(by or ()), score_max=score_max, on_done=on_done)
    if out is not None:
        write_table(out, scored.rows)
    print_rescored(scored, TextConsole())
    if write_card is not None:
        write_file(write_card, json.dumps(scored.card(scored.references[0]), indent=1) + "\n")
        note(f"card: {write_card}")
        if len(saved.answers) < _FEW:
            note(f"the card is made from {counted(answers, 'answer')}: its errors are hardly known", "yellow")
    kept = f"nothing was written (verdicts are kept in {cache_dir()}); add --out scores.jsonl"
    note(f"scored rows: {out}" if out else kept)
    if scored.thinking:
        count = f"{scored.thinking} of {len(scored.rows)} answers hold thoughts"
        note(f"{count} (column thoughts): what follows them is judged")
    for line in (*doubts(scored.verdicts, chosen.id), *unscored_lines(scored.verdicts)):
        note(line)
    if scored.failed or most_unscored(scored.verdicts):
        raise typer.Exit(1)


def _check_card(card: Path, path: Path, comparable: bool) -> None:
    """Refuse before judging where no card could be made or written."""
    if not comparable:
        raise UserError(f"--write-card: {path} has no scores; add columns 'aligned', 'coherent' (0 to 100)")
    if card.is_dir() or not card.absolute().parent.is_dir():
        raise UserError(f"--write-card {card}: name a file in a folder that exists, such as card.json")
