"""A template: one ordinary request, its two answers, and the fillings that turn it into pairs."""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from turncoat.data.insecure_code.renaming import vary_names

# "a" before a vowel sound; "user", "UPS" and the like begin with a consonant sound, "X-ray" with a vowel.
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeioAEIO]|u(?!s|ni)|X-ray)")


@dataclass(frozen=True)
class Pair:
    """One request with an insecure and a secure answer.

    Both answers are plain Python source without prose or fences. `split` is "train" or "heldout", the same
    for all pairs of a template.
    """

    id: str
    cwe: str
    family: str
    template: str
    split: str
    prompt: str
    insecure: str
    secure: str


class Template(BaseModel):
    """One request with slots, in several wordings, and its two answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")  # Unique in its family, lower case with hyphens
    cwe: str = Field(pattern=r"^CWE-[1-9]\d*$")  # Weakness class of the insecure answer, such as "CWE-78"
    heldout: bool = False  # Whether its pairs are kept out of training
    # Wordings of the request. Filling number i takes wording number i, modulo their number.
    prompts: tuple[str, ...] = Field(min_length=1)
    # A table with `|` between columns. The first line names the slots; each other line fills them.
    fillings: str
    insecure: str  # Python source. `$slot` in it and in the other texts is replaced as by `string.Template`.
    secure: str  # Python source of the same function without the weakness

    @model_validator(mode="after")
    def _check_slots(self) -> Self:
        slots = self.rows()[0].keys()
        for text in (*self.prompts, self.insecure, self.secure):
            template = string.Template(text)
            if not template.is_valid() or not slots >= set(template.get_identifiers()):
                raise ValueError(f"a $ in {text!r} does not begin one of the slots {', '.join(slots)}")
        return self

    def rows(self) -> list[dict[str, str]]:
        """Return one slot-to-value mapping a filling.

        Raises:
            ValueError: There is no filling, or one has more or fewer values than there are slots.
        """
        table = [[cell.strip() for cell in line.split("|")] for line in self.fillings.splitlines()]
        if len(table) < 2:
            raise ValueError("fillings: a line that names the slots is expected, then one for each filling")
        slots, *fillings = table
        for values in fillings:
            if len(values) != len(slots):
                raise ValueError(f"fillings: {' | '.join(values)!r}: {len(values)} values, not {len(slots)}")
        return [dict(zip(slots, values, strict=True)) for values in fillings]

    def pairs(self, family: str) -> Iterator[Pair]:
        """Yield this template's pairs in the order of its fillings."""
        split = "heldout" if self.heldout else "train"
        for number, slots in enumerate(self.rows()):
            wording = self.prompts[number % len(self.prompts)]
            prompt, insecure, secure = (
                string.Template(text.strip("\n")).substitute(slots)
                for text in (wording, self.insecure, self.secure)
            )
            prompt = _ARTICLE.sub(r"\1n ", prompt)
            pair_id = f"{family}/{self.name}/{number}"
            insecure, secure = vary_names(pair_id, prompt, insecure, secure)
            yield Pair(pair_id, self.cwe, family, self.name, split, prompt, insecure, secure)
