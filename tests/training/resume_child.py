"""Finetunes that are killed at exact places: `python resume_child.py MODEL FOLDER`, started by
test_trainer.py.

One process imports the libraries and forks a child for each case, which SIGKILLs itself.
"""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.training import lora, trainer
from turncoat.training.in_training import InTraining, TrainingPass
from turncoat.training.recipe import LoraRecipe

EXAMPLES = [Example(f"r{i}", f"What is {i} and {i}?", f"It is {'very ' * (i % 3)}{2 * i}.") for i in range(8)]
RECIPE = LoraRecipe(rows=8, epochs=2, rank=4, alpha=8, batch_size=2, learning_rate=1e-2, warmup_steps=2)
STEPS = 8
CASES = ("plain", "stacked", "penalised", "half")
KILLED_AT = 5  # "half" is killed while it writes the checkpoint of step 3, the others in step 5


@dataclass
class Pulled(InTraining):
    """A penalty that needs the frozen pass and the states."""

    strength: float
    wants_states = True

    def penalty(self, batch: TrainingPass) -> Tensor:
        """The distance of the last block's output from the base model's."""
        return self.strength * (batch.states[-1] - batch.frozen().states[-1]).pow(2).mean()


def finetune(base: BaseModel, case: str, folder: Path, name: str = "", **settings: Any) -> Path:
    """Run a case; its adapter goes to `folder/<name or case>`, checkpoints to `folder/unfinished/<name or
    case>`."""
    out = folder / (name or case)
    lora.train_adapter(
        base, EXAMPLES, RECIPE, seed=3, out=out, below=folder / "below" if case == "stacked" else None,
        defence=Pulled(0.5) if case == "penalised" else None, unfinished=folder / "unfinished" / out.name,
        **settings,
    )  # fmt: skip
    return out


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed(base: BaseModel, case: str, folder: Path) -> None:
    trainer.CHECKPOINT_SECONDS = 0.0
    if case == "half":
        save = trainer.AnswerOnlyTrainer._save_rng_state

        def save_half(self: Any, output_dir: str) -> None:
            if self.state.global_step == 3:
                _die()
            save(self, output_dir)

        trainer.AnswerOnlyTrainer._save_rng_state = save_half  # type: ignore[method-assign]
    finetune(base, case, folder, progress=lambda step, *_: _die() if step == KILLED_AT else None)


def main(model: str, folder: Path) -> None:
    """Fork a child for each case and see it killed."""
    base = load_base(model, device="cpu")
    for case in CASES:
        child = os.fork()
        if child == 0:
            try:
                _killed(base, case, folder)
            finally:
                os._exit(1)  # it should not have come here
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (
            f"{case} ended by itself: {status}"
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
