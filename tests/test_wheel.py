"""The wheel alone is enough: what it carries, and that its command works from anywhere without the
checkout."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from turncoat import __version__

CHECKOUT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed"
)


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        **options,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of a fresh environment: the wheel is installed, dependencies are those of this
    one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder)}))
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    python = scripts / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    )
    # A .pth line adds a folder but does not read the .pth files in it, so an editable install there stays
    # unseen.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_everything_that_is_a_plug_in_is_carried(wheel):
    inside = members(wheel)
    for folder, carried in (
        ("tasks", "tasks"),
        ("baselines", "baselines"),
        ("benchmark/organisms", "organisms"),
        ("benchmark/studies", "studies"),
    ):
        here = {
            f"turncoat/_plugins/{carried}/{path.relative_to(CHECKOUT / folder).as_posix()}"
            for path in (CHECKOUT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        }
        assert here
        assert here <= inside, sorted(here - inside)
    kinds = [
        ("tasks/persona/traits/", ".yaml"),
        ("tasks/choice/", ".jsonl"),
        ("baselines/data/", ".jsonl"),
        ("studies/", ".yaml"),
    ]
    for start, end in kinds:
        assert any(name.startswith(f"turncoat/_plugins/{start}") and name.endswith(end) for name in inside), (
            start
        )


def test_every_file_of_the_package_is_carried_and_nothing_else(wheel):
    inside = members(wheel)
    package = CHECKOUT / "benchmark" / "turncoat"
    here = {
        f"turncoat/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert here <= inside, sorted(here - inside)
    metadata = f"turncoat-{__version__}.dist-info/"
    strange = {name for name in inside - here if not name.startswith((metadata, "turncoat/_plugins/"))}
    assert not strange
    assert not [name for name in inside if "__pycache__" in name or name.endswith(".pyc")]


def test_licences_and_entry_points_are_carried(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(f"turncoat-{__version__}.dist-info/entry_points.txt").decode()
    assert "turncoat = turncoat.cli:main" in entry_points
    licences = [name for name in names if ".dist-info/licenses/" in name]
    assert any(name.endswith("/licenses/LICENSE") for name in licences)
    assert any(name.endswith("insecure_code/LICENSE") for name in licences)


def test_the_command_works_from_another_folder(installed, tmp_path):
    where = run(
        installed / "python", "-c", "import turncoat; print(turncoat.__file__)", cwd=tmp_path
    ).stdout.strip()
    assert Path(where).is_relative_to(installed.parent), "the checkout was imported, not the wheel"

    tasks = Path(run(installed / "turncoat", "tasks-path", cwd=tmp_path).stdout.strip())
    assert tasks.is_relative_to(installed.parent)
    assert sorted(tasks.rglob("turncoat_*.yaml"))

    listed = run(installed / "turncoat", "list", cwd=tmp_path).stdout
    for name in (
        "turncoat_choice",
        "turncoat_persona",
        "sgtr",
        "pick_longer",
        "insecure_code",
        "evil",
        "demo",
    ):
        assert f"\n{name} " in listed, name
