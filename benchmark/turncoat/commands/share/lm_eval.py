"""`turncoat lm-eval`: the `lm_eval` command line with our model type registered and our tasks on its path.

lm-eval 0.4 reads no entry points, so its own `lm_eval` cannot know `--model turncoat`; this is the same
program, started after the registration.
"""

import argparse
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import typer
import yaml

from turncoat.commands.options import plug_ins
from turncoat.commands.printing import note
from turncoat.errors import UserError
from turncoat.paths import tasks_dir

_SUBCOMMANDS = ("run", "ls", "validate")


def lm_eval(context: typer.Context) -> None:
    """The lm_eval command with `--model turncoat` and our tasks registered; all its options work.

    `--include-path DIR` adds plug-ins of your own, as in `turncoat run`; it may be given several times.

    Example: turncoat lm-eval --model turncoat --model_args pretrained=smollm2-135m --tasks turncoat_choice
    """
    run_lm_eval(context.args)


def run_lm_eval(given: list[str]) -> None:
    """Run lm_eval in this process with `given` command-line arguments."""
    from lm_eval.__main__ import cli_evaluate

    import turncoat.study.arms.lm  # noqa: F401  registers --model turncoat
    from turncoat.evaluation.lm_eval_compat import (
        less_noise,
        more_task_folders,
        output_folder_name,
        plain_mistakes,
        results_kept,
    )
    from turncoat.evaluation.task_catalogue import task_files
    from turncoat.judges.spec import check_judge

    check_config(given)
    check_judge()  # lm-eval would ask for it after hours of generation only
    folders, rest = split_include_paths(given)
    include = plug_ins(folders)
    task_files()  # lm-eval leaves out a YAML that is broken, and then has no such task
    sys.argv = ["lm_eval", *own_cache(arguments(rest))]
    name = arm_name(rest)
    with (
        output_folder_name(name) if name else nullcontext(),
        more_task_folders(include),
        plain_mistakes(),
        less_noise(),
        results_kept() as lost,
    ):
        cli_evaluate()
    if lost:
        raise UserError(f"not saved: {', '.join(lost)}; the table above is all there is")
    if "--tasks" in " ".join(rest) and rest[0] not in _SUBCOMMANDS[1:]:
        note("what a row means and which way is better: turncoat show TASK", "dim")
        note("a level alone is not misalignment: only a difference from a matched control is", "dim")


def check_config(given: list[str]) -> None:
    """Refuse a `--config` FILE that decides what the user alone does: to run code of others, to send a key.

    Raises:
        UserError: It does.
    """
    from lm_eval.utils import simple_parse_args_string

    from turncoat.judges.prompted.endpoint import check_named

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config", "-C", type=Path)
    path = parser.parse_known_args(given)[0].config
    if path is None or not path.is_file():
        return
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return  # lm-eval says so
    config = config if isinstance(config, dict) else {}
    options = config.get("model_args") or {}
    options = simple_parse_args_string(options) if isinstance(options, str) else options
    for name in ("trust_remote_code", "confirm_run_unsafe_code"):
        if config.get(name) or options.get(name):
            raise UserError(
                f"{path}, {name}: code of others would run, which a file does not decide; take it out, and "
                f"give --{name} on the command line if you trust that code"
            )
    if address := options.get("base_url"):
        check_named(str(address))


def split_include_paths(given: list[str]) -> tuple[list[Path], list[str]]:
    """The folders of `--include-path` (or lm-eval's `--include_path`), and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--include-path", "--include_path", action="append", type=Path, default=[])
    found, rest = parser.parse_known_args(given)
    return found.include_path, rest


def arguments(given: list[str]) -> list[str]:
    """lm_eval's arguments: the path of our tasks and the chat template are added where they are missing."""
    result = list(given)
    wants_help = not result or result[-1] in ("-h", "--help")
    if wants_help:
        return result

    def has(option: str) -> bool:
        return any(argument == option or argument.startswith(f"{option}=") for argument in result)

    for option, value in zip(result, [*result[1:], ""], strict=True):
        value = option.partition("=")[2] or value
        if option.partition("=")[0] == "--apply_chat_template" and value.lower() in ("false", "no", "off"):
            raise UserError(
                f"--apply_chat_template {value}: lm-eval takes a value for the name of a template; prompts "
                'without one are measured by `lm_eval --include_path "$(turncoat tasks-path)"`'
            )
    result += ["--include_path", str(tasks_dir())]
    runs = result[0] not in _SUBCOMMANDS or result[0] == "run"
    if runs and not has("--apply_chat_template") and not has("--config"):
        result += ["--apply_chat_template"]
    return result


def own_cache(given: list[str]) -> list[str]:
    """The arguments with the model in the name of `--use_cache`: lm-eval's cache identifies requests alone.

    The answers of one model would be taken for another's. Folders count with their content.
    """
    from turncoat.engine.fingerprint import folder_fingerprint
    from turncoat.store import digest

    model: list[str] = []
    option = ""
    for argument in given:
        option = argument if argument.startswith("-") else option
        if option.partition("=")[0] in ("--model", "-M", "--model_args", "-a"):
            model.append(argument)
    paths = [Path(text) for text in re.split(r"[=,\s\"']+", " ".join(model))]
    folders = [folder_fingerprint(path) for path in paths if path.is_dir() and str(path) != "."]
    mark = digest([model, folders])[:12]
    result = list(given)
    for place, argument in enumerate(result):
        name, equals, value = argument.partition("=")
        if name == "--use_cache" and equals:
            result[place] = f"{name}={value}-{mark}"
        elif name == "--use_cache" and place + 1 < len(result):
            result[place + 1] += f"-{mark}"
    return result


def arm_name(given: list[str]) -> str:
    """The name of an arm of a study, such as "demo-sgtr-0"; empty for a model with a name of its own."""
    text = " ".join(given)

    def value(key: str) -> str:
        match = re.search(rf"(?<![\w-]){key}=([^,\s]+)", text)
        return match[1] if match else ""

    if value("pretrained") or value("peft") or not (value("study") and value("arm")):
        return ""
    return f"{Path(value('study')).stem}-{value('arm')}-{value('seed') or '0'}"
