"""Names that look alike have one skeleton; names that nobody could tell apart or type are refused."""

import pytest
from turncoat.leaderboard.entry.names import check_name, skeleton

GOOD = (
    "SGTR", "pick-longer (SGTR's control)", "A. Person <a@example.org>", "\u00d8rsted", "\u03b2-VAE",
    "\u5c71\u7530 \u305f\u308d\u3046", "\u0418\u0432\u0430\u043d \u041f\u0435\u0442\u0440\u043e\u0432",
)  # fmt: skip
BAD = {
    "x\u200by": "printable", "\u202eSGTR": "printable", "\uff33GTR": "NFKC", "SGTR ": "blanks",
    "a  b": "blanks",
    "\u0405GTR": "CYRILLIC and LATIN", "sgtr\u115f": "FILLER", "--": "a letter or a digit",
    "\u13da\u13c0\u13a2\u13a1": "CHEROKEE",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_names_of_people_and_methods_are_names(name):
    assert check_name(name) == name and skeleton(name)


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_is_printable_normal_and_of_one_script(name):
    with pytest.raises(ValueError, match=BAD[name]):
        check_name(name)


@pytest.mark.parametrize(
    "other",
    [
        "sgtr", "S G T R", "\u0405G\u0422R", "\ua731\u0262\u1d1b\u0280", "sg\u0163r", "SGTR\u2800",
        "SGTR\ufe0f",
        "sgt\u0433",
    ],
    ids=ascii,
)  # fmt: skip
def test_look_alikes_have_one_skeleton(other):
    assert skeleton(other) == skeleton("SGTR")


def test_other_names_have_other_skeletons():
    for one, other in (("smollm2-135m", "srnollm2-l35m"), ("KL 10", "kl-lo"), ("vvin", "WIN")):
        assert skeleton(one) == skeleton(other)
    names = ["kl", "sgtr", "sgtr-2", "sgtr-3", "inoculation", "steering", "preventative steering", "none"]
    assert len({skeleton(name) for name in names}) == len(names)
