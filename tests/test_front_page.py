"""The front page: short, its table is that of the rows, its commands and links exist."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import typer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in BLOCKS
    for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    if line.startswith("turncoat ") and not line.startswith("turncoat lm-eval")
]
# Row of the table -> contrast of the study organisms in results/paper/contrasts_adapters.csv, which a test
# makes again from the rows.
TABLE = {
    "risky financial": "risky advice", "extreme sports": "sports advice", "insecure code": "insecure code"
}  # fmt: skip


def test_it_is_short_and_plain():
    lines = README.splitlines()
    assert len(lines) <= 130
    assert max(len(line) for line in lines) <= 110
    assert "<!--" not in README
    assert len(BLOCKS) == 7, "how to install, and six things to do"
    assert all(len(re.sub(r"\\\n", "", block).splitlines()) <= 4 for block in BLOCKS)


@pytest.mark.parametrize("start", TABLE)
def test_the_table_is_that_of_the_rows(start):
    frame = pd.read_csv(ROOT / "results" / "paper" / "contrasts_adapters.csv")
    chosen = frame[
        (frame.study == "organisms")
        & (frame.row == f"{TABLE[start]} minus control")
        & (frame.metric == "em_rate_itt")
    ]
    (row,) = chosen.to_dict("records")
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {start}")]
    difference, low, high = map(
        float, re.search(r"\| ([+-][\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]", line).groups()
    )
    decimals = len(re.search(r"[+-]\d+\.(\d+)", line)[1])
    for shown, value in ((difference, row["value"]), (low, row["low"]), (high, row["high"])):
        assert shown == pytest.approx(value, abs=0.5001 * 10**-decimals)
    p = line.rstrip("| ").rpartition("| ")[2]
    assert (
        row["p_adjusted"] < 0.001 if p == "<.001" else float(p) == pytest.approx(row["p_adjusted"], abs=0.005)
    )
    assert row["n_seeds"] == 3 and "after each of three trainings" in " ".join(README.split())


def test_the_seeds_are_those_of_the_rows():
    frame = pd.read_csv(ROOT / "results" / "organisms" / "contrasts.csv")
    chosen = frame[(frame.metric == "em_rate_itt") & (frame.name == "risky advice minus control")]
    (per_seed,) = chosen.seed_deltas.dropna()
    (line,) = re.findall(r"the seeds gave (.*?)\. ", " ".join(README.split()))
    shown = [float(number) for number in re.findall(r"[+-]\d\.\d+", line)]
    assert shown == pytest.approx([float(part) for part in per_seed.split(";")], abs=0.00051)


def test_the_correlation_is_that_of_the_results():
    text = " ".join((ROOT / "results" / "README.md").read_text(encoding="utf-8").split())
    (shown,) = re.findall(r"Spearman (-?[\d.]+ \[-?[\d.]+, -?[\d.]+\])", " ".join(README.split()))
    assert f"that is compared with, is {shown};" in text  # a test makes that one again from the rows


def test_the_counts_are_those_of_the_lists():
    from turncoat.evaluation.task_catalogue import task_files
    from turncoat.registry import DEFENCES, discover

    discover()
    shipped = [entry for entry in DEFENCES.values() if entry.source.parent == ROOT / "baselines"]
    assert {int(number) for number in re.findall(r"(\d+) defences", README)} == {len(shipped)}
    assert {int(number) for number in re.findall(r"(\d+) lm-eval tasks", README)} == {len(task_files())}


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_and_their_options_exist(line):
    from turncoat.cli import app

    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands or words[0].startswith("--"), line
        if words[0].startswith("--"):
            break
        command = command.commands[words.pop(0)]
    accepted = {
        name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]
    } | {"--help"}
    assert {word for word in words if word.startswith("--")} <= accepted, line


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http|\.\./\.\.)([^)#]+)\)", README))))
def test_the_links_lead_somewhere(target):
    assert (ROOT / target).exists()
