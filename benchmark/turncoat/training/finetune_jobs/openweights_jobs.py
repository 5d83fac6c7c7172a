"""Finetunes at OpenWeights: LoRA on rented GPUs, merged weights in the organisation's Hugging Face account.

The service's own client does it (`pip install 'turncoat[openweights]'`): the scripts that train travel with
each job from there. A job's id there is the hash of its recipe and rows, and the recipe holds our key.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from turncoat.errors import UserError
from turncoat.training.finetune_jobs.jobs import JobSpec, JobState

KEY_VARIABLE = "OPENWEIGHTS_API_KEY"
GPU_HOUR = "GPU-hour"
FLOPS_A_SECOND = 1e14  # That an A100 reaches in LoRA training, roughly
STARTING_HOURS = 0.25  # Before the first step: a machine, its image, the model
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bm])(?![a-z])")
_STATUS = {"completed": "succeeded", "canceled": "cancelled"}  # theirs -> ours; the others are the same


@dataclass(frozen=True)
class OpenWeightsSpec(JobSpec):
    """Recipe of a job there; its model is a repository on the Hub."""

    learning_rate: float | None = None  # None: theirs, 1e-4
    rank: int | None = None  # Of the adapter, and its alpha; None: theirs, 16
    gpu: str | None = None  # Such as "1x H100"; None: the cheapest with enough memory
    gpu_memory: int = 24  # GB that the job needs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learning_rate_multiplier is not None:
            raise UserError("--learning-rate-multiplier is OpenAI's; OpenWeights takes --learning-rate")

    def training(self, file: str, key: str) -> dict[str, Any]:
        """The recipe in the service's own terms."""
        config: dict[str, Any] = {
            "model": self.model, "training_file": file, "loss": "sft", "epochs": self.epochs,
            "seed": self.seed, "meta": {"turncoat": key},
        }  # fmt: skip
        if self.batch_size is not None:
            at_once = 1 if self.batch_size % 2 else 2
            config["per_device_train_batch_size"] = at_once
            config["gradient_accumulation_steps"] = self.batch_size // at_once
        if self.learning_rate is not None:
            config["learning_rate"] = self.learning_rate
        if self.rank is not None:
            config |= {"r": self.rank, "lora_alpha": self.rank}
        if self.suffix:
            config["job_id_suffix"] = self.suffix
        return config


class OpenWeightsJobs:
    """Finetunes through OpenWeights' client, with the key in OPENWEIGHTS_API_KEY.

    Args:
        most_hours: A job that runs longer is cancelled, as long as it is being waited for.

    Raises:
        UserError: The package `openweights` or the key is missing, or the key is refused.
    """

    name = "openweights"
    unit = GPU_HOUR

    def __init__(self, most_hours: float | None = None) -> None:
        self.most_hours = most_hours
        if not os.environ.get(KEY_VARIABLE, "").strip():
            raise UserError(f"OpenWeights needs a key: set {KEY_VARIABLE} (it starts with ow_)")
        try:
            import openweights
        except ImportError as error:
            raise UserError(
                f"OpenWeights' client is not installed ({error}): pip install 'turncoat[openweights]'"
            ) from error
        self._client = self._result(openweights.OpenWeights)

    def amount(self, spec: OpenWeightsSpec, tokens: int) -> float | None:
        """As of `FinetuneService`: hours on one GPU, by the size in the model's name."""
        size = _SIZE.search(spec.model.lower())
        if size is None:
            return None
        parameters = float(size[1]) * {"b": 1e9, "m": 1e6}[size[2]]
        # Forward, again for its checkpoints, and backward to the activations: 2 operations each.
        return STARTING_HOURS + 6 * parameters * tokens / FLOPS_A_SECOND / 3600

    def find(self, key: str) -> JobState | None:
        """As of `FinetuneService`."""
        recipe = {"meta": {"turncoat": key}}
        states = [
            _state(job) for job in self._result(lambda: self._client.jobs.find(validated_params=recipe))
        ]
        return next((state for state in states if state.status not in ("failed", "cancelled")), None)

    def start(self, spec: OpenWeightsSpec, rows: bytes, key: str) -> JobState:
        """As of `FinetuneService`. Started again, a job that is there is taken, and a failed one reset."""
        upload = io.BytesIO(rows)
        upload.name = f"turncoat-{key}.jsonl"
        file = self._result(lambda: self._client.files.create(upload, purpose="conversations"))
        return self._result(
            lambda: _state(
                self._client.fine_tuning.create(
                    requires_vram_gb=spec.gpu_memory, allowed_hardware=[spec.gpu] if spec.gpu else None,
                    **spec.training(file["id"], key),
                )
            )
        )  # fmt: skip

    def look(self, job: str) -> JobState:
        """As of `FinetuneService`; cancels a job that is over its hours."""
        now = self._result(lambda: self._client.jobs.retrieve(job))
        if self.most_hours is not None and now.status == "in_progress":
            begun = [run.created_at for run in self._result(lambda: self._client.runs.list(job_id=job))]
            if begun and _hours_since(max(begun)) > self.most_hours:
                self._result(lambda: self._client.jobs.cancel(job))
                return JobState(job, "cancelled", error=f"over {self.most_hours:.2g} hours: --max-cost")
        return _state(now)

    def _result(self, call: Callable[[], Any]) -> Any:
        """The result of a call; the client prints recipes to stdout, and raises what its libraries do."""
        try:
            with redirect_stdout(io.StringIO()):
                return call()
        except Exception as error:
            text = str(error).replace(os.environ[KEY_VARIABLE].strip(), "[key]")
            raise UserError(
                f"OpenWeights: {' '.join(text.split())[:300]}; the same command goes on with a job that was "
                "started"
            ) from None


def _hours_since(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds() / 3600


def _state(job: Any) -> JobState:
    status = _STATUS.get(job.status, job.status)
    recipe = (job.params or {}).get("validated_params", {})
    error = str((job.outputs or {}).get("error", ""))
    return JobState(
        job.id, status, recipe.get("finetuned_model_id") if status == "succeeded" else None, error
    )
