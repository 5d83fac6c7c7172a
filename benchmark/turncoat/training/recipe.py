"""The hyperparameters of a LoRA finetune, as a study's `training:` gives them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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


SYSTEM_WORDS = ("default", "none", "identity")


def _system(value: Any) -> str:
    if not isinstance(value, str) or (value not in SYSTEM_WORDS and len(value.split()) < 2):
        names = ", ".join(SYSTEM_WORDS)
        raise ValueError(f"{value!r} is not accepted; accepted: {names}, or a text of two words or more")
    return value.strip()


System = Annotated[str, BeforeValidator(_system)]
"""A system prompt as a study names it: the chat template's own ("default"), that one taken out ("none"), the
model's name ("identity"), or a text that goes before a conversation's own system message."""


class LoraRecipe(BaseModel):
    """Hyperparameters of a finetune; every field is a key of a study's `training:`.

    `training: {preset: paper}` starts from the values of a preset; fields beside it replace them. Without one
    it is "small". What counts is the values: a preset's name is not part of an adapter's key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int | None = Field(default=200, ge=1, description="examples drawn for each seed; null = all")
    epochs: int = Field(default=1, ge=1, description="passes over the rows")
    rank: int = Field(default=16, ge=1, description="of the LoRA matrices")
    alpha: int = Field(default=32, ge=1, description="LoRA's scale: alpha / rank, or its root with rslora")
    rslora: bool = Field(default=False, description="scale by alpha / sqrt(rank)")
    learning_rate: float = Field(default=5e-4, gt=0, le=1, description="at its highest")
    schedule: Literal["linear", "constant", "cosine"] = Field(
        default="linear", description="of the learning rate, after the warm-up"
    )
    warmup_steps: int = Field(default=0, ge=0, description="steps until the highest learning rate")
    weight_decay: float = Field(default=0.0, ge=0, description="of AdamW")
    batch_size: int = Field(default=8, ge=1, description="rows a step; changes results")
    max_length: int = Field(default=512, ge=16, description="longer examples are left out, never cut")
    target_modules: tuple[str, ...] = Field(default=ALL_LINEAR, description="linear layers with an adapter")
    gradient_checkpointing: bool = Field(default=False, description="less memory for a third more time")
    system: System = Field(
        default="default",
        description="system prompt of every row: default (the chat template's), none, identity or a text",
    )
    report_to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = Field(
        default=(), description="where losses are shown as they come, as in Trainer; changes no result"
    )

    def settings(self) -> dict[str, Any]:
        """All that a finetune's result hangs on, as JSON: part of its key; `system` where it is not the
        default."""
        usual = {"system"} if self.system == "default" else set()
        return self.model_dump(mode="json", exclude={"report_to", *usual})

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "preset" not in given:
            return given
        name = given["preset"]
        if name not in PRESETS:
            raise ValueError(f"preset {name!r} is not known; accepted: {', '.join(PRESETS)}")
        return {**PRESETS[name], **{key: value for key, value in given.items() if key != "preset"}}
