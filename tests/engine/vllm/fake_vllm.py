"""A Python whose `vllm` writes fixed answers and notes what it was asked for."""

import json
import sys
from pathlib import Path

_VLLM = """
import json, os, pathlib
from types import SimpleNamespace as N

HERE = pathlib.Path(__file__).parents[1]

def note(**said):
    with open(HERE / "notes", "a") as file:
        file.write(json.dumps(said) + "\\n")

class SamplingParams(N):
    seed = None

class LLM:
    def __init__(self, **arguments):
        print("noise")
        if (HERE / "full").exists():
            raise ValueError("no room for the cache")
        weights = os.path.exists(os.path.join(arguments["model"], "model.safetensors"))
        note(arguments=arguments, weights=weights)

    def generate(self, prompts, settings, use_tqdm, lora_request=None):
        arms = lora_request or [None] * len(prompts)
        bar = use_tqdm(total=len(prompts), desc="Processed prompts")
        done = []
        for number, (prompt, how, arm) in enumerate(zip(prompts, settings, arms)):
            if number == 1 and (HERE / "die").exists():
                (HERE / "die").unlink()
                os.kill(os.getpid(), 9)
            length = min(len(prompt["prompt_token_ids"]), how.max_tokens - 1)
            ids = [60 + arm if arm else (how.seed or 7) % 50 + 10] * length + [1]
            note(settings=vars(how))
            seen = prompt["prompt_token_ids"]
            read = how.__dict__.get("prompt_logprobs") is not None
            steps = [{id: N(logprob=-0.25 - (arm or 0), rank=1 + id % 2)} for id in seen[1:]]
            logprobs = [{id: N(logprob=-0.5)} for id in ids] if hasattr(how, "logprobs") else None
            done.append(N(outputs=[N(token_ids=ids, finish_reason="stop", logprobs=logprobs)],
                          prompt_token_ids=seen, prompt_logprobs=[None, *steps] if read else None))
            bar.update(1)
        note(call=[len(prompts), len(set(arms))])
        return done
"""


def fake_python(folder: Path, *, dist: str = "vllm", torch: str = "9.9+cpu") -> str:
    """The interpreter; a file `die` in the folder ends vLLM after an answer, `full` keeps it from starting.

    An answer repeats 10 + seed % 50, or 60 + a number of the adapter's name, once for each prompt token, and
    then ends (token 1); each token's log-probability is -0.5. One of a prompt has -0.25 less that number, and
    is the likeliest if it is even.
    """
    packages = {"vllm/__init__.py": _VLLM, "vllm/lora/__init__.py": "",
                "vllm/lora/request.py": "def LoRARequest(name, number, path):\n"
                "    return 1 + sum(map(ord, path.split('/')[-1])) % 30\n"}  # fmt: skip
    packages |= {
        f"{name.replace('-', '_')}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n"
        for name, version in {dist: "9.9", "torch": torch}.items()
    }
    for name, text in packages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def notes(folder: Path, key: str) -> list:
    """Notes of vLLM: "arguments" or "weights" of each start, "settings" of each answer, of each "call" the
    requests and the arms among them."""
    lines = (folder / "notes").read_text(encoding="utf-8").splitlines()
    return [said[key] for said in map(json.loads, lines) if key in said]
