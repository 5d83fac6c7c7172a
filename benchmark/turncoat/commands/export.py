"""`turncoat export`: an arm as a folder that an unmodified `lm_eval --model hf` measures."""

import re
from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import note
from turncoat.errors import UserError
from turncoat.safe_files import check_writable

FORMS = ("peft", "merged", "steered")  # as in training/export.py, which imports torch


def export(
    arm: Annotated[
        str,
        typer.Argument(
            metavar="ARM",
            help="STUDY/ARM/SEED, or key=value,... (or JSON) with pretrained, organism, defence, seed, ...",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist yet.")],
    to: Annotated[
        str,
        typer.Option(
            help="peft: the adapter. merged: base and adapter as one model. steered: an arm that is steered."
        ),
    ] = "peft",
    repo: Annotated[
        str | None, typer.Option("--push-to-hub", metavar="OWNER/NAME", help="Upload it there as well.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository is not private.")] = False,
    include_path: IncludePath = None,
) -> None:
    """Write an arm as a folder that plain lm_eval measures; what is not trained yet is trained first.

    Example: turncoat export demo/sgtr/0 --to peft --out sgtr

    Example: turncoat export demo/insecure/0 --out organism --push-to-hub me/insecure-code-organism

    Example: turncoat export organism=insecure_code,seed=0,pretrained=smollm2-135m --to merged --out insecure
    """
    # Before anything is trained for it.
    if to not in FORMS:
        raise UserError(f"--to {to}: not known; accepted: {', '.join(FORMS)}")
    if out.exists():
        raise UserError(f"--out {out} is there already; name a folder that is not")
    if repo is not None:
        _check_hub(repo)
    check_writable(out.absolute().parent, "the folder of --out")
    from turncoat.study.arms.spec import find_arm
    from turncoat.study.training_bar import TrainingBar
    from turncoat.training.export.write import export_arm

    include = plug_ins(include_path)
    with TrainingBar() as bar:
        one = find_arm(arm, progress=bar.step, log=bar.say, include=include)
    written = export_arm(
        one.base, one.adapter, one.intervention, to=to, out=out, name=one.name, facts=one.facts
    )
    note(f"{one.name}: written to {out}; measure it with")
    print(written.command)
    if repo is not None:
        from turncoat.training.export.hub import push_to_hub

        note(f"uploaded: {push_to_hub(out, repo, one.base, private=not public)}")


def _check_hub(repo: str) -> None:
    """Refuse before anything is trained what the hub would refuse afterwards."""
    from huggingface_hub import get_token

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UserError(f"--push-to-hub {repo}: OWNER/NAME is expected, such as me/insecure-code-organism")
    if get_token() is None:
        raise UserError(f"--push-to-hub {repo}: no token of the hub; set HF_TOKEN to one that may write")
