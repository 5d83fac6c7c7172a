"""Problems of a file's content in plain words: the value, and what is accepted."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError
from turncoat.strict_model import NAME, StrictModel, first_wrong, wrong_fields


class Inner(StrictModel):
    limit: int = Field(ge=2, description="first questions only")


class File(StrictModel):
    name: str = Field(default="a", pattern=NAME)
    code: str = Field(default="7", pattern=r"^\d$")
    share: float = Field(default=0.5, gt=0, le=1, allow_inf_nan=False)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, max_length=3)
    inner: tuple[Inner, ...] = Field(default=(Inner(limit=2),), min_length=1)
    margin: Annotated[float, Field(gt=0)] | dict[str, float] | None = None
    way: Literal["up", "down"] = "up"
    on: bool = True
    words: dict[str, str] = Field(default={})
    short: str = Field(default="", max_length=2)


LIST, MAPPING = "a list, as in [a, b]", "a mapping, as in {key: value}"
NAMES = "small letters, digits, - and _, such as my_study-2"


@pytest.mark.parametrize(
    ("content", "place", "text"),
    [
        ({"name": "My Study"}, "name", f"'My Study' is not accepted; accepted: {NAMES}"),
        ({"name": 7}, "name", "7 is not accepted; accepted: a text"),
        ({"code": "x"}, "code", r"'x' is not accepted; accepted: a text that matches ^\d$"),
        ({"share": 0}, "share", "0 is not accepted; accepted: a number above 0"),
        ({"share": 2}, "share", "2 is not accepted; accepted: 1 or less"),
        ({"share": "much"}, "share", "'much' is not accepted; accepted: a number"),
        ({"share": float("nan")}, "share", "nan is not accepted; accepted: a finite number"),
        ({"seeds": 0}, "seeds", f"0 is not accepted; accepted: {LIST}"),
        ({"seeds": []}, "seeds", "[] is not accepted; accepted: a list of 1 or more"),
        ({"seeds": [1, 2, 3, 4]}, "seeds", "[1, 2, 3, 4] is not accepted; accepted: a list of 3 or fewer"),
        ({"seeds": [1.5]}, "seeds.0", "1.5 is not accepted; accepted: a whole number"),
        ({"inner": ["x"]}, "inner.0", f"'x' is not accepted; accepted: {MAPPING}"),
        ({"inner": [{"limit": 1}]}, "inner.0.limit", "1 is not accepted; accepted: 2 or more"),
        ({"inner": [{}]}, "inner.0.limit", "missing, and there is no default: first questions only"),
        ({"margin": "x"}, "margin", f"'x' is not accepted; accepted: a number or {MAPPING}"),
        ({"way": "upp"}, "way", "'upp' is not accepted; did you mean 'up'? accepted: down, up"),
        ({"on": "perhaps"}, "on", "'perhaps' is not accepted; accepted: true or false"),
        ({"words": [1]}, "words", f"[1] is not accepted; accepted: {MAPPING}"),
        ({"short": "abc"}, "short", "'abc' is not accepted; accepted: a text of 2 characters or fewer"),
        ({"inner": [{"limit": 2, "limits": 3}]}, "inner.0.limits",
         "unknown key; did you mean 'limit'? accepted: limit"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_is_accepted(content, place, text):
    with pytest.raises(ValidationError) as caught:
        File.model_validate(content)
    assert first_wrong(caught.value, File) == (place, text)
    assert len(wrong_fields(caught.value, File)) == 1, "a list whose item is wrong is not too short as well"
