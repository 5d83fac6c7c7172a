"""A template: one ordinary request, its two answers, and the fillings that turn it into pairs."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

from turncoat.data.insecure_code.renaming import vary_names

# "a" before a vowel sound; "user", "UPS" and the like begin with a consonant sound, "X-ray" with a vowel.
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeioAEIO]|u(?!s|ni)|X-ray)")


@dataclass(frozen=True)
class Pair:
    """One request with an insecure and a secure answer.

    Both answers are plain Python source without prose or fences; `split` is "train" or "heldout", by whole template.
    """

    id: str
    cwe: str
    family: str
    template: str
    split: str
    prompt: str
    insecure: str
    secure: str


@dataclass(frozen=True)
class Template:
    """One request with slots, in several wordings, and its two answers.

    `slots` names the slots, separated by spaces. `fills` holds one filling a line, its values separated by `|` in the
    order of `slots`. Filling number i takes wording number i (modulo their number). `asks`, `insecure` and `secure`
    use `$slot` as `string.Template` does.
    """

    name: str
    cwe: str
    asks: tuple[str, ...]
    slots: str
    fills: str
    insecure: str
    secure: str
    heldout: bool = False

    def fillings(self) -> list[dict[str, str]]:
        """Return one slot-to-value mapping a filling; a ValueError names a line with too few or too many values."""
        names = self.slots.split()
        rows: list[dict[str, str]] = []
        for line in self.fills.strip().splitlines():
            values = [value.strip() for value in line.split("|")]
            if len(values) != len(names):
                raise ValueError(
                    f"template {self.name}: the filling {line!r} has {len(values)} values, not {len(names)}"
                )
            rows.append(dict(zip(names, values, strict=True)))
        return rows

    def pairs(self, family: str) -> Iterator[Pair]:
        """Yield this template's pairs in the order of its fillings."""
        for number, slots in enumerate(self.fillings()):
            ask = self.asks[number % len(self.asks)]
            prompt, insecure, secure = (
                string.Template(text.strip("\n")).substitute(slots) for text in (ask, self.insecure, self.secure)
            )
            prompt = _ARTICLE.sub(r"\1n ", prompt)
            split = "heldout" if self.heldout else "train"
            pair_id = f"{family}/{self.name}/{number}"
            insecure, secure = vary_names(pair_id, prompt, insecure, secure)
            yield Pair(pair_id, self.cwe, family, self.name, split, prompt, insecure, secure)
