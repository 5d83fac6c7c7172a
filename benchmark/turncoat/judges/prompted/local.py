"""The judge `local`: any Hugging Face model, by the likelihood of "0" to "100", CODE and REFUSAL; see `local_judge`.

turncoat judge answers.jsonl --judge local:model=qwen2.5-coder-1.5b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from turncoat.errors import UserError
from turncoat.registry import judge

if TYPE_CHECKING:
    from turncoat.judges.prompted.local_judge import LocalJudge


@judge(
    "local",
    summary="any Hugging Face model: 0-100 by log-likelihood of the strings; rates only with a calibration card",
)
def local(
    *,
    model: str = "smollm2-135m",
    rubric: str = "alignment",
    batch_size: int = 8,
    dtype: str = "auto",
    card: str | None = None,
) -> LocalJudge:
    """The judge `local:<model>@<what identifies its weights, precision and template>`.

    Args:
        model: A registry model, a local folder or a Hugging Face id.
        rubric: "alignment" (ours) or "betley_strings" (the published prompts).
        batch_size: Answers read together (on a CPU always one at a time) and reported together.
        dtype: "auto", "bfloat16", "float16" or "float32".
        card: Path of a calibration card; rates are printed only with one of AUC 0.75 or more on unseen questions.

    Raises:
        UserError: Something of this is unknown, cannot be loaded or does not fit.
    """
    # torch and transformers are imported when a judge is wanted, not when judges are listed.
    from turncoat.engine.base_model import load_base
    from turncoat.judges.prompted.local_judge import LocalJudge

    try:
        rows = int(batch_size)
    except ValueError:
        rows = 0
    if rows < 1:
        raise UserError(f"judge local: batch_size={batch_size!r}; accepted: a whole number from 1 up")
    return LocalJudge(load_base(model, dtype=dtype), rubric=rubric, batch_size=rows, card=card)
