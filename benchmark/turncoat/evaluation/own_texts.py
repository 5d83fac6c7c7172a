"""Texts written by the base model before any finetuning, for self-recognition tasks.

set_current_base(base, store)                      # `--model turncoat` does so when it is made
# the base's texts, generated once; None without such a model
base_texts(["Summarise: ..."], 40, 0.7)

With another backend no base model is loaded, and the caller asks for a file of texts instead.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode_prompt
from turncoat.engine.decoding.sampler import SampleRequest, sampler_for, sampling_code
from turncoat.engine.seeds import sample_seed
from turncoat.store import Store, canonical_json, digest


@dataclass(frozen=True)
class _Current:
    base: BaseModel
    store: Store


_current: _Current | None = None


def set_current_base(base: BaseModel | None, store: Store | None = None) -> None:
    """Name the base model that `--model turncoat` measures with; None forgets it.

    Args:
        store: Where its texts are stored; default: the user cache.
    """
    global _current
    _current = None if base is None else _Current(base, store or Store())


def current_base() -> BaseModel | None:
    """The base model under `--model turncoat`; None with another backend."""
    return None if _current is None else _current.base


def base_texts(
    prompts: Sequence[str],
    max_new_tokens: int,
    temperature: float,
    *,
    name: str = "own texts",
    stop: tuple[str, ...] = ("\n",),
    batch_size: int = 32,
) -> list[str] | None:
    """One text of the current base model for each user message, generated once and stored; None without a
    base model.

    An adapter on the model is disabled meanwhile. Every text's seed comes from `name` and its prompt.

    Args:
        temperature: Sampling temperature; 0 is greedy.
        batch_size: Texts written together; it changes no text.
    """
    if _current is None:
        return None
    base = _current.base
    spec = {
        "base": base.spec, "name": name, "code": sampling_code(), "prompts": digest(list(prompts)),
        "sampling": [max_new_tokens, temperature, list(stop)],
    }  # fmt: skip

    def build(folder: Path) -> None:
        requests = [
            SampleRequest(
                prompt_ids=tuple(encode_prompt(base.tokenizer, [{"role": "user", "content": prompt}])),
                seed=sample_seed(0, name, prompt, 0) if temperature > 0 else None,
                max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, key=number,
            )
            for number, prompt in enumerate(prompts)
        ]  # fmt: skip
        with base.without_adapter() as model:
            results = sampler_for(model, base.tokenizer, batch_size).run(requests)
        (folder / "texts.json").write_text(canonical_json([r.text for r in results]), encoding="utf-8")

    folder = _current.store.stage("base_texts", spec, build)
    texts: list[str] = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    return texts
