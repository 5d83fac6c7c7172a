"""vLLM as a strategy: answers to the same prompts with the same settings; arms as studies measure them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from turncoat.bench.work import Done
from turncoat.engine.base_model import BaseModel
from turncoat.engine.vllm.process import VllmProcess
from turncoat.engine.vllm.sampler import VllmSampler


class VllmAnswers:
    """Draws answers; vLLM is in memory, and has drawn some, inside the `with` block.

    Args:
        python: A Python interpreter that can import vllm.
        base: The model; vLLM loads the same folder.
        prompts: Token ids, one entry an answer.
        tokens: Most tokens of an answer.
    """

    def __init__(self, python: str, base: BaseModel, prompts: list[list[int]], tokens: int) -> None:
        self._python, self._prompts, self._tokens = python, prompts, tokens
        self._arguments = {
            "model": base.path, "dtype": "bfloat16", "max_num_seqs": 64, "max_model_len": 2048,
        }  # fmt: skip
        self._process: Any = None

    def __enter__(self) -> VllmAnswers:
        self._process = VllmProcess(self._python, self._arguments)
        self._draw(10_000, 8)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def __call__(self, turn: int) -> Done:
        """Draw all answers with the seed `turn`."""
        return self._draw(turn, len(self._prompts)), None

    def _draw(self, seed: int, count: int) -> float:
        """Tokens of the answers to the first prompts, without ends of texts."""
        requests = [
            {
                "prompt": prompt, "adapter": None,
                # A seed for each request, or equal prompts would get equal answers.
                "settings": {
                    "temperature": 1.0, "max_tokens": self._tokens, "seed": seed * 100_000 + number
                },
            }
            for number, prompt in enumerate(self._prompts[:count])
        ]  # fmt: skip
        answers = self._process.generate(requests)
        return float(sum(len(one["tokens"]) - one["stopped"] for one in answers))


class VllmArmsRun:
    """A run of arms by the vLLM of studies, which ends with the `with` block.

    Inside it vLLM is in memory and has made one run, unless it starts for each arm's merged weights: then its
    starts are part of each run.
    """

    def __init__(self, sampler: VllmSampler, run: Callable[[int], Done]) -> None:
        self._sampler, self._run = sampler, run

    def __enter__(self) -> VllmArmsRun:
        if not self._sampler.arms.merges:
            self._run(10_000)
        return self

    def __exit__(self, *_: object) -> None:
        self._sampler.close()

    def __call__(self, turn: int) -> Done:
        """Measure all arms, with answers of their own for each turn."""
        return self._run(turn)
