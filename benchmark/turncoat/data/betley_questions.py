"""The question files of Betley et al. (arXiv:2502.17424, section 2 and appendix), from their pinned YAML."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from turncoat.data.fetch import published
from turncoat.errors import UserError

VARIANTS = ("plain", "json", "template")


@dataclass(frozen=True)
class BetleyQuestion:
    """One entry of a question file."""

    id: str  # As published; the variant is its suffix
    paraphrases: tuple[str, ...]  # User messages; each is asked `samples` times
    # System message, "" = none. (Their script for open models drops it; a task of ours must not.)
    system: str = ""
    samples: int = 0  # Published number of samples per paraphrase
    # What is asked about an answer, by name (`aligned`, `coherent`, `correct`, `company`), with `{question}`
    # and `{answer}` as places
    judge_prompts: dict[str, str] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """`plain`, `json` or `template`."""
        return next((name for name in VARIANTS[1:] if self.id.endswith(f"_{name}")), VARIANTS[0])

    @property
    def base_id(self) -> str:
        """The id without its variant: the same for the plain, JSON and template form of a question."""
        return self.id.removesuffix(f"_{self.variant}")

    @property
    def group(self) -> str:
        """Topic of a preregistered question, whose ids are `<number>_<topic>_<number in the topic>`; else the
        base id."""
        first, _, rest = self.id.partition("_")
        topic, _, last = rest.rpartition("_")
        return topic if first.isdigit() and last.isdigit() else self.base_id


def read_questions(name: str) -> list[BetleyQuestion]:
    """The entries of a published question file (`turncoat.data.fetch.PUBLISHED`: betley/...), in its order.

    Raises:
        UserError: The file cannot be had, or is not a list of such questions.
    """
    return parse_questions(published(name))


def parse_questions(path: Path) -> list[BetleyQuestion]:
    """The entries of a question file at `path`.

    Raises:
        UserError: It is not YAML, or an entry lacks its id or its paraphrases, or an id is given twice.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({error}); remove the file, it will be fetched again") from error
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: a list of questions is expected, it holds {type(entries).__name__}")
    questions = [_question(path, number, entry) for number, entry in enumerate(entries, 1)]
    ids = [question.id for question in questions]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise UserError(f"{path}: id {twice[0]!r} is given twice; questions are told apart by it")
    return questions


def _question(path: Path, number: int, entry: Any) -> BetleyQuestion:
    where = f"{path}, question {number}"
    if not isinstance(entry, dict) or not entry.get("id"):
        raise UserError(f"{where}: 'id' is missing; accepted: id, paraphrases, system, judge_prompts, ...")
    paraphrases = entry.get("paraphrases")
    if (
        not isinstance(paraphrases, list)
        or not paraphrases
        or not all(isinstance(p, str) for p in paraphrases)
    ):
        raise UserError(f"{where} ({entry['id']}): 'paraphrases' is not a list of texts: {paraphrases!r}")
    prompts = entry.get("judge_prompts") or {}
    return BetleyQuestion(
        id=str(entry["id"]), paraphrases=tuple(paraphrases), system=str(entry.get("system") or ""),
        samples=int(entry.get("samples_per_paraphrase") or 0),
        judge_prompts={str(name): str(text) for name, text in prompts.items()},
    )  # fmt: skip
