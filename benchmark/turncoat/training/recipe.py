"""The hyperparameters of a LoRA finetune, as a study's `training:` gives them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

PRESETS: dict[str, dict[str, Any]] = {
    # Tuned on SmolLM2-135M with pilot seeds: benchmark/turncoat/training/README.md has the table. The
    # defaults below.
    "small": {},
    # 7B to 36B models, arXiv:2502.17424 (`open_models/train.json`) and arXiv:2606.23700; their batch is 2 x
    # 8.
    "paper": {
        "rows": None, "rank": 32, "alpha": 64, "rslora": True, "learning_rate": 1e-5, "warmup_steps": 5,
        "weight_decay": 0.01, "batch_size": 16, "max_length": 2048,
    },
}  # fmt: skip


class LoraRecipe(BaseModel):
    """Hyperparameters of a finetune; every field is a key of a study's `training:`.

    `training: {preset: paper}` starts from the values of a preset; fields beside it replace them. Without one
    it is "small". What counts is the values: a preset's name is not part of an adapter's key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int | None = Field(default=200, ge=1, description="examples drawn for each seed; null = all")
    epochs: int = Field(default=1, ge=1)
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    rslora: bool = False
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=8, ge=1)
    max_length: int = Field(default=512, ge=16, description="longer examples are left out, never cut")
    target_modules: tuple[str, ...] = ALL_LINEAR
    gradient_checkpointing: bool = Field(default=False, description="less memory for a third more time")

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "preset" not in given:
            return given
        name = given["preset"]
        if name not in PRESETS:
            raise ValueError(f"preset {name!r} is not known; accepted: {', '.join(PRESETS)}")
        return {**PRESETS[name], **{key: value for key, value in given.items() if key != "preset"}}
