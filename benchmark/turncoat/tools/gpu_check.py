"""Check of a machine's GPUs before studies run on them: results, speed, memory; one JSON record.

    record = gpu_check("smollm2-135m", small=False, vllm_python=None, say=print, out=None)

Each part is run whatever became of the others, until `LIMIT` seconds are over. With `small`, shapes are tiny
and a CPU does: the check itself is tried that way.
"""

from __future__ import annotations

import gc
import json
import math
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from turncoat.bench.adapters import random_adapters
from turncoat.bench.counters import peak_memory, reset_peak_memory
from turncoat.bench.machine import description
from turncoat.bench.prompts import answer_requests, choice_pairs
from turncoat.bench.reference import loglikelihoods
from turncoat.bench.run import WORKS, bench
from turncoat.bench.work import float32_twin, same
from turncoat.data.organisms import find_organism
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.decoding.sampler import Sampler
from turncoat.engine.vllm.process import find_vllm
from turncoat.engine.vllm.sampler import VllmSampler
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.evaluation.own_texts import set_current_base
from turncoat.paths import study_path
from turncoat.safe_files import write_file
from turncoat.shown_text import TextConsole
from turncoat.store import Store
from turncoat.study.config import Study, load_study
from turncoat.study.engines import engine_from_name
from turncoat.study.run import run_study
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

LIMIT = 600.0
"""Most seconds of a check."""
ROUNDED = 0.1  # nats per token between float32 and the model's own precision
SAME_ANSWERS = 0.9  # share of vLLM's greedy answers: its kernels add in another order
STEPS = 20
# Hidden size, size within an MLP, layers, heads, heads of keys and values: of Qwen2.5-7B, and tiny ones.
LARGE, TINY = (3584, 18944, 28, 28, 4), (64, 128, 2, 4, 2)


class _TimeUp(Exception):
    pass


@dataclass(frozen=True)
class Setting:
    """Model and size of all parts."""

    model: str  # As `load_base` takes it
    small: bool
    folder: Path
    vllm_python: str | None  # A Python that has vLLM

    @property
    def study(self) -> Study:
        """The demo; if small, two of its arms on a few rows and questions."""
        few = {
            "judge": "off", "contrasts": [], "training": {"rows": 16, "rank": 4},
            "arms": [{"name": "base"}, {"name": "insecure", "organism": "insecure_code"}],
            "tasks": [{"task": "turncoat_choice", "limit": 4}],
        }  # fmt: skip
        return load_study(study_path("demo"), {"model": self.model, **(few if self.small else {})})


def random_model(shape: tuple[int, ...], tokenizer: Any) -> LlamaForCausalLM:
    """A Llama of this shape with random weights, on the GPU in bfloat16, without one in float32."""
    (hidden, within, layers, heads, kv_heads), end = shape, tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=within, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=4096,
        bos_token_id=None, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    gpu, before = torch.cuda.is_available(), torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if gpu else torch.float32)
    try:
        with torch.random.fork_rng(), torch.device("cuda" if gpu else "cpu"):
            torch.manual_seed(0)
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def _numbers(setting: Setting) -> dict[str, Any]:
    """Log-likelihoods: of a GPU and the CPU, of batches of 1 and 16, of float32 and the model's precision."""
    base = load_base(setting.model)
    twin, on_cpu = float32_twin(base), float32_twin(base)
    on_cpu.model.to("cpu")
    pairs = choice_pairs(base, 4 if setting.small else 12)
    wanted, alone, rounded, cpu = (
        loglikelihoods(TurncoatLM(one, batch_size=rows), pairs)
        for one, rows in ((twin, 16), (twin, 1), (base, 16), (on_cpu, 16))
    )
    set_current_base(None)
    return {
        **base.spec, "device": str(base.model.device),
        "equality": [
            same(f"log-likelihoods on {base.model.device} and on the CPU", wanted, cpu),
            same("log-likelihoods in batches of 16 and of 1", wanted, alone),
            same(f"log-likelihoods in float32 and in {base.model.dtype}", wanted, rounded, ROUNDED),
        ],
    }  # fmt: skip


def _work(name: str, setting: Setting) -> dict[str, Any]:
    """One of the bench's works: its equality checks, then every way to do it."""
    runs = 1 if setting.small else 2
    record = bench(setting.model, [name], runs=runs, quick=True, vllm_python=None, say=lambda _: None)
    if record["stopped"]:
        raise KeyboardInterrupt
    return record


def _study(setting: Setting, engine: str = "") -> dict[str, Any]:
    reset_peak_memory()
    out = setting.folder / (engine or "one process")
    diverged = run_study(
        setting.study, out, store=Store(out / "stages"), console=TextConsole(stderr=True),
        engine=engine_from_name(engine) if engine else None,
    )  # fmt: skip
    if diverged:
        raise UserError(f"training diverged: {', '.join(diverged)}")
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return {"model": record["model"], "seconds": record["seconds"], "peak_memory_bytes": peak_memory()}


def _two(setting: Setting) -> dict[str, Any]:
    """The demo by two worker processes, and whether its rows are those of one process."""
    gpus = torch.cuda.device_count()
    if gpus < 2 and not setting.small:
        return {"passed": None, "left_out": f"{gpus} GPU here"}
    facts = _study(setting, "processes:2")
    one, two = (
        {file.parent.relative_to(out): file.read_bytes() for file in (out / "rows").rglob("samples_*.jsonl")}
        for out in (setting.folder / "one process", setting.folder / "processes:2")
    )
    equal = sum(two.get(name) == rows for name, rows in one.items())
    if one.keys() != two.keys() or (not gpus and equal < len(one)):
        raise UserError(f"{equal} of {len(one)} files of rows are the same as those of one process")
    return {**facts, "same_rows": equal, "of": len(one)}


def _large(setting: Setting) -> dict[str, Any]:
    """Twenty steps of training a random model of the shape of a 7B one; memory and speed."""
    tokenizer = load_base(setting.model).tokenizer
    reset_peak_memory()
    model = random_model(TINY if setting.small else LARGE, tokenizer)
    base = BaseModel("random", "random", model, tokenizer, "random")
    batch = 2 if setting.small else 8
    recipe = LoraRecipe(rows=STEPS * batch, batch_size=batch, learning_rate=1e-4)
    out = setting.folder / "large"
    train_adapter(base, find_organism("insecure_code").build(), recipe, seed=0, out=out)
    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    if len(record["losses"]) != STEPS or not all(map(math.isfinite, record["losses"])):
        raise UserError(f"losses of {STEPS} steps: {record['losses']}")
    return {
        "parameters": model.num_parameters(), "dtype": str(model.dtype), "peak_memory_bytes": peak_memory(),
        "seconds": record["seconds"], "tokens_per_second": record["tokens"] / record["seconds"],
        "losses": record["losses"],
    }  # fmt: skip


def _vllm(setting: Setting) -> dict[str, Any]:
    """Greedy answers of the base and four adapters by vLLM, as in studies, against those of our engine."""
    if setting.vllm_python is None or not torch.cuda.is_available():
        return {"passed": None, "left_out": "no GPU, or no Python with vllm (--vllm-python)"}
    base = load_base(setting.model)
    twin, adapters = float32_twin(base), random_adapters(base, setting.folder, 4)
    requests = answer_requests(twin, 8, 1, 16, 0, greedy=True)
    ours, theirs, vllm = [], [], VllmSampler(find_vllm(setting.vllm_python), twin)
    for arm in (None, *adapters):
        with twin.adapter(arm) as model:
            ours += [one.token_ids for one in Sampler(model, twin.tokenizer, 16).run(requests)]
            theirs += [one.token_ids for one in vllm.run(requests, arm, model)]
    vllm.close()
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    if equal < SAME_ANSWERS * len(ours):
        raise UserError(
            f"{equal} of {len(ours)} greedy answers are the same; {SAME_ANSWERS:.0%} are accepted"
        )
    return {"same_answers": equal, "of": len(ours)}


PARTS: Mapping[str, Callable[[Setting], dict[str, Any]]] = {
    "numbers": _numbers, "demo": _study, "7B": _large, "two GPUs": _two,
    **{name: partial(_work, name) for name in WORKS}, "vLLM": _vllm,
}  # fmt: skip
"""Parts by name, in their order."""


def _stop(*_: object) -> None:
    raise _TimeUp(f"the {LIMIT:.0f} seconds of a check were over")


def gpu_check(
    model: str, *, small: bool, vllm_python: str | None, say: Callable[[str], None], out: Path | None
) -> dict[str, Any]:
    """Run all parts and return the record; Ctrl-C ends it with what is done.

    Args:
        model: As `load_base` takes it; if small, only its tokenizer counts.
        say: Called with lines on progress.
        out: The record is written there after each part.
    """
    record: dict[str, Any] = {
        "turncoat_gpu_check": 1, "model": model, "small": small, "passed": False,
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": description(),
        "gpus": torch.cuda.device_count(), "parts": {},
    }  # fmt: skip
    begun = time.perf_counter()
    signal.signal(signal.SIGALRM, _stop)
    with TemporaryDirectory(prefix="turncoat-gpu-check-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        if small:
            tokenizer = load_base(model, outline=True).tokenizer
            random_model(TINY, tokenizer).save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
        setting = Setting(str(folder / "model") if small else model, small, folder, vllm_python)
        for name, part in PARTS.items():
            start = time.perf_counter()
            try:
                signal.setitimer(signal.ITIMER_REAL, max(LIMIT - (start - begun), 0.01))
                entry = {"passed": True, **part(setting)}
            except KeyboardInterrupt:
                entry = {"passed": False, "error": "stopped"}
            except Exception as error:  # also `_TimeUp`: what was not tried is not known to work
                entry = {"passed": False, "error": str(error), "traceback": traceback.format_exc()}
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            record["parts"][name] = {**entry, "wall": round(time.perf_counter() - start, 1)}
            gc.collect()
            torch.cuda.empty_cache()
            word = {True: "passed", False: "FAILED", None: "left out"}[entry["passed"]]
            why = entry.get("error", entry.get("left_out", ""))
            say(f"{name}: {word} after {record['parts'][name]['wall']:.0f} s {why}")
            record["passed"] = all(entry["passed"] is not False for entry in record["parts"].values())
            if out is not None:
                write_file(out, json.dumps(record, indent=1) + "\n")
            if why == "stopped":
                break
    return record
