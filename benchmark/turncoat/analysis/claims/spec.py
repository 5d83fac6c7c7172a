"""Claims of a paper or a project as a file: each sentence as tests that were written down with their margins.

- id: prompt
  sentence: Removing the identity prompt reduces misalignment.
  combine: all                  # supported if every part is (intersection-union); or any
  parts:
    - name: TruthfulQA
      treated: "sgtr_qwen_32b_em_nosys: unpopular_aesthetics"        # study: arm
      reference: "sgtr_qwen_32b: unpopular_aesthetics"
      task: turncoat_truthfulqa_generate
      metric: accuracy
      expect: higher            # or lower, equivalent, not_lower, not_higher
      margin: 0.02
      why: a quarter of what the organism loses
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from turncoat.errors import accepted
from turncoat.strict_model import StrictModel, pattern

_ID = pattern(r"^[a-z0-9_]+$", "small letters, digits and _")
Expectation = Literal["higher", "lower", "equivalent", "not_lower", "not_higher"]


class Values(StrictModel):
    """A published level of one arm: a number per training seed, or their mean, SD and count."""

    seeds: tuple[float, ...] = ()
    mean: float | None = None
    sd: float | None = None
    n: int | None = None  # None for the untrained base: one model, without an error

    @model_validator(mode="after")
    def _one_of_both(self) -> Values:
        if bool(self.seeds) == (self.mean is not None) or (self.sd is None) != (self.n is None):
            raise ValueError("give `seeds`, or `mean` with `sd` and `n` (both missing for the base)")
        return self


class Part(StrictModel):
    """One test of a claim: treated minus reference, on rows or on published numbers; or what is missing."""

    name: str
    missing: str = ""  # Rows that the test needs and nobody has, and what would make them
    treated: str = ""  # "study: arm"; of published numbers a label
    reference: str = ""
    task: str = ""
    metric: str = ""
    published: tuple[Values, Values] | None = None  # Treated and reference
    source: str = ""  # Of published numbers
    expect: Expectation | None = None
    # Smallest difference that counts, positive, in the metric's units
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    why: str = ""  # Reason for the margin
    # What is sampled; a part about these adapters is shown and never decides
    about: Literal["recipe", "adapters"] = "recipe"
    context: str = ""  # Reason why the part is shown and does not decide

    @property
    def arms(self) -> tuple[str, str]:
        """Treated and reference."""
        return self.treated, self.reference

    @property
    def decides(self) -> bool:
        """False for a part that is shown beside the claim."""
        return not self.context and self.about == "recipe"

    @model_validator(mode="after")
    def _whole(self) -> Part:
        if self.missing:
            return self
        given: dict[str, object] = {"treated": self.treated, "reference": self.reference}
        given |= {"expect": self.expect, "why": self.why}
        given |= {"margin": self.margin}
        given |= {"source": self.source} if self.published else {"task": self.task, "metric": self.metric}
        if lacking := [key for key, value in given.items() if not value]:
            raise ValueError(f"{lacking[0]}: missing; a part without `missing` needs {', '.join(given)}")
        if not self.published and any(": " not in arm for arm in (self.treated, self.reference)):
            raise ValueError("treated, reference: accepted: 'study: arm'")
        return self


class Claim(StrictModel):
    """One sentence and the tests that decide it."""

    id: str = Field(pattern=_ID)
    sentence: str
    origin: str  # Where the sentence stands
    combine: Literal["all", "any"] = "all"
    reading: str = ""  # How the sentence was made into tests
    parts: tuple[Part, ...] = Field(min_length=1)


class Claims(StrictModel):
    """A file of claims."""

    claims: str = Field(pattern=_ID)
    title: str
    registered: str  # When, and what of the data had been seen by then
    level: float = Field(default=0.05, gt=0, lt=0.5)  # Of each one-sided test
    # Study -> where its rows are or what makes them, in Markdown; for each study that a test reads
    rows: dict[str, str] = Field(default={})
    items: tuple[Claim, ...] = Field(min_length=1)

    @property
    def studies(self) -> list[str]:
        """Studies whose rows the tests read."""
        arms = [
            arm for c in self.items for p in c.parts if not p.published and not p.missing for arm in p.arms
        ]
        return sorted({arm.partition(": ")[0] for arm in arms})

    @model_validator(mode="after")
    def _with_rows(self) -> Claims:
        if lacking := [study for study in self.studies if study not in self.rows]:
            raise ValueError(f"rows: '{lacking[0]}' is missing; say where the rows of that study are")
        if unused := [study for study in self.rows if study not in self.studies]:
            raise ValueError(f"rows: no test reads '{unused[0]}'; {accepted(self.studies, unused[0])}")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Claims:
        for names in ([c.id for c in self.items], *([p.name for p in c.parts] for c in self.items)):
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"'{twice[0]}' is there twice")
        return self
