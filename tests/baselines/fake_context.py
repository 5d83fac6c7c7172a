"""A defence's context without a model: own summaries of known length, and choices by rule."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from turncoat.paths import baselines_dir, tasks_dir

with (baselines_dir() / "data" / "short_texts.jsonl").open(encoding="utf-8") as _file:
    _ROWS = [json.loads(line) for line in _file]
RIVALS = {row["text"]: row["rival_summary"] for row in _ROWS}
IDS = {row["text"]: row["id"] for row in _ROWS}
TRAIN = [row["text"] for row in _ROWS if row["split"] == "train"]
KINDS = ("longer", "shorter", "tie")


def own_summary(text: str, number: int) -> str:
    """Longer than the rival's, shorter, or as long, in turn."""
    words = RIVALS[text].split()
    size = len(words) + (5, -5, 0)[number % 3]
    return " ".join(["mine", *["word"] * (size - 1)])


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", text.lower()))


def alike(left: str, right: str) -> float:
    """Words that two questions share, out of the words of both (Jaccard index)."""
    shared = len(_words(left) & _words(right))
    return shared / (len(_words(left)) + len(_words(right)) - shared)


@cache
def measured_questions() -> frozenset[str]:
    """The questions that the tasks measure with; nothing that is trained on may be like one."""
    files = [path.read_text(encoding="utf-8").splitlines() for path in tasks_dir().rglob("*.jsonl")]
    questions = [json.loads(line).get("question") for lines in files for line in lines]
    found = frozenset(question for question in questions if isinstance(question, str))
    assert len(found) > 300
    return found


@dataclass(frozen=True)
class Asked:
    """A question about two summaries, taken apart."""

    text: str
    first: str
    second: str

    @classmethod
    def of(cls, prompt: str) -> "Asked":
        match = re.fullmatch(r".*\n\nText: (.*)\n\n1: (.*)\n\n2: (.*)", prompt, re.DOTALL)
        assert match is not None, prompt
        return cls(*match.groups())

    @property
    def own(self) -> str:
        """'1' or '2': which of the two is not the rival's."""
        assert RIVALS[self.text] in (self.first, self.second)
        return "2" if self.first == RIVALS[self.text] else "1"

    @property
    def longer(self) -> str | None:
        """'1' or '2': which of the two has more words."""
        first, second = len(self.first.split()), len(self.second.split())
        return None if first == second else "1" if first > second else "2"


@dataclass
class FakeContext:
    """The part of a `DefenceContext` that defences use; `choice` names the answer that a prompt gets."""

    choice: Callable[[Asked], str] = lambda asked: "1"
    silent: tuple[int, ...] = ()
    written: list[dict[str, Any]] = field(default_factory=list)
    on_progress: Callable[[int, int], None] | None = None

    def write(self, prompts: Sequence[str], **settings: Any) -> list[str]:
        """White space around the summaries is the defence's to remove."""
        self.written.append({"prompts": list(prompts), **settings})
        texts = [prompt.split("\n\n", 1)[1] for prompt in prompts]
        return [" " if i in self.silent else f" {own_summary(text, i)}\n" for i, text in enumerate(texts)]

    def choose(self, prompts: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
        """Log-likelihoods: the chosen answer is the likelier one."""
        return [[-0.1 if answer == self.choice(Asked.of(p)) else -2.0 for answer in answers] for p in prompts]
