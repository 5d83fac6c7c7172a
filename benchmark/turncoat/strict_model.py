"""Base of the pydantic models that read files: unknown keys are refused, values never change."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A model without unknown keys whose fields cannot be set again."""

    model_config = ConfigDict(extra="forbid", frozen=True)
