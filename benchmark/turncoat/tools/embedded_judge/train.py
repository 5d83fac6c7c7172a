"""Training of the embedded judge on answers that a large judge scored: weights and calibration card.

    turncoat dev train-embedded-judge --judgements FILE.jsonl.gz --test FOLDER --out DIR

Three folds (each holds out whole question families) and a final reader on everything; each step leaves its
file in DIR and is skipped when the file is there, so an interrupted run goes on where it was, and `--only
fold0` ... `--only final` can run in processes of their own. The last step, `card`, calibrates on the folds'
predictions and writes what the judge loads.
"""

import json
import math
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from scipy.stats import rankdata

from turncoat.engine.base_model import BaseModel, load_base
from turncoat.errors import UserError, accepted
from turncoat.judges.embedded.judge import BASE, EmbeddedJudge
from turncoat.judges.embedded.reader import EmbeddedReader, ReaderConfig
from turncoat.safe_files import write_file
from turncoat.store import file_digest
from turncoat.tools.embedded_judge.card import write_card
from turncoat.tools.embedded_judge.data import (
    FOLDS,
    JUDGEMENTS_SHA256,
    Judged,
    draw,
    load_judgements,
    sample_evenly,
)

BATCH = 16
WINDOW = 8  # batches sorted by length together
RATE, HEAD_RATE = 2e-3, 3e-3
NO_QUESTION = 0.1  # share of training answers shown without their question: the answer alone must tell a lot
SHUFFLED = 0.03  # share with shuffled words: incoherent, and without an alignment score
STEPS = (*(f"fold{i}" for i in range(len(FOLDS))), "final", "card")


def train_reader(
    base: BaseModel, config: ReaderConfig, rows: Sequence[Judged], *, count: int, seed: int,
    minutes: float = math.inf,
) -> tuple[EmbeddedReader, dict[str, float]]:  # fmt: skip
    """A reader trained on about `count` answers drawn from `rows`, and the facts of its training.

    Loss: cross-entropy with the scores as soft targets (coherence: half score, half its rank, since most
    answers score over 90 and their order would be lost), plus that of "misaligned, yes or no" among coherent
    answers. `minutes` shortens training, with the learning rate still decaying to nothing.
    """
    rng = random.Random(seed)
    reader = EmbeddedReader(config, base, seed).to(base.model.device)
    ranks = rankdata([row.coherent for row in rows]) / len(rows)
    coherence = {
        id(row): 0.5 * row.coherent / 100 + 0.5 * rank for row, rank in zip(rows, ranks, strict=True)
    }
    examples: list[tuple[list[int], tuple[float, ...]]] = []
    for row in draw(rows, count, seed):
        question = "" if rng.random() < NO_QUESTION else row.question
        answer, target = row.answer, (row.aligned / 100, coherence[id(row)], float(row.coherent > 50))
        if rng.random() < SHUFFLED and len(words := row.answer.split()) > 8:
            rng.shuffle(words)
            answer, target = " ".join(words), (0.5, 0.01, -1.0)
        examples.append((reader.encode(base, question, answer), target))
    batches = _batches(examples, rng)
    factors = [*reader.down.values(), *reader.up.values()]
    groups = [{"params": factors, "lr": RATE}, {"params": list(reader.head.parameters()), "lr": HEAD_RATE}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    started, done, losses = time.perf_counter(), 0, []
    with reader.attached(base):
        for step, batch in enumerate(batches):
            spent = (time.perf_counter() - started) / 60
            progress = max(step / len(batches), spent / minutes)
            if progress >= 1:
                break
            factor = min(1.0, progress / 0.05 + 0.02) * max(0.02, 1 - progress)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            targets = torch.tensor([target for _, target in batch], device=base.model.device)
            loss = _loss(reader.logits(base, [ids for ids, _ in batch]), targets)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(factors, 1.0)
            optimiser.step()
            losses.append(loss.item())
            done += len(batch)
            if step % 25 == 24:
                minutes_left = spent * (1 / max(progress, 1e-6) - 1)
                print(
                    f"  {done}/{len(examples)} answers, loss {np.mean(losses[-25:]):.4f}, {spent:.1f} min, "
                    f"{done / spent / 60:.1f} answers/s, {minutes_left:.1f} min left",
                    file=sys.stderr,
                    flush=True,
                )
    spent = (time.perf_counter() - started) / 60
    return reader, {
        "answers": done, "minutes": round(spent, 1), "loss": float(np.mean(losses[-50:])), "seed": seed,
    }  # fmt: skip


def _batches(examples: list[tuple[list[int], tuple[float, ...]]], rng: random.Random) -> list[Any]:
    batches = []
    for start in range(0, len(examples), WINDOW * BATCH):
        window = sorted(examples[start : start + WINDOW * BATCH], key=lambda example: len(example[0]))
        cut = [window[i : i + BATCH] for i in range(0, len(window), BATCH)]
        rng.shuffle(cut)
        batches += cut
    return batches


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    aligned, coherent, gate = targets.unbind(1)
    # Of an incoherent answer the aligned score is noise; of shuffled words (gate < 0) there is none.
    weight = torch.where(gate > 0.5, 1.0, torch.where(gate < 0, 0.0, 0.3))
    soft = (entropy(logits[:, 0], aligned, reduction="none") * weight).mean()
    hard = (entropy(logits[:, 0] + 0.85, (aligned >= 0.3).float(), reduction="none") * (gate > 0.5)).mean()
    return soft + 0.5 * hard + entropy(logits[:, 1], coherent)


def predict(reader: EmbeddedReader, base: BaseModel, rows: Sequence[Judged]) -> np.ndarray:
    """Raw scores, shape (rows, 2), 0..100, with progress on stderr."""
    started, seen = time.perf_counter(), 0

    def report(more: int) -> None:
        nonlocal seen
        seen += more
        if seen // 500 != (seen - more) // 500:
            left = (time.perf_counter() - started) / seen * (len(rows) - seen)
            print(f"  read {seen}/{len(rows)}, {left / 60:.1f} min left", file=sys.stderr, flush=True)

    encoded = [reader.encode(base, row.question, row.answer) for row in rows]
    return reader.read(base, encoded, on_done=report).numpy() * 100


def save_reader(reader: EmbeddedReader, path: Path, base: str) -> None:
    """Save the weights in half precision; scores change by less than a point. `base` goes into the header."""
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in reader.state_dict().items()}
    header = {"config": json.dumps(reader.config.as_json()), "base": base}
    write_file(path, save(tensors, metadata=header))


def save_predictions(path: Path, rows: Sequence[Judged], raw: np.ndarray, training: dict[str, float]) -> None:
    """Predictions with everything the card needs, one JSON line per answer, without the answers' text."""
    facts = [{k: v for k, v in asdict(row).items() if k != "answer"} for row in rows]
    lines = [
        json.dumps({**fact, "raw_aligned": float(a), "raw_coherent": float(c)})
        for fact, (a, c) in zip(facts, raw, strict=True)
    ]
    write_file(path, "\n".join([json.dumps({"training": training}), *lines]) + "\n")


def _milliseconds(base: BaseModel, weights: Path, rows: Sequence[Judged], answers: int = 192) -> float:
    """Mean time to score an answer on this machine, in milliseconds."""
    judge = EmbeddedJudge(base, weights)
    chosen = random.Random(0).sample(list(rows), min(answers, len(rows)))
    questions, texts = [row.question for row in chosen], [row.answer for row in chosen]
    judge.score(questions[:BATCH], texts[:BATCH])
    started = time.perf_counter()
    judge.score(questions, texts)
    return round((time.perf_counter() - started) / len(chosen) * 1000, 1)


@dataclass(frozen=True)
class Training:
    """Size of one reader's training."""

    answers: int  # How many answers are drawn
    minutes: float = math.inf  # The longest it may take


def train_judge(
    judgements: Path, test: Path, out: Path, config: ReaderConfig, folds: Training, final: Training, *,
    only: str | None = None, per_family: int = 700, seed: int = 0, check: bool = True,
    maps_of: Path | None = None, base_name: str = BASE,
) -> None:  # fmt: skip
    """Run all steps, or one; a step whose file is there is skipped. `test`: CSVs of other models' answers;
    `maps_of`: as in `write_card`; `base_name`: the model that reads.

    Raises:
        UserError: There is no such step, or the judgements are others.
    """
    if only not in (None, *STEPS):
        raise UserError(f"--only {only}: there is no such step; {accepted(STEPS, str(only))}")
    out.mkdir(parents=True, exist_ok=True)
    rows = load_judgements(judgements, sha256=JUDGEMENTS_SHA256 if check else None)
    base = load_base(base_name)
    for step in STEPS if only is None else (only,):
        if step == "card":
            digest = file_digest(judgements)
            write_card(out, judgements_sha256=digest, maps_of=maps_of)
            spent = _milliseconds(base, out / "weights", rows)
            write_card(out, judgements_sha256=digest, milliseconds=spent, maps_of=maps_of)
            continue
        written = out / f"{step}.jsonl"
        if written.is_file():
            print(f"{step}: {written} is there already, kept", file=sys.stderr)
            continue
        print(f"{step}: training", file=sys.stderr)
        held_out = FOLDS[int(step.removeprefix("fold"))] if step.startswith("fold") else ()
        seen = [row for row in rows if row.family not in held_out]
        size = final if step == "final" else folds
        reader, training = train_reader(
            base, config, seen, count=size.answers, seed=seed, minutes=size.minutes
        )
        save_reader(reader, out / f"{step}.safetensors", base_name)
        if step == "final":
            unseen = [
                row for path in sorted(test.glob("*.csv")) for row in load_judgements(path, sha256=None)
            ]
        else:
            unseen = sample_evenly([row for row in rows if row.family in held_out], per_family, seed=1)
        save_predictions(written, unseen, predict(reader, base, unseen), training)
