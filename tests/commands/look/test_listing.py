"""`turncoat list` and mistakes in file names: the same facts as registration, without the heavy imports."""

import subprocess
import sys
from pathlib import Path

import pytest
from turncoat.errors import UserError
from turncoat.plug_ins import declarations
from turncoat.registry import DEFENCES, JUDGES, ORGANISMS, discover


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


def test_two_defences_of_one_name(tmp_path):
    text = "from turncoat.defences import defence\n\n@defence('sgtr', settings=('inference',), summary='x')\n"
    (tmp_path / "mine.py").write_text(text + "def mine(context):\n    return []\n")
    code = f"from turncoat.commands.look.listing import everything; everything(['{tmp_path}'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "defence 'sgtr' is defined twice" in done.stderr


def test_a_run_folder_without_rows(tmp_path):
    from turncoat.paths import run_folder

    for name in ("study.yaml", "run.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="no rows; make one with `turncoat run STUDY`"):
        run_folder(Path(tmp_path))
