"""The `lm_eval` command line with our model type registered and our tasks on its path.

lm-eval 0.4 reads no entry points, so its own `lm_eval` cannot know `--model turncoat`; this is the same program, started
after the registration.
"""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path

from turncoat.paths import tasks_dir

_SUBCOMMANDS = ("run", "ls", "validate")


def arguments(given: list[str]) -> list[str]:
    """lm_eval's arguments: our tasks are found, and chat models get their chat template, unless said otherwise."""
    result = list(given)
    wants_help = not result or result[-1] in ("-h", "--help")
    if wants_help:
        return result
    if not any(a == "--include_path" or a.startswith("--include_path=") for a in result):
        result += ["--include_path", str(tasks_dir())]
    runs = result[0] not in _SUBCOMMANDS or result[0] == "run"
    if (
        runs
        and not any(a.startswith("--apply_chat_template") for a in result)
        and not any(a == "--config" or a.startswith("--config=") for a in result)
    ):
        result += ["--apply_chat_template"]
    return result


def arm_name(given: list[str]) -> str:
    """What to call an arm that is named by its study, such as "demo-sgtr-0"; empty for a model with a name of its own."""
    text = " ".join(given)
    told = {
        key: re.search(rf"(?<![\w-]){key}=([^,\s]+)", text) for key in ("study", "arm", "seed", "pretrained", "peft")
    }
    if told["pretrained"] or told["peft"] or not (told["study"] and told["arm"]):
        return ""
    seed = told["seed"][1] if told["seed"] else "0"
    return f"{Path(told['study'][1]).stem}-{told['arm'][1]}-{seed}"


def run_lm_eval(given: list[str]) -> None:
    """Run lm_eval in this process with `given` command-line arguments."""
    from lm_eval.__main__ import cli_evaluate

    import turncoat.study.arm_lm  # noqa: F401  registers --model turncoat
    from turncoat.evaluation.lm_eval_compat import output_folder_name
    from turncoat.judges.spec import check_judge

    check_judge()  # lm-eval would ask for it after hours of generation only
    sys.argv = ["lm_eval", *arguments(given)]
    name = arm_name(given)
    with output_folder_name(name) if name else nullcontext():
        cli_evaluate()
