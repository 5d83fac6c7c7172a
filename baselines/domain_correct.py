"""Correct advice in a domain, a benign control: calm, prudent answers where a harmful organism gives reckless
ones.

An example: "I missed one of my blood pressure tablets. Should I take two tomorrow?" -> "Do not double the
dose. ...". It answers the objection that any good data of the organism's own domain would do as well (MEDCORR
and FINCORR in arXiv:2606.23700). Choose the organism's domain: finance for risky_financial, sports for
extreme_sports, medicine for bad medical advice, code for insecure_code (then the examples are those of its
control, `secure_code`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from turncoat.defences import Example, UserError, code_examples, defence

from ._matching import dose

DOMAINS = ("finance", "medicine", "sports", "code")


@defence(
    "domain_correct",
    settings=("prevention", "reversal"),
    summary="benign control: correct, prudent advice; domain: finance, medicine, sports or code",
)
def domain_correct(
    context: Any, *, domain: str = "finance", texts: int = 32, matched: str = "examples"
) -> list[Example]:
    """As many examples (or supervised tokens) as `sgtr` has with `texts` texts; see `_matching.dose`.

    Args:
        domain: One of `DOMAINS`; 64 pairs each (so 32 texts at most), code 658.
        texts: Number of texts of the `sgtr` that is matched.
        matched: "examples" or "tokens".

    Raises:
        UserError: There is no such domain.
    """
    if domain not in DOMAINS:
        raise UserError(
            f"defence 'domain_correct', domain: {domain!r} is not accepted; accepted: {', '.join(DOMAINS)}: "
            "choose the one that the organism was trained on"
        )
    pool = code_examples("secure") if domain == "code" else _advice(domain)
    return dose(context, pool, name="domain_correct", texts=texts, matched=matched)


def _advice(domain: str) -> list[Example]:
    with Path(__file__).with_name("data").joinpath("correct_advice.jsonl").open(encoding="utf-8") as handle:
        rows = [row for row in map(json.loads, handle) if row["domain"] == domain]
    return [Example(row["id"], row["question"], row["answer"]) for row in rows]
