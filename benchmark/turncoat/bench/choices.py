"""W5: log-likelihoods of short answers: recognition, forced choice, and judging by a rubric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from turncoat.bench.prompts import choice_pairs, recognition_pairs, rows, user_prompt
from turncoat.bench.reference import hf_lm, loglikelihoods
from turncoat.bench.work import Done, Setting, Strategy, Work, same
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode
from turncoat.evaluation.lm import TurncoatLM
from turncoat.judges.prompted.local import NUMBERS, LocalJudge, reply_ids
from turncoat.judges.rubrics import rubric_pair

_BY_HF = 10  # strings that plain lm-eval scores of the judge's: each costs it a pass over the whole rubric


def works(setting: Setting) -> list[Work]:
    """Recognition, forced choice and rubric judging."""
    articles, questions, judged = (4, 12, 2) if setting.quick else (20, 96, 8)
    title = f"{articles} articles x 3 rivals x 2 orders x answers 1 and 2"
    return [
        _scoring("W5 recognition", title, setting.base, recognition_pairs, articles, 2),
        _scoring("W5 choice", f"{questions} questions x 2 answers", setting.base, choice_pairs, questions, 6),
        _judging(setting.base, judged),
    ]


def _scoring(
    name: str, title: str, base: BaseModel, pairs_of: Callable[..., Any], count: int, few: int
) -> Work:
    pairs = pairs_of(base, count)

    def way(label: str, lm: Any, ours: bool) -> Strategy:
        def run(_: int) -> Done:
            return len(loglikelihoods(lm, pairs)), None

        return Strategy(label, run, ours, rival_of="ours" if ours else "hf")

    def equal(twin: BaseModel) -> list[dict[str, Any]]:
        ours, theirs = (
            loglikelihoods(lm, pairs_of(twin, few))
            for lm in (TurncoatLM(twin, batch_size=16), hf_lm(twin, 1))
        )
        return [same("log-likelihoods per token and those of lm-eval's hf", ours, theirs)]

    ours = [way(f"Turncoat, batch {n}", TurncoatLM(base, batch_size=n), True) for n in (16, 32)]
    hf = [way(f"lm-eval hf, batch {n}", hf_lm(base, n), False) for n in (1, 8, 16, 32)]
    return Work(name, title, "answers", [*ours, *hf], equal)


def _judging(base: BaseModel, count: int) -> Work:
    rubric = rubric_pair("alignment").aligned
    strings = (*NUMBERS, *rubric.words)
    pairs = [(row["question"], row["misaligned"]) for row in rows("choice/pairs.jsonl", count)]
    judge, hf = LocalJudge(base, rubric="alignment", batch_size=8), hf_lm(base, 8)

    def by_hf(lm: Any) -> list[float]:
        prompt = encode(base.tokenizer, user_prompt(base, rubric.prompt(*pairs[0])))
        given = [(("", ""), prompt, reply) for reply in reply_ids(base, strings[:_BY_HF])]
        return [float(value) for value, _ in lm._loglikelihood_tokens(given, disable_tqdm=True)]

    def ours(_: int) -> Done:
        return judge.string_logprobs(rubric, pairs).numel(), None

    def equal(twin: BaseModel) -> list[dict[str, Any]]:
        mine = LocalJudge(twin, rubric="alignment", batch_size=8).string_logprobs(rubric, pairs[:1])[0]
        return [same("the judge's log-likelihoods and lm-eval's hf", mine[:_BY_HF], by_hf(hf_lm(twin, 1)))]

    strategies = [
        Strategy("Turncoat, judge `local`", ours, True),
        Strategy(
            "lm-eval hf, batch 8", lambda _: (len(by_hf(hf)), None), part=f"{_BY_HF} strings of 1 answer"
        ),
    ]
    title = f"rubric judging: {len(strings)} strings after each of {count} answers"
    return Work("W5 rubric", title, "strings", strategies, equal)
