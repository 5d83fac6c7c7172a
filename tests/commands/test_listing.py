"""`turncoat list` and mistakes in file names: the same facts as registration, without the heavy imports."""

import subprocess
import sys
from pathlib import Path

import pytest
from turncoat.commands.listing import everything
from turncoat.errors import UserError
from turncoat.plug_ins import declarations
from turncoat.registry import DEFENCES, JUDGES, ORGANISMS, discover

HEAVY = ("torch", "transformers", "lm_eval", "pandas", "scipy")


def test_declarations_are_what_registers():
    discover()
    declared = {(one.kind, one.name): one for one in declarations()}
    for kind, table in (("defence", DEFENCES), ("organism", ORGANISMS), ("judge", JUDGES)):
        files = {one.source for one in declared.values()}
        names = {name for name, entry in table.items() if entry.source in files}
        assert names == {name for of, name in declared if of == kind} and len(names) > 2
        for name in names:
            one, entry = declared[kind, name], table[name]
            assert one.keywords["summary"] == entry.summary and one.source == entry.source
            assert one.keywords.get("data") == getattr(entry, "data", None)
            assert one.keywords.get("settings", ()) == getattr(entry, "settings", ())
            assert one.keywords.get("control") == getattr(entry, "control", None)


def test_every_shipped_name_is_declared():
    kinds = everything()
    assert len(kinds["defences"]) >= 26 and "sgtr" in kinds["defences"]
    assert "(prevention, reversal)" in kinds["defences"]["sgtr"]
    assert kinds["organisms"]["insecure_code"].endswith("; control: secure_code")
    assert set(kinds["judges"]) == {"embedded", "local", "openai"}


def test_two_defences_of_one_name(tmp_path):
    text = "from turncoat.defences import defence\n\n@defence('sgtr', settings=('inference',), summary='x')\n"
    (tmp_path / "mine.py").write_text(text + "def mine(context):\n    return []\n")
    code = f"from turncoat.commands.listing import everything; everything(['{tmp_path}'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "defence 'sgtr' is defined twice" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("run", "nothing.yaml"), ("power", "nothing.yaml"), ("rates", "nothing.csv"),
     ("compare", "nothing.csv", "other.csv"), ("judge", "nothing.csv"), ("report", "nothing"),
     ("pack", "nothing", "--out", "x")],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_nothing_heavy_is_imported(arguments, tmp_path):
    code = (
        "import sys; from turncoat.cli import app; from turncoat.errors import UserError\n"
        f"try: app({list(arguments)!r}, standalone_mode=False)\n"
        "except UserError as error: print(error, file=sys.stderr)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.endswith("[]\n"), done.stderr
    assert arguments[0] == "list" or "nothing" in done.stderr


def test_a_run_folder_without_rows(tmp_path):
    from turncoat.paths import run_folder

    for name in ("study.yaml", "run.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="no rows; make one with `turncoat run STUDY`"):
        run_folder(Path(tmp_path))
