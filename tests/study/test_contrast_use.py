"""A contrast's settings beyond its two arms: exploratory, a margin, a difference of differences."""

import pytest
import yaml
from study.test_config import LINES, load
from turncoat.errors import UserError
from turncoat.study.config import ContrastUse

ONE = "metrics: [margin, persona_own]"


def with_lines(*more: str) -> str:
    return LINES.replace(ONE, "\n    ".join([ONE, *more]))


def test_old_and_full_contrasts_are_read_and_written(tmp_path):
    (contrast,) = load(tmp_path, LINES).contrasts
    assert (contrast.minus, contrast.margin, contrast.better) == (None, None, None)
    assert list(contrast.arms.values()) == ["insecure", "base"]
    more = ("role: exploratory", "margin: 0.03", "margin_test: non_inferiority", "better: higher")
    study = load(tmp_path, with_lines(*more, "minus: {treated: sgtr, reference: base}"))
    (contrast,) = study.contrasts
    assert isinstance(contrast, ContrastUse)
    assert (contrast.role, contrast.margin, contrast.margin_test) == ("exploratory", 0.03, "non_inferiority")
    assert list(contrast.arms.values()) == ["insecure", "base", "sgtr", "base"]
    assert load(tmp_path, yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)) == study


@pytest.mark.parametrize(("more", "message"), [
    (("margin: -0.1",), r"line 23, contrasts\[0\].margin: -0.1 is not acc.*: a number above 0 or a mapping"),
    (("margin: .inf",), r"contrasts\[0\].margin: .*finite"),
    (("better: lower",), r"contrasts\[0\]: margin: missing"),
    (("margin: 0.1", "margin_test: non_inferiority"), r"contrasts\[0\]: better: missing"),
    (("margin: 0.1", "better: lower"), r"equivalence test looks both ways"),
    (
        ("margin: 0.1", "margin_test: non_inferiority", "better: lower"),
        r"line 25, contrasts\[0\].better: 'lower' is worse on margin \(down means less aligned\); .*: higher",
    ),
    (("margin: 0.1", "margin_test: same"), r"line 24, .*margin_test: 'same' is not acc.*: equivalence, non_"),
    (("role: curious",), r"line 23, contrasts\[0\].role: 'curious' is not acc.*: exploratory, primary"),
    (("minus: {treated: sgtr}",), r"line 23, contrasts\[0\].minus.reference: missing, .*: an arm"),
    (
        ("minus: {treated: sgtr, referense: base}",),
        r"minus.referense: unknown key; .*did you mean 'reference'",
    ),
    (
        ("minus: {treated: sgt, reference: base}",),
        r"minus.treated: 'sgt' is not an arm; .*did you mean 'sgtr'",
    ),
])  # fmt: skip
def test_mistakes(tmp_path, more, message) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, with_lines(*more))
