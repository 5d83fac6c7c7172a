"""vLLM in a process of its own, with another Python where one is named: loaded once, then run by run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from turncoat.bench.work import Done
from turncoat.engine.base_model import BaseModel
from turncoat.errors import UserError

_CHILD = Path(__file__).with_name("vllm_child.py")


def python_with_vllm() -> str | None:
    """This interpreter, where it has vLLM."""
    return sys.executable if find_spec("vllm") else None


class VllmEngine:
    """A strategy: answers to the same prompts with the same settings. Its process lives in the `with` block.

    Args:
        python: A Python interpreter that can import vllm.
        base: The model; vLLM loads the same folder.
        prompts: Token ids, one entry an answer.
        tokens: Most tokens of an answer.
        adapters: Folders of LoRA adapters of rank 16 or less, for `greedy`.
    """

    def __init__(
        self, python: str, base: BaseModel, prompts: list[list[int]], tokens: int, *,
        dtype: str = "bfloat16", adapters: Sequence[Path] = (),
    ) -> None:  # fmt: skip
        self._python = python
        self._work = {
            "model": base.path, "prompts": prompts, "tokens": tokens, "dtype": dtype,
            "adapters": [str(folder) for folder in adapters],
        }  # fmt: skip
        self._child: Any = None

    def __enter__(self) -> VllmEngine:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        # vLLM binds its threads to cores of its own choice otherwise, past those of this process.
        settings = {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)), "VLLM_CPU_KVCACHE_SPACE": "2"}
        # The packages of this Python are not for the other one.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        try:
            self._child = subprocess.Popen(
                [self._python, str(_CHILD)], env={**settings, **environment}, **pipes
            )  # type: ignore[call-overload]
        except OSError as error:
            raise UserError(f"--vllm-python {self._python}: cannot be started ({error})") from error
        self._ask(self._work)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stdin.close()  # the child's loop ends with its input
        try:
            self._child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._child.kill()

    def __call__(self, turn: int) -> Done:
        """Draw all answers with the seed `turn`."""
        return float(self._ask({"seed": turn})["tokens"]), None

    def greedy(self) -> list[list[int]]:
        """Ids of greedy answers without the end of text: of the base to all prompts, then of each adapter."""
        answers: list[list[int]] = self._ask({"greedy": True})["tokens"]
        return answers

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._child.stdin.write(json.dumps(question).encode() + b"\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise UserError(
                f"--vllm-python {self._python}: vLLM ended (exit code {self._child.wait()}); its messages "
                "are above. Leave --vllm-python out to time the others"
            )
        return dict(json.loads(line))
