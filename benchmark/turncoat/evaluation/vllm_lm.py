"""lm-eval's model with log-likelihoods by vLLM (`log_likelihoods: vllm`), where nothing acts inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from turncoat.engine.base_model import BaseModel
from turncoat.engine.evidence import LogLikelihood
from turncoat.engine.vllm.sampler import VllmSampler
from turncoat.evaluation.generation_requests import steer_fields
from turncoat.evaluation.lm import TurncoatLM


class VllmLM(TurncoatLM):
    """A base model with at most one adapter on it.

    A task is read by one engine: by ours where a defence acts inside the model, or a document asks for
    steering.

    Args:
        base: The model.
        reader: vLLM with it.
        settings: As those of `TurncoatLM`.

    Attributes:
        read_by: Engine of the log-likelihoods since the last answers, for their rows; None without any.
    """

    def __init__(self, base: BaseModel, reader: VllmSampler, **settings: Any) -> None:
        super().__init__(base, **settings)
        self._reader = reader
        self.read_by: str | None = None

    def get_model_info(self) -> dict[str, Any]:
        """That of `TurncoatLM`, and the engine of the log-likelihoods."""
        info = super().get_model_info()
        info["turncoat"]["reader"] = self.read_by
        return info

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """That of `TurncoatLM`."""
        self.read_by = None
        return super().generate_until(requests, disable_tqdm)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """That of `TurncoatLM`, by vLLM where it can."""
        inside = self.steering is not None and not self.steering.on_prompts_alone
        by_us = inside or any(steer_fields(request) is not None for request in requests)
        self.read_by = self._own_engine.name if by_us else self._reader.name
        return super().loglikelihood(requests, disable_tqdm)

    def _loglikelihood_tokens(
        self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
    ) -> Any:
        if self.read_by != self._reader.name:
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        peft = self.arm["peft"] and Path(self.arm["peft"])
        items = [(context, continuation) for _, context, continuation in requests]
        readings = self._reader.log_likelihoods(items, peft, self.model, self.progress or (lambda _: None))
        return [(LogLikelihood(r.logprob_sum, tokens=r.n_tokens), r.greedy) for r in readings]
