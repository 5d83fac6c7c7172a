"""Bootstrap re-extractions of a persona vector and its unit, from the answers that were sampled for it.

A question is the cluster: a resample takes questions with replacement, each with all its positive, negative
and ordinary answers. The spread of a result over the resamples is the error that comes from having extracted
with these questions and answers; the system prompts stay the same in all of them.

Source: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 3.8 (resampling of
clusters).
"""

import torch
from torch import Tensor

from turncoat.persona.answers import Answers
from turncoat.persona.from_texts import discriminant
from turncoat.persona.vectors import Reextractions

RESAMPLES = 20
_LEAST = 3  # different questions with ordinary answers in a resample: of fewer an SD is not a unit
_SEED = 0


def reextract(answers: Answers, layer: int, resamples: int = RESAMPLES) -> Reextractions | None:
    """`resamples` vectors at a layer with the mean and SD of the ordinary answers; equal answers, equal ones.

    None where fewer than three questions have ordinary answers, or no spread is left in one of the resamples.
    """
    questions = list(dict.fromkeys(answer.question for answer in answers.used))
    sums, counts = zip(*(_by_question(answers, side, questions, layer) for side in _SIDES), strict=True)
    ordinary = counts[2] > 0
    if int(ordinary.sum()) < _LEAST:
        return None
    weights = _weights(torch.stack(counts), resamples)
    positive, negative = (weights @ sums[i] / (weights @ counts[i])[:, None] for i in (0, 1))
    directions = torch.nn.functional.normalize(positive - negative, dim=-1)
    times = weights[:, ordinary]
    projected = directions @ (sums[2][ordinary] / counts[2][ordinary, None]).T
    n = times.sum(1)
    mean = (times * projected).sum(1) / n
    sd = ((times * (projected - mean[:, None]) ** 2).sum(1) / (n - 1)).sqrt()
    return Reextractions(directions, mean, sd) if bool((sd > 0).all()) else None


def reextract_texts(states: Tensor, ordinary: Tensor, resamples: int = RESAMPLES) -> Reextractions | None:
    """The same for a vector from texts: pairs are resampled, and the questions of the ordinary answers.

    Args:
        states: (2, pairs, d) of the aligned and the misaligned answers at the layer.
        ordinary: (questions, d) of the base's ordinary answers.
    """
    if len(ordinary) < _LEAST:
        return None
    generator = torch.Generator().manual_seed(_SEED)
    made: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(resamples):
        pairs = torch.randint(states.shape[1], (states.shape[1],), generator=generator)
        direction = discriminant(*states[:, pairs].float())
        drawn = ordinary[torch.randint(len(ordinary), (len(ordinary),), generator=generator)] @ direction
        made.append((direction, drawn.mean(), drawn.std()))
    directions, mean, sd = (torch.stack(column) for column in zip(*made, strict=True))
    return Reextractions(directions, mean, sd) if bool((sd > 0).all()) else None


_SIDES = ("positive", "negative", "ordinary")


def _by_question(answers: Answers, side: str, questions: list[str], layer: int) -> tuple[Tensor, Tensor]:
    """(questions, d) summed activations of a side at the layer, and (questions,) number of its answers."""
    groups: dict[str, list[Tensor]] = {question: [] for question in questions}
    for answer in answers.used:
        if answer.side == side and answer.activation is not None:
            groups[answer.question].append(answer.activation[layer])
    d = next(a.activation.shape[1] for a in answers.used if a.activation is not None)
    sums = [torch.stack(group).sum(0) if group else torch.zeros(d) for group in groups.values()]
    return torch.stack(sums), torch.tensor([float(len(group)) for group in groups.values()])


def _weights(counts: Tensor, resamples: int) -> Tensor:
    """(resamples, questions) how often a resample holds a question; one without a side's answers is redrawn.

    Args:
        counts: (3, questions) answers of each side.
    """
    generator = torch.Generator().manual_seed(_SEED)
    n = counts.shape[1]
    rows: list[Tensor] = []
    while len(rows) < resamples:
        drawn = torch.bincount(torch.randint(n, (n,), generator=generator), minlength=n)
        there = ((counts > 0) & (drawn > 0)).sum(1)
        if bool((there >= torch.tensor([1, 1, _LEAST])).all()):
            rows.append(drawn.float())
    return torch.stack(rows)
