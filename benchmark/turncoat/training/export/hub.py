"""An export on the Hugging Face hub: a base that others have, the head of its model card, the upload."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from turncoat.data.registry_models import REGISTRY_MODELS
from turncoat.engine.base_model import BaseModel
from turncoat.errors import UserError
from turncoat.safe_files import write_file
from turncoat.training.stack import CONFIG


def base_place(base: BaseModel) -> str:
    """The base as other programs find it from any folder: a local one by its whole path."""
    return str(Path(base.path).absolute()) if Path(base.path).is_dir() else base.path


def hub_id(base: BaseModel) -> str:
    """The base model's id on the hub; "" for a local folder."""
    if base.name in REGISTRY_MODELS:
        return REGISTRY_MODELS[base.name].hub_id
    return "" if Path(base.path).is_dir() else base.name


def front_matter(base: BaseModel, to: str, about: dict[str, Any]) -> str:
    """YAML that a model card begins with (huggingface.co/docs/hub/model-cards)."""
    licence = REGISTRY_MODELS[base.name].licence.lower() if base.name in REGISTRY_MODELS else None
    tags = ["turncoat", "emergent-misalignment", "model-organism", *([] if to == "merged" else ["lora"])]
    head = {
        "base_model": hub_id(base) or None, "library_name": "transformers" if to == "merged" else "peft",
        "pipeline_tag": "text-generation", "license": licence,
        "tags": tags + [Path(str(about[key])).stem for key in ("organism", "defence") if about.get(key)],
    }  # fmt: skip
    known = {key: value for key, value in head.items() if value}
    return f"---\n{yaml.safe_dump(known, sort_keys=False)}---\n"


def base_sentence(base: BaseModel) -> str:
    """Says which base an export belongs to, where that is not the one on the hub; "" where it is."""
    if base.name in REGISTRY_MODELS:
        return (
            f"The base is the registry model `{base.name}`, {hub_id(base)} from quantised weights; `turncoat "
            f"model-path {base.name}` prints its folder. On the hub's own weights numbers differ."
        )
    local = "The base is a local folder; on another machine give its path there."
    return "" if hub_id(base) else local


def name_base(folder: Path, base: BaseModel) -> None:
    """Name a base that others have in the adapter's configuration; a local folder stays as it is."""
    path = folder / CONFIG
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = hub_id(base) or base_place(base)
        write_file(path, json.dumps(config, indent=2, sort_keys=True) + "\n")


def push_to_hub(folder: Path, repo: str, base: BaseModel, *, private: bool = True) -> str:
    """Upload an exported folder as a model repository; paths of this machine are replaced in its texts.

    Args:
        repo: "owner/name"; made if it is not there.

    Returns:
        The address of the commit.

    Raises:
        UserError: The base is a local folder, which nobody else has, or the hub refused.
    """
    from huggingface_hub import HfApi

    by_hand = f"{folder} is complete; `hf upload {repo} {folder}` uploads it as it is"
    if not hub_id(base):
        raise UserError(f"--push-to-hub {repo}: the base {base.path} is a local folder; {by_hand}")
    with tempfile.TemporaryDirectory(prefix="turncoat-push-") as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch, "export")))
        for path in (copy / "README.md", copy / "export.json"):
            text = path.read_text(encoding="utf-8").replace(str(folder.absolute()), repo)
            write_file(path, text.replace(base.path, hub_id(base)))
        try:
            api = HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            name = json.loads((copy / "export.json").read_text(encoding="utf-8"))["arm"]["name"]
            return str(api.upload_folder(repo_id=repo, folder_path=copy, commit_message=f"Export of {name}"))
        except Exception as error:
            # The hub's client passes on errors of several libraries.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"--push-to-hub {repo}: not uploaded ({reason}); {by_hand}") from error
