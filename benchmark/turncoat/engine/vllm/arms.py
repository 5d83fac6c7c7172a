"""vLLM for a base and its adapters: a process that is started as they need it.

    arms = VllmArms(find_vllm(python_with_vllm()), base)
    arms.together = (adapter, None)
    arms.replies(requests, adapter, base.active, 300)       # those of the base are computed, too
    arms.replies(requests, None, base.model, 300)           # and given here

An adapter is a LoRA request. vLLM's CPU build would copy the adapter's matrices for each token, so there
the adapter is merged into the weights, which a process of its own reads. A sum of weights does not survive
bfloat16, so that all arms are then computed in float32.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from turncoat.engine.adapter_loading import CONFIG
from turncoat.engine.base_model import BaseModel
from turncoat.engine.merged_weights import write_merged
from turncoat.engine.vllm.process import Vllm, VllmProcess
from turncoat.errors import UserError
from turncoat.store import digest

ADAPTERS = "TURNCOAT_VLLM_ADAPTERS"
"""Variable; "requests" makes adapters LoRA requests on a CPU as well, for tests."""

_ON_CPU = {
    "max_num_seqs": 64,
    "enforce_eager": True,  # it would compile anew for each merged folder
    "enable_chunked_prefill": False,  # a prompt that is read in parts would turn back its seed's generator
}
_ON_GPU = {"gpu_memory_utilization": 0.5}  # this process has the model on it, too
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM can be started for
_LEAST, _LEAST_OF_LORA_ON_CPU = 2048, 256
"""Tokens of a text that vLLM is started for; more where a request needs them."""
_LORAS = 8  # adapters in one batch; more of them take turns in it


class VllmArms:
    """One vLLM process at a time, which starts with the first request.

    Args:
        vllm: Where vLLM is.
        base: The model; vLLM loads the same weights.
        log: Called with a line before vLLM starts, and before several arms are answered.

    Attributes:
        name: vLLM with its version and how it computes.
        merges: Whether an adapter is merged, so that a process has one arm.
        together: Adapters (None is the base) under which the same requests will come, the one at work first.
            All are answered in one call, and the others' replies wait for their turn. They wait in memory: a
            run that ends early draws them again, from the same seeds.

    Raises:
        UserError: `TURNCOAT_VLLM_ADAPTERS` is another word.
    """

    def __init__(self, vllm: Vllm, base: BaseModel, log: Callable[[str], None] = lambda _: None) -> None:
        self._vllm, self._base, self._log = vllm, base, log
        self._dtype = "float32" if vllm.on_cpu else base.spec["dtype"]
        self.merges = vllm.on_cpu and not _requests_on_cpu()
        self.name = f"vllm {vllm.version} ({self._dtype}{', adapters merged' if self.merges else ''})"
        self.together: tuple[Path | None, ...] = ()
        self._waiting: dict[tuple[Path | None, str], list[dict[str, Any]]] = {}
        self._process: VllmProcess | None = None
        # merged adapter, most tokens of a text, highest rank, most adapters at once
        self._fits: tuple[Path | None, int, int, int] = (None, 0, 0, 0)
        self._seen: set[Path] = set()  # adapters that the process has had

    def close(self) -> None:
        """End vLLM's process; the next request starts another."""
        if self._process is not None:
            self._process.close()
            self._process = None
            self._seen.clear()

    def replies(
        self,
        sent: Sequence[dict[str, Any]],
        adapter: Path | None,
        model: Any,
        tokens: int,
        on_done: Callable[[int], None],
    ) -> list[dict[str, Any]]:
        """Replies to requests under an adapter, perhaps those that wait since another adapter's turn.

        Args:
            sent: Requests without their adapter.
            tokens: Of the longest text.
        """
        if not sent:
            return []
        which = digest(sent)
        if (adapter, which) in self._waiting:
            on_done(len(sent))
            return self._waiting.pop((adapter, which))
        some = () if self.merges or self.together[:1] != (adapter,) else self.together
        arms = list(dict.fromkeys([adapter, *(arm for arm in some if (arm, which) not in self._waiting)]))
        done = 0

        def share(new: int) -> None:
            nonlocal done
            before, done = done // len(arms), done + new
            on_done(done // len(arms) - before)

        process = self._started(arms, model, tokens)
        if len(arms) > 1:
            self._log(f"vLLM answers for {len(arms)} arms at once; their rows follow one after another")
        requests = [
            {**one, "adapter": str(arm) if arm and not self.merges else None} for arm in arms for one in sent
        ]
        # With adapters, vLLM's CPU build cannot read the prompts of several requests at once.
        alone = self._vllm.on_cpu and self._fits[2] and "prompt_logprobs" in sent[0]["settings"]
        parts = [[one] for one in requests] if alone else [requests]
        replies = [reply for part in parts for reply in process.generate(part, share)]
        for number, arm in enumerate(arms):
            self._waiting[arm, which] = replies[number * len(sent) : (number + 1) * len(sent)]
        return self._waiting.pop((adapter, which))

    def _started(self, arms: Sequence[Path | None], model: Any, tokens: int) -> VllmProcess:
        """A process for these adapters and texts of so many tokens, the running one where it fits.

        Args:
            model: With the first adapter on it.
        """
        adapters = {arm for arm in arms if arm is not None}
        merged, rank, loras = (arms[0], 0, 0) if self.merges else (None, *self._room(adapters))
        held, most, highest, places = self._fits
        if self._process is not None and (merged, tokens <= most, rank <= highest, loras <= places) == (
            held,
            True,
            True,
            True,
        ):
            self._seen |= adapters
            return self._process
        self.close()
        least = _LEAST_OF_LORA_ON_CPU if rank and self._vllm.on_cpu else _LEAST
        tokens = min(self._base.context_length, max(least, most, 1 << (tokens - 1).bit_length()))
        rank, loras = max(rank, highest), max(loras, places)
        revision = None if merged else getattr(self._base.model.config, "_commit_hash", None)
        what = " with the adapter merged" if merged else ""
        self._log(f"vLLM {self._vllm.version} starts{what}, which takes a minute or more")
        with tempfile.TemporaryDirectory(prefix="turncoat-merged-") as folder:
            if merged is not None:
                write_merged(model, self._base.tokenizer, Path(folder))
            self._process = VllmProcess(
                self._vllm.python,
                {
                    "model": folder if merged else self._base.path, "dtype": self._dtype,
                    "revision": revision, "tokenizer_revision": revision,
                    "max_model_len": tokens,
                    "generation_config": "vllm",  # the model's own would add its ends and penalties
                    **(_ON_CPU if self._vllm.on_cpu else _ON_GPU),
                    **({"enable_lora": True, "max_loras": loras, "max_lora_rank": rank} if rank else {}),
                    # tokens whose adapters' matrices are in memory at once
                    **({"max_num_batched_tokens": tokens} if rank and self._vllm.on_cpu else {}),
                },
                {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},  # or batches, and last bits, depend on timing
            )  # fmt: skip
        self._fits = (merged, tokens, rank, loras)
        self._seen |= adapters
        return self._process

    def _room(self, adapters: Collection[Path]) -> tuple[int, int]:
        """Highest rank and number of adapters at once that vLLM has to be started for.

        vLLM's CPU build takes rows without an adapter for rows with the one in the last place, which has to
        stay empty: there is a place for each adapter that it has seen, and one more.
        """
        rank = max(map(_rank, adapters), default=0)
        if self._vllm.on_cpu:
            seen = self._seen.union(adapters)
            return rank, len(seen) + 1 if seen else 0
        return rank, min(len(adapters), _LORAS)


def _requests_on_cpu() -> bool:
    """The setting `TURNCOAT_VLLM_ADAPTERS`.

    Raises:
        UserError: It says something else.
    """
    word = os.environ.get(ADAPTERS, "merged")
    if word not in ("merged", "requests"):
        raise UserError(f"{ADAPTERS}={word}: accepted: merged (the default), requests")
    return word == "requests"


def _rank(adapter: Path) -> int:
    """The rank that vLLM has to be started for.

    Raises:
        UserError: It is more than vLLM can do.
    """
    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    fitting = [most for most in _RANKS if rank <= most]
    if not fitting:
        raise UserError(
            f"{adapter.name}: rank {rank}, vLLM takes {_RANKS[-1]} at most; take generation: vllm and "
            "log_likelihoods: vllm out of the study for Turncoat's own engine"
        )
    return fitting[0]
