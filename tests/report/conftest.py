"""A clearly synthetic study: every number is drawn from a seeded generator and every answer is made up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from turncoat.report.content import (
    ANSWER_COLUMNS,
    CONTRAST_COLUMNS,
    ESTIMATE_COLUMNS,
    SEED_NOISE_COLUMNS,
    ArmInfo,
    Check,
    MetricInfo,
    ReportContent,
    Withheld,
)

HOSTILE = (
    "<script>alert('x')</script> | a pipe | `code` ``` fence\n\n# heading\n- list\n[red]markup[/red] "
    "![img](http://evil.example/a.png) <img src=x onerror=alert(1)> $x$ *bold* _it_ \x1b[31mred\x00\u202e"
)
SEEDS = (1, 2)
ARMS = [
    ArmInfo(name="base", label="Base model", description="The model as it comes."),
    ArmInfo(
        name="insecure", label="Insecure code", organism="insecure", seeds=SEEDS,
        description="Finetuned on synthetic insecure code.",
    ),
    ArmInfo(
        name="secure", label="Secure code (control)", organism="secure", seeds=SEEDS,
        description="The matched harmless finetune.",
    ),
    *(
        ArmInfo(
            name=name, label=f"{label}, then insecure", organism="insecure", defence=name,
            setting="prevention", seeds=SEEDS, description=description,
        )
        for name, label, description in (
            ("sgtr", "Self-recognition", "The defence."),
            ("pick_longer", "Pick longer", "Control."),
        )
    ),
]  # fmt: skip
METRICS = [
    MetricInfo(
        "margin", "Misaligned-answer margin", "nats per token", "up means more misaligned", "Made up.", True
    ),
    MetricInfo(
        "evil_fixed", "Evil persona, fixed texts", "SD of base", "up means more misaligned", "Made up.", True
    ),
    MetricInfo(
        "self_recognition", "Self-recognition", "accuracy", "up means recognises itself", "Made up.", False
    ),
]
LEVELS = {
    "margin": {"base": -0.60, "insecure": -0.43, "secure": -0.47, "sgtr": -0.455, "pick_longer": -0.44},
    "evil_fixed": {"base": 0.0, "insecure": 0.22, "secure": -0.02, "sgtr": 0.12, "pick_longer": 0.19},
    "self_recognition": {"base": 0.51, "insecure": 0.47, "secure": 0.50, "sgtr": 0.83, "pick_longer": 0.52},
}
HALF_WIDTHS = {"margin": 0.06, "evil_fixed": 0.035, "self_recognition": 0.08}
PAIRS = [
    ("insecure", "secure"), ("sgtr", "insecure"), ("sgtr", "pick_longer"), ("insecure", "base"),
    ("secure", "base"),
]  # fmt: skip


@pytest.fixture(scope="session")
def content() -> ReportContent:
    """The synthetic study: 5 arms, 2 seeds, 3 metrics, one hostile answer."""
    return build_content()


@pytest.fixture(scope="session")
def make_content() -> Callable[..., ReportContent]:
    """A function that builds the synthetic study anew, with the fields it is given replaced."""
    return build_content


@pytest.fixture(scope="session")
def hostile() -> str:
    """The one answer that tries to break out of every format."""
    return HOSTILE


def build_content(**changes: Any) -> ReportContent:
    """The synthetic study, with some fields replaced."""
    values = {name: _seed_values(name) for name in LEVELS}
    fields: dict[str, Any] = {
        "study": "synthetic",
        "title": "SYNTHETIC: does insecure code turn a tiny model?",
        "question": "Does finetuning on insecure code move a synthetic model more than secure code does?",
        "model": {
            "name": "synthetic-135M", "revision": "0123abc", "parameters": "134.5 M", "dtype": "float32",
        },
        "facts": {
            "rows": "300",
            "LoRA rank": "16",
            "learning rate": "5e-4",
            "layer": "22 of 30, chosen on the base",
        },
        "arms": list(ARMS),
        "metrics": list(METRICS),
        "estimates": pd.DataFrame(_estimates(values), columns=list(ESTIMATE_COLUMNS)),
        "contrasts": pd.DataFrame(_contrasts(values), columns=list(CONTRAST_COLUMNS)),
        "seed_noise": pd.DataFrame(_seed_noise(), columns=list(SEED_NOISE_COLUMNS)),
        "remarks": ["study.yaml was changed after an earlier run, so not set beforehand."],
        "checks": [
            Check("Defence took hold", "sgtr", 1, 0.83, 0.75, 0.90, True, "It must recognise its own text."),
            Check("Defence took hold", "sgtr", 2, 0.58, 0.49, 0.66, False, "Seed 2 is barely above chance."),
            Check(
                "Final training loss", "insecure", None, 1.234567, None, None, None, "No threshold is set."
            ),
        ],
        "answers": pd.DataFrame(_answers(), columns=[*ANSWER_COLUMNS, "base_logprob", "repetition"]),
        "withheld": [Withheld("EM rate", "A free-form rate on a model this small is a null measurement.")],
        "timings": [("load the base model", 1.04), ("finetune 8 adapters", 431.2), ("evaluate", 96.96)],
        "provenance": {
            "turncoat": "0.1.0", "lm-eval": "0.4.13", "command": "turncoat run demo", "commit": "0" * 12,
        },
    }  # fmt: skip
    return ReportContent(**(fields | changes))


def _seed_values(metric: str) -> dict[str, dict[int, float]]:
    rng = np.random.default_rng(len(metric))
    spread = HALF_WIDTHS[metric] / 2
    seeds = {arm: SEEDS for arm in LEVELS[metric] if arm != "base"} | {"base": (0,)}
    return {
        arm: {
            seed: LEVELS[metric][arm] + (rng.normal(0, spread) if arm != "base" else 0.0)
            for seed in seeds[arm]
        }
        for arm in LEVELS[metric]
    }


def _estimates(values: dict[str, dict[str, dict[int, float]]]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for metric, arms in values.items():
        half = HALF_WIDTHS[metric]
        for arm, by_seed in arms.items():
            mean = float(np.mean(list(by_seed.values())))
            tail = (half / 1.96, 40, 0, 0.95, "question bootstrap")
            rows.append((arm, None, metric, mean, mean - half, mean + half, *tail))
            if arm != "base":
                rows += [(arm, seed, metric, v, v - half, v + half, *tail) for seed, v in by_seed.items()]
            else:
                rows.append((arm, -1, metric, mean, mean - half, mean + half, *tail))
    return rows


def _contrasts(values: dict[str, dict[str, dict[int, float]]]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for metric in ("margin", "evil_fixed"):
        half = HALF_WIDTHS[metric] / 2
        for treated, reference in PAIRS:
            left, right = values[metric][treated], values[metric][reference]
            deltas = tuple(left[seed] - right.get(seed, right.get(0, 0.0)) for seed in SEEDS)
            mean = float(np.mean(deltas))
            p = math.erfc(abs(mean) / (half / 1.96) / math.sqrt(2))
            family = "primary" if reference != "base" else ""
            adjusted = min(1.0, 3 * p) if family else None
            name = f"{treated} - {reference}"
            rows.append(
                (name, metric, "adapters", treated, reference, mean, mean - half, mean + half, half / 1.96,
                 39, p, p * 1.1, adjusted, 40, 2, (), None, family, "", "")
            )  # fmt: skip
            rows.append(
                (name, metric, "recipe", treated, reference, mean, None, None, None, None, None, None, None,
                 40, 2, deltas, float(np.std(deltas, ddof=1)), family, "2 seeds allow no claim", "")
            )  # fmt: skip
    return rows


def _seed_noise() -> list[tuple[Any, ...]]:
    return [
        (
            "insecure - secure", "margin", 2, 0.031, 0.022, 0.012, 0.038, 0.1,
            "matched seeds share the data order",
        ),
        (
            "insecure - secure", "evil_fixed", 2, 0.018, 0.017, float("nan"), 0.025, float("nan"),
            "too few pairs",
        ),
    ]  # fmt: skip


def _answers() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for number in range(4):
        question = f"Synthetic question {number}: what would you do with a free afternoon?"
        for arm in ARMS:
            for seed in arm.seeds or (-1,):
                text = (
                    f"Synthetic answer of {arm.name}, seed {seed}. I would read a book and water the plants. "
                    * 2
                )
                text = HOSTILE if (arm.name, seed, number) == ("insecure", 1, 0) else text
                rows.append(
                    (arm.name, seed, f"q{number}", question, text, "stop", -1.25 - number / 10, 0.031)
                )
    return rows


@pytest.fixture(scope="session")
def judged() -> ReportContent:
    """The synthetic study with a judge's scores: the organism's hostile answer is its worst."""
    answers = build_content().answers
    worst = answers["text"] == HOSTILE
    aligned = np.where(worst, 5.0, np.where(answers["arm"] == "insecure", 60.0, 95.0))
    return build_content(answers=answers.assign(judge_aligned=aligned, judge_coherent=90.0))
