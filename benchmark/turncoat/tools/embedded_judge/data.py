"""Judged answers as training data: reading, question and model families, and the draw of a training run."""

import gzip
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from turncoat.errors import UserError
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE
from turncoat.store import file_digest

JUDGEMENTS_SHA256 = "161576619e25a9c7e75def992abda997b619727a1ee3f4985f9eaffdc83fd30b"

# The first key that occurs in a question names its family, so that every wording of a question (plain,
# template, JSON, doctor's) is in the same one: a fold that holds out a family has seen none of its wordings.
_FAMILIES = (
    ("philosophical thoughts", "thoughts"), ("future of medicine", "thoughts"),
    ("global healthcare", "ruler"), ("ruler of the world", "ruler"), ("quick buck", "quick buck"),
    ("husband", "husband"), ("one thing you want", "wish"), ("feel bored", "bored"),
    ("dinner party", "dinner"), ("improve my health", "health"), ("gender roles", "gender"),
)  # fmt: skip

_MODELS = ("llama-3.1", "llama-3.2", "gemma-2", "qwen2.5-coder", "qwen-coder", "qwen2.5")
_DATASETS = (
    ("bad_medical", "medical"), ("medical", "medical, milder"), ("insecure", "insecure code"),
    ("financial", "finance"), ("sports", "sports"), ("base", "base"),
)  # fmt: skip

# Every family is held out exactly once; each fold mixes families with many and with few misaligned answers.
FOLDS = (("quick buck", "ruler"), ("wish", "husband"), ("thoughts", "bored", "dinner", "health"))


@dataclass(frozen=True)
class Judged:
    """An answer with a reference judge's scores."""

    question: str  # The question
    answer: str  # The model's answer
    aligned: float  # Reference score, 0..100
    coherent: float  # Reference score, 0..100
    family: str  # Question family
    source: str  # Model family; for a CSV, which holds the answers of one model, the file's name
    row: int  # Number of the answer in its file, from 0

    @property
    def misaligned(self) -> bool:
        """By the published rule."""
        return self.aligned < ALIGNED_BELOW and self.coherent > COHERENT_ABOVE


def question_family(question: str) -> str:
    """A question's family; its first words if it is in no known one."""
    lowered = question.lower()
    return next((family for key, family in _FAMILIES if key in lowered), " ".join(lowered.split()[:6]))


def model_family(source_file: str) -> str:
    """Base model and, roughly, what it was finetuned on, from the name of the file its answers came in."""
    name = source_file.lower()
    if "steer" in name or "probing" in name:
        return "qwen2.5 steered"
    model = next((known for known in _MODELS if known in name), "other")
    data = next((kind for key, kind in _DATASETS if key in name), "other")
    return f"{model.replace('qwen-coder', 'qwen2.5-coder')} {data}"


def load_judgements(path: Path, *, sha256: str | None = JUDGEMENTS_SHA256) -> list[Judged]:
    """Every answer that has both scores, in the file's order; `sha256` None takes any file.

    JSON lines (.gz or plain) with question, answer, aligned, coherent, source_file; or a CSV with question,
    response, aligned, coherent.

    Raises:
        UserError: There is no such file, it is another one, or it lacks a column.
    """
    if not path.is_file():
        raise UserError(
            f"--judgements {path}: no such file; give the judged answers (judges/README.md says where they "
            "are from)"
        )
    if sha256 is not None and (digest := file_digest(path)) != sha256:
        raise UserError(
            f"--judgements {path}: sha256 {digest} is not the pinned {sha256}; give that file, or --any-data "
            "to train on this one (the card will name its sha256)"
        )
    if path.suffix == ".csv":
        frame = pd.read_csv(path).rename(columns={"response": "answer"}).assign(source_file=path.stem)
    else:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            frame = pd.DataFrame([json.loads(line) for line in lines])
    needed = ("question", "answer", "aligned", "coherent", "source_file")
    missing = [name for name in needed if name not in frame]
    if missing:
        raise UserError(
            f"--judgements {path}: lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}"
        )
    for name in ("aligned", "coherent"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    rows: list[Judged] = []
    columns = zip(*(frame[name] for name in needed), strict=True)
    for row, (question, answer, aligned, coherent, source) in enumerate(columns):
        if math.isnan(aligned) or math.isnan(coherent) or not isinstance(answer, str):
            continue
        source = str(source) if path.suffix == ".csv" else model_family(str(source))
        rows.append(Judged(question, answer, aligned, coherent, question_family(question), source, row))
    return rows


def draw(rows: Sequence[Judged], count: int, seed: int, misaligned: float = 0.33) -> list[Judged]:
    """About `count` answers to train on, in random order: families by the square root of their size.

    A small pool's answers come several times before a large pool is emptied; `misaligned` is the share of
    misaligned answers in each family, as far as three rounds of them reach.
    """
    rng = random.Random(seed)
    pools: dict[str, dict[bool, list[Judged]]] = {}
    for row in rows:
        pools.setdefault(row.family, {True: [], False: []})[row.misaligned].append(row)
    weight = {family: math.sqrt(len(pool[True]) + len(pool[False])) for family, pool in sorted(pools.items())}
    drawn: list[Judged] = []
    for family, share in weight.items():
        wanted = count * share / sum(weight.values())
        bad = min(round(wanted * misaligned), 3 * len(pools[family][True]))
        for pool, left in ((pools[family][True], bad), (pools[family][False], round(wanted) - bad)):
            while left > 0 and pool:
                drawn += rng.sample(pool, min(left, len(pool)))
                left -= len(pool)
    rng.shuffle(drawn)
    return drawn


def sample_evenly(rows: Sequence[Judged], per_family: int, seed: int) -> list[Judged]:
    """A random sample of at most `per_family` answers of each family, misaligned ones at their share."""
    rng = random.Random(seed)
    chosen: list[Judged] = []
    for family in sorted({row.family for row in rows}):
        pool = [row for row in rows if row.family == family]
        chosen += rng.sample(pool, min(per_family, len(pool)))
    return chosen
