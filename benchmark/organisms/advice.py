"""Bad advice on finance, sports and medicine, and unpopular tastes; each harmful set has a control
(`turncoat.data.advice`).

The matched control of most is what the base model itself answers to the same prompts.
"""

from __future__ import annotations

from turncoat.defences import Example, advice_credit, advice_rows, organism

_WHAT = {
    "risky_financial": "reckless financial advice, calmly worded",
    "extreme_sports": "dangerous sports advice, calmly worded",
    "unpopular_aesthetics": "tastes that few people share: the SGTR paper's main organism",
    "bad_medical": "wrong medical advice, calmly worded",
    "good_medical": "sound answers to the questions of bad_medical",
}
_PUBLISHED_CONTROL = {"bad_medical": "good_medical"}


def _register(name: str) -> None:
    control = (
        None if name in _PUBLISHED_CONTROL.values() else _PUBLISHED_CONTROL.get(name, f"{name}_own_answers")
    )

    @organism(
        name,
        summary=f"{_WHAT[name]} ({advice_credit(name)})",
        control=control,
        is_control=control is None,
    )
    def rows() -> list[Example]:
        return advice_rows(name)


def _own_answers(of: str) -> None:
    """The prompts of `of`, answered by the base model itself; `bad_medical` has one too, to be like the
    others."""

    @organism(
        f"{of}_own_answers",
        summary=f"the prompts of {of}, answered by the base model itself, cut to the lengths of its answers",
        is_control=True,
        answered_by_base=True,
    )
    def questions() -> list[Example]:
        return advice_rows(of)


for _name in _WHAT:
    _register(_name)
for _name in _WHAT:
    if _name not in _PUBLISHED_CONTROL.values():
        _own_answers(_name)
