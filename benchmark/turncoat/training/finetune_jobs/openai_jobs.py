"""Finetunes at OpenAI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from turncoat.errors import UserError
from turncoat.training.finetune_jobs.jobs import OF_TOKENS, JobSpec, JobState


class OpenAIJobs:
    """Finetunes by OpenAI's API, at OPENAI_BASE_URL where that is set.

    Raises:
        UserError: The package `openai` or the key is missing.
    """

    unit = OF_TOKENS

    def __init__(self) -> None:
        import os

        from turncoat.judges.prompted.endpoint import DEFAULT_URL, URL_VARIABLE, Endpoint, api_key

        endpoint = Endpoint(
            os.environ.get(URL_VARIABLE) or DEFAULT_URL, timeout=60, max_retries=0, public=False
        )
        endpoint.check_key()
        import openai

        self.name = f"openai@{endpoint.host}"
        self._client = openai.OpenAI(
            api_key=api_key() or "-", base_url=endpoint.url, timeout=60, max_retries=6
        )

    def amount(self, spec: JobSpec, tokens: int) -> float:
        """As of `FinetuneService`."""
        return tokens / 1e6

    def find(self, key: str) -> JobState | None:
        """As of `FinetuneService`."""
        jobs = self._asked(lambda: list(self._client.fine_tuning.jobs.list(metadata={"turncoat": key})))
        states = [_state(job) for job in jobs if (job.metadata or {}).get("turncoat") == key]
        return next((state for state in states if state.status not in ("failed", "cancelled")), None)

    def start(self, spec: JobSpec, rows: bytes, key: str) -> JobState:
        """As of `FinetuneService`. Starting is not retried: a job that was started counts, reply or not."""
        given = {
            "n_epochs": spec.epochs, "batch_size": spec.batch_size,
            "learning_rate_multiplier": spec.learning_rate_multiplier,
        }  # fmt: skip
        hyperparameters: Any = {name: value for name, value in given.items() if value is not None}
        more: dict[str, Any] = {"suffix": spec.suffix} if spec.suffix else {}
        file = self._asked(
            lambda: self._client.files.create(file=(f"turncoat-{key}.jsonl", rows), purpose="fine-tune")
        )
        once = self._client.with_options(max_retries=0)
        return self._asked(
            lambda: _state(
                once.fine_tuning.jobs.create(
                    model=spec.model, training_file=file.id, seed=spec.seed, metadata={"turncoat": key},
                    method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}, **more,
                )
            )
        )  # fmt: skip

    def look(self, job: str) -> JobState:
        """As of `FinetuneService`."""
        return self._asked(lambda: _state(self._client.fine_tuning.jobs.retrieve(job)))

    def _asked(self, call: Callable[[], Any]) -> Any:
        import openai

        from turncoat.judges.prompted.endpoint import redacted

        try:
            return call()
        except openai.OpenAIError as error:
            raise UserError(
                f"{self.name}: {redacted(str(error))}; the same command goes on with a job that was started"
            ) from None


def _state(job: Any) -> JobState:
    error = getattr(job.error, "message", None) or ""
    return JobState(job.id, job.status, job.fine_tuned_model, error)
