"""Engine that writes answers: our sampler; `turncoat.engine.vllm.sampler` has another one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from turncoat.engine.decoding.requests import SampleRequest, SampleResult
from turncoat.engine.decoding.sampler import sampler_for


class AnswerEngine:
    """Our sampler; a subclass is another engine.

    Attributes:
        name: For rows, with the version of what is not ours.
        spec: All that determines the answers beside the requests, for keys; our code is in them already.
    """

    name = "turncoat"
    spec: Any = None

    def __init__(self, tokenizer: Any, batch_size: int) -> None:
        self._tokenizer, self._batch_size = tokenizer, batch_size

    def run(
        self,
        requests: Sequence[SampleRequest],
        adapter: Path | None,
        model: Any,
        on_done: Callable[[int], None] = lambda _: None,
        *,
        capture: bool = False,
    ) -> list[SampleResult]:
        """Draw all answers; results in request order.

        Args:
            adapter: Its folder; None is the base itself.
            model: The base with that adapter on it, and what acts inside it.
            on_done: Called with the number of answers that were finished since the last call.
            capture: Whether results carry activations.
        """
        sampler = sampler_for(model, self._tokenizer, self._batch_size, capture=capture)
        return sampler.run(requests, lambda _: on_done(1))
