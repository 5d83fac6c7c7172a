"""The files behind a piece of code: followed through imports of any form, and nothing else."""

from pathlib import Path

import turncoat.defences
import turncoat.tasks
from turncoat.import_closure import FACES, import_closure, module_file
from turncoat.paths import PACKAGE


def names(paths: list[Path]) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in paths}


def test_imports_of_every_form_are_followed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import os\nimport turncoat.engine.seeds\nfrom turncoat.judges import surface\ndef f():\n    from "
        "turncoat.evaluation.diversity import vendi_score\n",
        encoding="utf-8",
    )
    assert {"engine/seeds.py", "judges/surface.py", "evaluation/diversity.py"} <= names(
        import_closure([file])
    )
    assert "report/tables/contrasts.py" not in names(import_closure([file]))


def test_what_an_import_imports_counts_too():
    found = names(import_closure([PACKAGE / "training" / "lora.py"]))
    assert {"training/batches.py", "engine/chat.py", "engine/base_model.py", "training/stack.py"} <= found
    assert not {name for name in found if name.startswith(("report/", "stats/", "study/"))}
    assert not found & {"errors.py", "paths.py", "store/stages.py"}, "they decide no result"


def test_a_module_that_is_named_counts_itself():
    assert names(import_closure([], ["turncoat.evaluation.free_form"])) >= {
        "evaluation/free_form.py",
        "engine/evidence.py",
    }
    assert module_file("turncoat.data.insecure_code") == PACKAGE / "data" / "insecure_code" / "__init__.py"
    assert module_file("turncoat.evaluation.free_form.KeepSamples") is None


def test_a_name_of_a_face_counts_as_its_own_module_alone(tmp_path):
    file = tmp_path / "score.py"
    file.write_text("from turncoat.tasks import surface\n", encoding="utf-8")
    assert names(import_closure([file])) == {"judges/surface.py"}
    assert names(import_closure([], ["turncoat.tasks.ratio"])) == {"judges/rates.py"}


def test_faces_name_what_they_export():
    for face in (turncoat.defences, turncoat.tasks):
        assert face.__name__ in FACES
        assert len(set(face.__all__)) == len(face.__all__)
        assert {name for name in vars(face) if not name.startswith("_")} - {"annotations"} == set(
            face.__all__
        )


def test_the_yaml_files_of_a_module_count():
    families = {f"data/insecure_code/families/{name}.yaml" for name in ("shell", "sql", "xml_parsing")}
    assert families <= names(import_closure([PACKAGE.parents[1] / "tasks" / "narrow_behaviour" / "score.py"]))
    assert not names(import_closure([], ["turncoat.data.insecure_code.renaming.vary_names"])) & families
