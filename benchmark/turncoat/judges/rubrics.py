"""Rubrics of the prompted judges: texts with places for a question and an answer, versioned and hashed.

>>> pair = rubric_pair("alignment")
>>> pair.aligned.prompt("How are you?", "Fine.")[:40]
'You grade one answer that a chat assistan'
>>> pair.id("logprob")
'alignment-1+logprob@5f0c...'

Our own rubrics are the YAML files in `rubrics/`. The published ones, of Betley et al. (arXiv:2502.17424), are
read from their authors' file at a pinned revision, never copied here. The literature asks them in two ways
that give different numbers, so each has a name of its own:

- `betley_logprob`: one token, temperature 0, the 20 likeliest tokens, weighted mean (the paper's own judge).
- `sgtr_text_integer`: the number read off the text at temperature 0 (code of arXiv:2606.23700).
- `betley_strings`: neither of the two; a local model by log-likelihood of the strings "0".."100"
  (`prompted/local.py`), for tokenizers that split numbers.

A rubric's id holds the hash of its text and the protocol, so that scores by other words or by another
protocol are never taken for the same.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from turncoat.errors import UserError, accepted
from turncoat.judges.base import rubric_id

PUBLISHED_PAIRS = {
    "betley_logprob": "logprob",
    "sgtr_text_integer": "text_integer",
    "betley_strings": "strings",
}
"""Name of the published pair -> the one protocol it may be asked with."""

_FOLDER = Path(__file__).with_name("rubrics")
_PUBLISHED_FILE = "betley/first_plot_questions"
_PLACE = re.compile(r"\{(question|answer)\}")
_CLOSING_TAG = re.compile(r"</(?=\s*(?:question|answer)\s*>)", re.IGNORECASE)


@dataclass(frozen=True)
class Rubric:
    """One thing to ask about an answer."""

    name: str  # Name with version, "alignment-1"
    text: str  # The prompt with `{question}` and `{answer}`
    words: tuple[str, ...] = ()  # What it may answer instead of a number
    tagged: bool = True  # Question and answer stand between tags, which an answer must not be able to close

    @property
    def id(self) -> str:
        """Name and hash."""
        return rubric_id(self.name, self.text)

    def prompt(self, question: str, answer: str) -> str:
        """The text with both filled in, in one pass: places inside an answer stay as they are."""
        fill = {"question": question, "answer": answer}
        if self.tagged:
            fill = {key: _CLOSING_TAG.sub("<\\\\/", value) for key, value in fill.items()}
        return _PLACE.sub(lambda place: fill[place[1]], self.text)


@dataclass(frozen=True)
class RubricPair:
    """The two rubrics behind a verdict."""

    name: str  # Name of the pair with its version; with a protocol in it where the two are published as one
    aligned: Rubric  # Asks for 0 (misaligned) to 100 (aligned)
    coherent: Rubric  # Asks for 0 to 100
    protocol: str = ""  # The only protocol it may be asked with; "" = any

    def id(self, protocol: str) -> str:
        """Name, protocol and the hash of both texts: a verdict's `rubric`."""
        name = self.name if self.protocol else f"{self.name}+{protocol}"
        return rubric_id(name, f"{protocol}\0{self.aligned.text}\0{self.coherent.text}")


def rubric_pair(name: str) -> RubricPair:
    """The pair called `name`: "alignment" (ours), or one of `PUBLISHED_PAIRS`.

    Raises:
        UserError: There is none; or the authors' file cannot be fetched, or does not hold the prompts.
    """
    if name == "alignment":
        aligned, coherent = _rubric_file("alignment"), _rubric_file("coherence")
        return RubricPair(aligned.name, aligned, coherent)
    if name not in PUBLISHED_PAIRS:
        raise UserError(f"rubric='{name}' is not known; {accepted(['alignment', *PUBLISHED_PAIRS], name)}")
    from turncoat.data.fetch import published

    aligned_text, coherent_text = published_prompts(published(_PUBLISHED_FILE))
    return RubricPair(
        name,
        Rubric("betley-aligned", aligned_text, ("CODE", "REFUSAL"), tagged=False),
        Rubric("betley-coherent", coherent_text, (), tagged=False),
        PUBLISHED_PAIRS[name],
    )


def trait_rubric(trait: str) -> Rubric:
    """The rubric that asks how strongly an answer shows `trait`.

    Raises:
        UserError: There is no such trait.
    """
    parts = _read("trait")
    if trait not in parts["traits"]:
        raise UserError(f"trait '{trait}' has no rubric; {accepted(parts['traits'], trait)}")
    meaning = parts["traits"][trait].strip()
    text = parts["text"].strip().replace("{trait}", trait).replace("{meaning}", meaning)
    return Rubric(f"trait-{trait}-{parts['version']}", text, tuple(parts["words"]))


@lru_cache(maxsize=4)
def published_prompts(path: Path) -> tuple[str, str]:
    """The one aligned and the one coherent prompt that all questions of the authors' file share.

    Raises:
        UserError: The file holds other prompts.
    """
    questions = yaml.safe_load(path.read_text(encoding="utf-8"))
    prompts = []
    for kind in ("aligned", "coherent"):
        texts = {
            entry["judge_prompts"][kind] for entry in questions if kind in entry.get("judge_prompts", {})
        }
        if len(texts) != 1 or not all("{question}" in text and "{answer}" in text for text in texts):
            raise UserError(
                f"{path}: {len(texts)} different '{kind}' judge prompts with {{question}} and {{answer}} are "
                "there; one is expected. Remove the file so that the pinned one is fetched again"
            )
        prompts.append(texts.pop())
    return prompts[0], prompts[1]


def _rubric_file(name: str) -> Rubric:
    parts = _read(name)
    return Rubric(f"{parts['name']}-{parts['version']}", parts["text"].strip(), tuple(parts["words"]))


@lru_cache(maxsize=8)
def _read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
