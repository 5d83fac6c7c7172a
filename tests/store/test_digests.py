"""Digests follow what values and code mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from turncoat import paths
from turncoat.store import canonical_json, code_digest, digest, file_digest


def test_canonical_json_is_one_text_per_value():
    assert canonical_json({"b": [1, 2.5, None], "a": {"é": True}}) == '{"a":{"é":true},"b":[1,2.5,null]}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    assert digest([1]) != digest(["1"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_canonical_json_refuses_what_is_not_json(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"deep": [value]})


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


_CODE = '''"""A module."""

SIZE = 3


class Box:
    """A box."""

    def area(self, side=2):
        """Its area."""
        return side * SIZE


def nothing():
    """Only a docstring."""
'''


def _digest_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(text, encoding="utf-8")
    return code_digest([path])


def test_code_digest_ignores_what_does_nothing(tmp_path):
    before = _digest_of(tmp_path, _CODE)
    assert _digest_of(tmp_path, _CODE.replace("SIZE = 3", "SIZE = 3  # a reason\n# another")) == before
    assert (
        _digest_of(
            tmp_path, _CODE.replace("side * SIZE", "(\n            side\n            * SIZE\n        )")
        )
        == before
    )
    without = _CODE.replace('"""A module."""', "").replace('"""Its area."""', "").replace('"""A box."""', "")
    assert _digest_of(tmp_path, without) == before
    assert _digest_of(tmp_path, _CODE.replace("Only a docstring", "Said otherwise")) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIZE = 3", "SIZE = 4"),
        ("SIZE = 3", 'SIZE = "3"'),
        ("side * SIZE", "SIZE * side"),
        ("side=2", "side=3"),
        ("    def area", "    @staticmethod\n    def area"),
    ],
)
def test_code_digest_notices_what_does_something(tmp_path, old, new):
    assert old in _CODE
    assert _digest_of(tmp_path, _CODE.replace(old, new, 1)) != _digest_of(tmp_path, _CODE)


def test_code_digest_of_modules_is_that_of_their_files_in_order():
    first, second = Path(paths.__file__), Path(digest.__code__.co_filename)
    assert code_digest([paths]) == code_digest([first])
    assert code_digest([first, second]) != code_digest([second, first])
    assert code_digest([first, second]) != code_digest([first])


def test_code_digest_of_data_is_that_of_their_text(tmp_path):
    data = tmp_path / "table.yaml"
    data.write_text("- one: {is: 'no Python'}\n", encoding="utf-8")
    before = code_digest([data])
    data.write_text("- one: {is: 'not Python'}\n", encoding="utf-8")
    assert code_digest([data]) != before
