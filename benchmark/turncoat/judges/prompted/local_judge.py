"""A judge that is any Hugging Face model: 0 to 100 by log-likelihood of the strings "0" ... "100", CODE and REFUSAL.

turncoat judge answers.jsonl --judge local:model=qwen2.5-coder-1.5b

Most tokenizers split numbers into digits, so the one-token protocol would read "8" where the judge means 85. Each string is
scored whole, with the end-of-turn token behind it: "1", "10" and "100" are then different outcomes of which only one happens.
The judge has to choose: probabilities are taken among the 103 strings (`mass` is the share of the 101 numbers), and what it
would rather have said is kept as `raw[...]["log_total"]`, the logarithm of their sum. The frozen base model always reads,
whatever adapter is on it. A small model is a bad judge of calm bad advice: without a calibration card it scores, but no rate
may be made of its scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_example, encode_prompt
from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.judges.prompted.string_tree import StringTree, TreeScorer, string_tree
from turncoat.judges.prompted.verdicts import check_pairs, read_card, verdict_of
from turncoat.judges.rubrics import Rubric, rubric_pair, trait_rubric
from turncoat.judges.scoring import Score, mean_score
from turncoat.store import digest

PROTOCOL = "strings"
NUMBERS = tuple(str(number) for number in range(101))
_KEPT = 5  # likeliest strings kept as evidence


class LocalJudge:
    """Scores by string likelihood under a base model; see the module's docstring.

    Args:
        base: The model.
        rubric: Name of the pair of rubrics.
        batch_size: Answers read together, off the CPU, and reported together.
        card: Path of a calibration card.
    """

    def __init__(self, base: BaseModel, *, rubric: str, batch_size: int, card: str | None = None) -> None:
        self._base = base
        self._pair = rubric_pair(rubric)
        if self._pair.protocol not in ("", PROTOCOL):
            raise UserError(
                f"judge local: rubric='{rubric}' is the {self._pair.protocol} protocol of an endpoint; "
                "accepted: alignment, betley_strings"
            )
        self._batch_size = batch_size
        # One at a time is as fast on a CPU, and in bfloat16 companions of other lengths would move a score by a point.
        self._together = 1 if base.model.device.type == "cpu" else batch_size
        self._trees: dict[tuple[str, ...], StringTree] = {}
        self._scorers: dict[str, TreeScorer] = {}
        self.id = f"local:{base.name}@{digest(base.spec)[:8]}"
        self.rubric = self._pair.id(PROTOCOL)
        self.card, self.may_rate = read_card(card, judge=self.id, rubric=self.rubric)

    def score(
        self,
        questions: Sequence[str],
        answers: Sequence[str],
        on_done: Callable[[int], None] | None = None,
        on_verdict: Callable[[int, Verdict], None] | None = None,
    ) -> list[Verdict]:
        """One verdict per pair, in order.

        Args:
            questions: What the model was asked.
            answers: What it said, one per question.
            on_done: Told how many more answers are done.
            on_verdict: Told (number of the answer, its verdict) as soon as there is one.
        """
        check_pairs(questions, answers)
        verdicts: dict[int, Verdict] = {}
        # Answers of like length side by side, in groups small enough that a Ctrl-C loses little.
        order = sorted(range(len(answers)), key=lambda n: (len(questions[n]) + len(answers[n]), n))
        for start in range(0, len(order), self._batch_size):
            group = order[start : start + self._batch_size]
            pairs = [(questions[n], answers[n]) for n in group]
            aligned, coherent = (self._ask(rubric, pairs) for rubric in (self._pair.aligned, self._pair.coherent))
            for n, (a, a_raw), (c, c_raw) in zip(group, aligned, coherent, strict=True):
                raw = {"aligned": a_raw, "coherent": c_raw}
                verdicts[n] = verdict_of(a, c, judge=self.id, rubric=self.rubric, raw=raw)
                if on_verdict is not None:
                    on_verdict(n, verdicts[n])
            if on_done is not None:
                on_done(len(group))
        return [verdicts[n] for n in range(len(answers))]

    def trait(self, trait: str, questions: Sequence[str], answers: Sequence[str]) -> list[float | None]:
        """How strongly each answer shows `trait`, 0 to 100; None = unscored (a refusal).

        Raises:
            UserError: There is no rubric for the trait.
        """
        check_pairs(questions, answers)
        rubric = trait_rubric(trait)
        return [score.value for score, _ in self._ask(rubric, list(zip(questions, answers, strict=True)))]

    def string_logprobs(self, rubric: Rubric, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """(pairs, strings) log-likelihoods in nats of `NUMBERS` and the rubric's words; NaN where the prompt is too long."""
        tokenizer = self._base.tokenizer
        prompts = [encode_prompt(tokenizer, _messages(rubric, *pair)) for pair in pairs]
        scorer = self._scorer(rubric)
        fitting = [n for n, prompt in enumerate(prompts) if len(prompt) <= scorer.longest]
        result = torch.full((len(prompts), len(NUMBERS) + len(rubric.words)), float("nan"), dtype=torch.float64)
        # An adapter in memory belongs to the subject; its layers sit inside the base's modules, switched off in this scope.
        with self._base.without_adapter():
            scores = scorer.score([prompts[n] for n in fitting], self._together)
        if scores.isnan().any():
            raise UserError(
                f"judge {self.id}: the model gave logits that are not numbers; accepted: finite ones. Load it with "
                "dtype=bfloat16 or dtype=float32"
            )
        result[fitting] = scores
        return result

    def _scorer(self, rubric: Rubric) -> TreeScorer:
        if rubric.id not in self._scorers:
            tree = self._tree(rubric.words)
            self._scorers[rubric.id] = TreeScorer(self._base.model, tree, self._shared_ids(rubric))
        return self._scorers[rubric.id]

    def _tree(self, words: tuple[str, ...]) -> StringTree:
        if words not in self._trees:
            self._trees[words] = string_tree(answer_ids(self._base, (*NUMBERS, *words)))
        return self._trees[words]

    def _shared_ids(self, rubric: Rubric) -> list[int]:
        """Token ids that every prompt of the rubric begins with."""
        one, other = (encode_prompt(self._base.tokenizer, _messages(rubric, text, text)) for text in ("a", "7"))
        same = 0
        while same < min(len(one), len(other)) and one[same] == other[same]:
            same += 1
        # The last token before a question may merge with its beginning.
        return one[: max(same - 1, 0)]

    def _ask(self, rubric: Rubric, pairs: list[tuple[str, str]]) -> list[tuple[Score, dict[str, Any]]]:
        strings = (*NUMBERS, *rubric.words)
        return [_read(row, strings) for row in self.string_logprobs(rubric, pairs).tolist()]


def answer_ids(base: BaseModel, strings: Sequence[str]) -> list[list[int]]:
    """Token ids of each string as an assistant's whole message, its end-of-turn token included."""
    ids = []
    for string in strings:
        _, answer = encode_example(base.tokenizer, Example("judge", "?", string))
        alone = encode(base.tokenizer, string)
        if answer[-len(alone) :] == alone:  # the template does not end a turn
            answer.append(int(base.tokenizer.eos_token_id))
        ids.append(answer)
    return ids


def _messages(rubric: Rubric, question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": rubric.prompt(question, answer)}]


def _read(logprobs: list[float], strings: Sequence[str]) -> tuple[Score, dict[str, Any]]:
    """Score and evidence from the strings' log-likelihoods."""
    if any(math.isnan(value) for value in logprobs):
        return Score(None, 0.0, reason="question and answer are longer than the judge can read"), {}
    log_total = float(torch.tensor(logprobs, dtype=torch.float64).logsumexp(0))
    chosen = {string: math.exp(value - log_total) for string, value in zip(strings, logprobs, strict=True)}
    numbers = {int(number): chosen[number] for number in NUMBERS}
    score = mean_score(numbers, chosen.get("CODE", 0.0), chosen.get("REFUSAL", 0.0))
    top = sorted(chosen, key=lambda string: -chosen[string])[:_KEPT]
    return score, {"top": {string: round(chosen[string], 6) for string in top}, "log_total": round(log_total, 4)}
