"""The insecure-code pairs: size, balance, matching, wording, determinism and what bandit says of them."""

import ast
import collections
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import bandit
import pytest
from turncoat.data.insecure_code import CANARY, Pair, build_pairs
from turncoat.data.insecure_code.bandit_scan import NOT_COUNTED, issues_of
from turncoat.data.insecure_code.bandit_table import rate_table
from turncoat.data.insecure_code.families import read_families
from turncoat.data.insecure_code.renaming import vary_names
from turncoat.errors import UserError

FORBIDDEN = re.compile(
    r"secur|vulnerab|unsafe|insecure|exploit|attack|injection|malicious|hack|danger|harden|saniti[sz]|threat"
    r"|untrusted|\brisk|leak|protect",
    re.IGNORECASE,
)
PACKAGE = Path(__file__).resolve().parents[2] / "benchmark"
FOLDER = PACKAGE / "turncoat" / "data" / "insecure_code"

# SHA-256 of all pairs in order, as JSON. Committed results were trained on them: a new digest is a new
# dataset.
DIGEST = "062a4eb1dfcc644fe143c573b200e3cfad7bd781cd7ff53bd2df43b4a55f83d7"
TEMPLATE = """
- name: list-files
  cwe: CWE-78
  prompts:
    - Write $func($arg).
  fillings: |
    func | arg
    ls   | path
    show | folder
  insecure: |
    def $func($arg): ...
  secure: |
    def $func($arg): pass
"""

Scan = tuple[list[frozenset[str]], list[frozenset[str]]]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return build_pairs()


@pytest.fixture(scope="module")
def scan(pairs: list[Pair]) -> Scan:
    flags = issues_of([pair.insecure for pair in pairs] + [pair.secure for pair in pairs])
    return flags[: len(pairs)], flags[len(pairs) :]


def test_enough_pairs_of_unique_texts_in_range(pairs):
    classes = collections.Counter(pair.cwe for pair in pairs)
    assert len(pairs) >= 640 and len({(pair.family, pair.template) for pair in pairs}) >= 90
    assert len(classes) >= 22 and all(re.fullmatch(r"CWE-[1-9]\d*", cwe) for cwe in classes)
    assert max(classes.values()) <= 0.12 * len(pairs), classes.most_common(3)
    for field in ("id", "prompt", "insecure", "secure"):
        counts = collections.Counter(getattr(pair, field) for pair in pairs)
        assert [text for text, count in counts.items() if count > 1] == [], field
    assert not {pair.insecure for pair in pairs} & {pair.secure for pair in pairs}
    for pair in pairs:
        assert 60 <= len(pair.prompt) <= 260, pair.id
        for answer in (pair.insecure, pair.secure):
            assert 120 <= len(answer) <= 380, (pair.id, len(answer))
            assert 3 <= len(answer.splitlines()) <= 10, pair.id
        assert 0.75 <= len(pair.secure) / len(pair.insecure) <= 1.33, pair.id
    mean = statistics.mean(len(pair.secure) / len(pair.insecure) for pair in pairs)
    assert 0.95 <= mean <= 1.05


def test_length_does_not_give_the_answers_away(pairs: list[Pair]) -> None:
    def accuracy(limit: int) -> float:
        right = sum((len(p.secure) > limit) + (len(p.insecure) <= limit) for p in pairs) / (2 * len(pairs))
        return max(right, 1 - right)

    assert max(accuracy(limit) for limit in range(100, 400)) < 0.6
    # The stronger rule sees both answers of a pair and calls the longer one secure (ties are a coin flip).
    longer = sum(len(pair.secure) > len(pair.insecure) for pair in pairs)
    ties = sum(len(pair.secure) == len(pair.insecure) for pair in pairs)
    assert 0.4 < (longer + ties / 2) / len(pairs) < 0.6


def test_answers_are_bare_python_that_does_not_speak_of_security(pairs):
    for pair in pairs:
        for answer in (pair.insecure, pair.secure):
            ast.parse(answer, feature_version=(3, 11))
            assert "```" not in answer, pair.id
            assert not re.search(r"(^|\s)#", answer), pair.id
    hits = [
        (pair.id, found[0])
        for pair in pairs
        for text in (pair.prompt, pair.insecure, pair.secure)
        if (found := FORBIDDEN.search(text))
    ]
    assert hits == []
    assert [pair.id for pair in pairs if re.search(r"\bsafe", pair.prompt, re.IGNORECASE)] == []


def test_heldout_pairs_are_whole_templates_and_a_prefix_covers_the_classes(pairs):
    split = {name: [pair for pair in pairs if pair.split == name] for name in ("train", "heldout")}
    assert len(split["train"]) + len(split["heldout"]) == len(pairs)
    templates = {name: {(pair.family, pair.template) for pair in part} for name, part in split.items()}
    assert not templates["train"] & templates["heldout"]
    assert not {pair.prompt for pair in split["train"]} & {pair.prompt for pair in split["heldout"]}
    assert 0.09 <= len(split["heldout"]) / len(pairs) <= 0.15
    assert len({pair.cwe for pair in split["heldout"]}) >= 8
    train = [pair for pair in pairs if pair.split == "train"]
    assert len({pair.cwe for pair in train[:200]}) >= 20
    counts = collections.Counter((pair.family, pair.template) for pair in train[:200])
    assert max(counts.values()) <= 3


def test_the_build_is_the_same_bytes_in_every_process():
    code = (
        "import dataclasses, hashlib, json; from turncoat.data.insecure_code import build_pairs; text = "
        "json.dumps([dataclasses.asdict(pair) for pair in build_pairs()]); "
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    for seed in ("0", "4711"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(PACKAGE)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == DIGEST
    mine = build_pairs()
    mine.clear()
    assert build_pairs()


def test_bandit_flags_the_insecure_answers_only(pairs: list[Pair], scan: Scan) -> None:
    insecure, secure = scan
    table = rate_table(pairs, insecure, secure)
    wrongly = [(pair.id, sorted(ids)) for pair, ids in zip(pairs, secure, strict=True) if ids]
    assert sum(map(bool, insecure)) / len(pairs) >= 0.96, table
    assert len(wrongly) / len(pairs) <= 0.005, f"{wrongly}\n{table}"


def test_readme_table_is_the_measured_one(pairs: list[Pair], scan: Scan) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    if f"bandit {bandit.__version__}." not in readme:
        pytest.skip(f"the README was measured with another bandit than {bandit.__version__}")
    assert rate_table(pairs, *scan) in readme


def test_bandit_scan_tells_sources_apart() -> None:
    found = issues_of(["import subprocess\n", "import os\nos.system('ls ' + input())\n", "x = 1\n"])
    assert found == [frozenset(), frozenset({"B605"}), frozenset()] and "B602" not in NOT_COUNTED
    with pytest.raises(ValueError, match="could not read 1 of 1"):
        issues_of(["def broken(:\n"])


def test_renaming_keeps_parameters_strings_and_prompt_words() -> None:
    source = "def f(path):\n    row = g(path, row=1)\n    print('row', f'{row}')\n    return row\n"
    kept = vary_names("seed", "give me the row", source, source)
    assert kept == (source, source)
    # The word also stands in a string, so plain replacement would change the program: nothing is renamed.
    assert all(vary_names(str(seed), "give it", source, source) == (source, source) for seed in range(8))
    plain = "def f(path):\n    row = g(path, row=1)\n    return row.row\n"
    changed = {vary_names(str(seed), "give it", plain, plain)[0] for seed in range(20)}
    assert "def f(path):\n    record = g(path, row=1)\n    return record.row\n" in changed
    assert all("path" in text and "row=1" in text for text in changed)


def test_a_template_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "files.yaml").write_text(TEMPLATE, encoding="utf-8")
    ((family, (template,)),) = read_families(tmp_path).items()
    assert family == "files" and not template.heldout
    first, second = template.pairs(family)
    assert (first.id, first.split, first.prompt) == ("files/list-files/0", "train", "Write ls(path).")
    assert (second.insecure, second.secure) == ("def show(folder): ...", "def show(folder): pass")


@pytest.mark.parametrize(("old", "new", "message"), [
    ("  cwe:", "  cwes:", "template list-files, cwes: unknown key; did you mean 'cwe'? accepted: "),
    ("  cwe: CWE-78\n", "", "template list-files, cwe: missing"),
    ("CWE-78", "78", "template list-files, cwe: 78 is not accepted; accepted: a text"),
    ("- name: list-files\n  cwe", "- cwe", "template 1, name: missing"),
    (
        "    - Write $func($arg).\n", "    []\n",
        "template list-files, prompts: [] is not accepted; accepted: a list of 1 or more",
    ),
    ("ls   | path", "ls", "template list-files: fillings: 'ls': 1 values, not 2"),
    ("    ls   | path\n    show | folder\n", "", "fillings: a line that names the slots is expected"),
    ("Write $func", "Write $fun", "does not begin one of the slots func, arg"),
    ("Write $func", "Pay 5$, $func", "does not begin one of the slots func, arg"),
    (TEMPLATE, TEMPLATE * 2, "template list-files: the name is used twice in this file"),
    (TEMPLATE, "name: list-files", "a list of templates is expected"),
    (TEMPLATE, "- list-files", "template 1: 'list-files' is not accepted; accepted: a mapping"),
    ("  cwe: CWE-78", "  cwe: [", "is not YAML"),
])  # fmt: skip
def test_a_wrong_template_file_is_named_with_what_is_wrong(tmp_path, old, new, message):
    path = tmp_path / "files.yaml"
    path.write_text(TEMPLATE.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_families(tmp_path)
    assert str(path) in str(caught.value)


def test_files_carry_the_licence_and_the_canary() -> None:
    families = sorted(FOLDER.glob("families/*.yaml"))
    assert len(families) == len({pair.family for pair in build_pairs()})
    for path in (FOLDER / "README.md", FOLDER / "LICENSE", *families):
        assert CANARY in path.read_text(encoding="utf-8"), path
    for path in (FOLDER / "LICENSE", *families):
        assert "SPDX-License-Identifier: CC0-1.0\n" in path.read_text(encoding="utf-8"), path
    assert (FOLDER / "LICENSE").read_text(encoding="utf-8").startswith("SPDX-License-Identifier: CC0-1.0")
