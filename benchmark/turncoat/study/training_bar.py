"""Progress of finetunes outside a study: a bar on standard error as soon as something has to be trained."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from turncoat.shown_text import visible


class TrainingBar:
    """Training steps on standard error: there is a bar as soon as something has to be trained."""

    def __enter__(self) -> TrainingBar:
        self.bar: Any = None
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, text: str) -> None:
        """A line of its own."""
        print(visible(text), file=sys.stderr, flush=True)

    def step(self, step: int, steps: int, loss: float) -> None:
        """One training step is done."""
        if self.bar is None or self.bar.total != steps or step < self.bar.n:
            self.__exit__()
            self.bar = tqdm(total=steps, desc="training", unit="step")
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix_str(f"loss {loss:.2f}")
