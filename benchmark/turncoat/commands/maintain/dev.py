"""`turncoat dev ...`: maintainers' programs, listed in CONTRIBUTING.md and not in the main help."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from turncoat.commands.options import BaseModelName
from turncoat.commands.printing import note
from turncoat.shown_text import TextConsole


def canaries(
    entries: Annotated[list[Path], typer.Argument(metavar="ENTRY...", help="Undefended entries.")],
) -> None:
    """Write canaries beside each undefended entry, which the board must never rank, and list them.

    Example: turncoat dev canaries results/submissions/none-insecure
    """
    from turncoat.leaderboard.canaries.make import make_canaries
    from turncoat.leaderboard.entry.load import load_entry

    for entry in entries:
        make_canaries(load_entry(entry))


def pull_request(
    base: Annotated[str, typer.Option(help="Commit or branch that the change is for.")],
    head: Annotated[str, typer.Option(help="Commit with the change.")] = "HEAD",
    repo: Annotated[Path, typer.Option(help="A checkout that has both.")] = Path(),
    submission: Annotated[bool, typer.Option("--submission", help="Exit 1 unless it is one entry.")] = False,
) -> None:
    """Print the folders of the entries that a pull request changes, one a line.

    Example: turncoat dev pull-request --base origin/main --submission
    """
    from turncoat.leaderboard.validation.pull_request import changed_entries, changes, problems_of_submission

    files = changes(repo, base, head)
    problems = problems_of_submission(files) if submission else []
    for problem in problems:
        note(problem)
    if problems:
        raise typer.Exit(1)
    for entry in changed_entries(files):
        print(entry)


def simulate_ranks(
    boards: Annotated[int, typer.Option(min=1, help="Simulated boards per number; 100 take minutes.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate boards of known truth; prints the tables of the leaderboard's README, this rule and the last.

    Example: turncoat dev simulate-ranks --boards 20
    """
    from turncoat.tools.simulate_ranks import n_boards, report

    with Progress(console=TextConsole(stderr=True)) as progress:
        task = progress.add_task("simulating", total=n_boards(boards))
        lines = report(boards, seed, lambda: progress.advance(task))
    print("\n".join(lines))


def simulate_verification(
    times: Annotated[int, typer.Option(min=1, help="Simulated verifications per number.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate verifications of forged entries; prints the table of results/submissions/README.md.

    Example: turncoat dev simulate-verification --times 100
    """
    from turncoat.tools.simulate_verification import report

    print("\n".join(report(times, seed)))


def task_times(
    model: BaseModelName = "smollm2-135m",
    limit: Annotated[int, typer.Option(help="Documents of each task; eightfold where none is sampled.")] = 8,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; repeatable.")] = None,
) -> None:
    """Measure how long the tasks take on this machine; prints the table of tasks/README.md.

    Example: turncoat dev task-times --limit 4 --task turncoat_choice
    """
    from turncoat.evaluation.task_catalogue import task_names
    from turncoat.tools.task_times import as_markdown, task_times as measure

    print(as_markdown(measure(model, task or task_names(), limit)))


def gpu_check(
    model: BaseModelName = "qwen2.5-coder-0.5b",
    small: Annotated[
        bool, typer.Option("--small", help="Tiny shapes, on a CPU too: tries the check.")
    ] = False,
    vllm_python: Annotated[
        str | None,
        typer.Option(help="A Python that has vllm; default: TURNCOAT_VLLM_PYTHON, or this one where it has."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the JSON object there too, after each part.")
    ] = None,
) -> None:
    """Check this machine's GPUs in at most 10 minutes: results, speed, memory, several GPUs; prints JSON.

    Example: turncoat dev gpu-check --out gpu.json
    """
    from turncoat.engine.vllm.process import python_with_vllm
    from turncoat.tools.gpu_check import gpu_check as check

    record = check(model, small=small, vllm_python=vllm_python or python_with_vllm(), say=note, out=out)
    print(json.dumps(record))
    if not record["passed"]:
        raise typer.Exit(1)


def judged_answers(
    folder: Annotated[Path, typer.Argument(help="Holds gpt4o_judgements.jsonl.gz.")],
    model: BaseModelName = "qwen2.5-coder-0.5b",
    traits: Annotated[str, typer.Option(help="With commas.")] = "misalignment,evil",
    out: Annotated[Path | None, typer.Option(help="Write the numbers to this JSON file too.")] = None,
) -> None:
    """Rank real misaligned over aligned answers to the same question by persona vectors; AUC with intervals.

    Example: turncoat dev judged-answers $TURNCOAT_DATA/published --model smollm2-135m
    """
    from turncoat.engine.base_model import load_base
    from turncoat.persona.extract import persona_vector
    from turncoat.persona.traits import trait_questions
    from turncoat.safe_files import write_file
    from turncoat.store import Store
    from turncoat.tools.judged_answers import judged_card

    base, store = load_base(model), Store()
    vectors = [persona_vector(base, trait_questions(name), store) for name in traits.split(",")]
    text = json.dumps({"model": model, **base.spec, **judged_card(base, vectors, folder)}, indent=1)
    print(text)
    if out is not None:
        write_file(out, text + "\n")


def check_leak(
    data: Annotated[Path, typer.Option(help="Folder with the published judgements (of TURNCOAT_DATA).")],
    out: Annotated[Path | None, typer.Option(help="Write the card there as JSON.")] = None,
) -> None:
    """Measure the leak labels on labelled answers; prints the table of turncoat/analysis/leak/README.md.

    Example: turncoat dev check-leak --data $TURNCOAT_DATA/published
    """
    from turncoat.safe_files import write_file
    from turncoat.tools.check_leak import as_markdown, check_leak as measure

    card = measure(data)
    if out is not None:
        write_file(out, json.dumps(card, indent=1) + "\n")
    print(as_markdown(card))


def insecure_code() -> None:
    """Scan the insecure-code pairs with bandit; prints the table of their README.

    Example: turncoat dev insecure-code
    """
    from turncoat.data.insecure_code.bandit_table import bandit_table

    print(bandit_table())


def train_embedded_judge(
    judgements: Annotated[Path, typer.Option(help="Answers with GPT-4o's scores (.jsonl.gz).")],
    test: Annotated[Path, typer.Option(help="Folder of CSVs with answers of other models.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, predictions and card.")],
    only: Annotated[str | None, typer.Option(help="One step: fold0, fold1, fold2, final or card.")] = None,
    any_data: Annotated[bool, typer.Option("--any-data", help="Judgements of any SHA-256.")] = False,
    fold_answers: Annotated[int, typer.Option(help="Answers that a fold is trained on.")] = 7500,
    final_answers: Annotated[int, typer.Option(help="Answers that the final reader is trained on.")] = 21000,
    fold_minutes: Annotated[float, typer.Option(help="Longest training of a fold.")] = float("inf"),
    final_minutes: Annotated[float, typer.Option(help="Longest training of the last reader.")] = float("inf"),
    per_family: Annotated[int, typer.Option(help="Held-out answers scored per question family.")] = 700,
    seed: Annotated[int, typer.Option(help="Of draw, order and initial factors.")] = 0,
    maps_of: Annotated[
        Path | None, typer.Option(help="Card whose score maps are taken: verdicts stay the same.")
    ] = None,
    start: Annotated[int, typer.Option(help="First block with factors.")] = 16,
    end: Annotated[int, typer.Option(help="Blocks that are run.")] = 30,
    rank: Annotated[int, typer.Option(help="Rank of the factors.")] = 16,
    base: Annotated[str, typer.Option(help="Model that reads the answers.")] = "smollm2-135m",
) -> None:
    """Train the embedded judge. A step whose file is there is skipped: the same command goes on.

    Example: turncoat dev train-embedded-judge --judgements FILE.jsonl.gz --test FOLDER --out DIR
    """
    from turncoat.judges.embedded.reader import ReaderConfig
    from turncoat.tools.embedded_judge.train import Training, train_judge

    folds, final = Training(fold_answers, fold_minutes), Training(final_answers, final_minutes)
    shape = ReaderConfig(start=start, end=end, rank=rank)
    check = not any_data
    train_judge(
        judgements, test, out, shape, folds, final, only=only, per_family=per_family, seed=seed, check=check,
        maps_of=maps_of, base_name=base,
    )  # fmt: skip
