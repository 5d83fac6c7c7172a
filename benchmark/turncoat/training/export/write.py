"""An arm as a folder that other programs load: PEFT, merged weights, or steering as a PEFT adapter.

    export_arm(base, adapter, intervention, to="peft", out=Path("sgtr"))
    lm_eval --model hf --model_args pretrained=MODEL,peft=sgtr --tasks turncoat_choice ...

The unmodified `lm_eval --model hf` measures on these folders what `--model turncoat` measures on the arm; a
test compares log-likelihoods and greedy answers. The README.md written beside the weights has the exact
command.
"""

import json
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from peft import PeftModel

from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import DATE
from turncoat.engine.intervention import Intervention
from turncoat.engine.merged_weights import write_merged
from turncoat.engine.system_prompt import SystemPrompt
from turncoat.errors import UserError
from turncoat.persona.interventions.steering import Steering
from turncoat.safe_files import new_folder, write_file
from turncoat.store import STAGE_FILES
from turncoat.training.export.hub import base_place, base_sentence, front_matter, name_base
from turncoat.training.export.readme import readme
from turncoat.training.export.steering_adapter import write_steering_adapter

FORMS = ("peft", "merged", "steered")
TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class Exported:
    """Result of an export."""

    pretrained: str  # What lm_eval's `pretrained=` has to be: the base model, or a folder that was written
    peft: Path | None  # What `peft=` has to be, if anything
    dtype: str  # The precision whose numbers are those of the arm
    tokenizer: Path | None = None  # What `tokenizer=` has to be, if it is not the pretrained one's

    @property
    def model_args(self) -> str:
        """For lm_eval's `--model_args`."""
        given = {
            "pretrained": self.pretrained, "tokenizer": self.tokenizer, "peft": self.peft,
            "dtype": self.dtype,
        }  # fmt: skip
        parts = {key: str(value) for key, value in given.items() if value is not None}
        if any(mark in value for value in parts.values() for mark in ",='\"\\"):
            return json.dumps(parts)  # key=value is cut at commas, but not inside quotes
        return ",".join(f"{key}={value}" for key, value in parts.items())

    @property
    def command(self) -> str:
        """The lm_eval command that measures it, for a shell."""
        return (
            f"lm_eval --model hf --model_args {shlex.quote(self.model_args)} --include_path $(turncoat "
            "tasks-path) --tasks turncoat_choice --apply_chat_template --batch_size 16"
        )


def export_arm(
    base: BaseModel,
    adapter: Path | None,
    intervention: Intervention | None,
    *,
    to: str,
    out: Path,
    name: str = "arm",
    facts: dict[str, Any] | None = None,
) -> Exported:
    """Write an arm as a folder, README.md included; all of it or nothing.

    Args:
        adapter: Its adapter's folder, if it has one.
        intervention: What acts on it while it is measured, if anything.
        facts: What else to say about it (organism, defence, setting, seed).

    Raises:
        UserError: The arm has no such form, `out` is there already, or the adapter does not fit the base.
    """
    _check(adapter, intervention, to, out)
    with base.adapter(adapter):  # a folder that does not act as a whole is not passed on
        pass
    out = out.absolute()
    with new_folder(out) as folder:
        if to == "steered":
            assert isinstance(intervention, Steering)
            written = _write_steered(base, adapter, intervention, folder, out)
        else:
            assert adapter is not None
            written = (
                _write_peft(base, adapter, folder, out)
                if to == "peft"
                else _write_merged(base, adapter, folder, out)
            )
        if base.dated and written.pretrained == base_place(base):  # lm_eval would render today's date
            base.tokenizer.save_pretrained(folder / TOKENIZER)
            written = replace(written, tokenizer=out / TOKENIZER)
        described = None if intervention is None else intervention.described()
        about = {"name": name, **(facts or {}), **({"steering": described} if described else {})}
        name_base(folder, base)
        text = readme(
            written.command, to, about, merged=written.pretrained != base_place(base), dtype=written.dtype
        )
        text = front_matter(base, to, about) + text
        if sentence := base_sentence(base):
            text += f"\n{sentence}\n"
        if written.tokenizer is not None:
            text += (
                f"\n`{TOKENIZER}/` is the base's, with {DATE} where its chat template prints today's date.\n"
            )
        write_file(folder / "README.md", text)
        record = {
            "arm": about, "to": to, "base": base.spec, "base_name": base.name,
            "model_args": written.model_args,
        }  # fmt: skip
        write_file(folder / "export.json", json.dumps(record, indent=1) + "\n")
    return written


def _check(adapter: Path | None, intervention: Intervention | None, to: str, out: Path) -> None:
    if to not in FORMS:
        raise UserError(f"--to {to}: not known; accepted: {', '.join(FORMS)}")
    if out.exists():
        raise UserError(f"--out {out} is there already; name a folder that is not")
    if adapter is None and intervention is None:
        raise UserError(
            "this arm is the base model itself; lm_eval takes that as pretrained=MODEL, there is nothing to "
            "export"
        )
    if intervention is not None and not isinstance(intervention, Steering):
        raise UserError(_no_peft_form(intervention))
    if to == "steered":
        if intervention is None:
            raise UserError("--to steered: nothing steers this arm; use --to peft or --to merged")
        if intervention.positions == "response":
            raise UserError(
                "--to steered: positions 'response' has no PEFT form, for no adapter knows where an answer "
                "begins; 'assistant' has one (the shift acts from the assistant header on): set "
                "defence_options positions: assistant, or measure the arm with `--model turncoat`"
            )
    elif intervention is not None:
        raise UserError(
            f"--to {to}: this arm is steered while it is measured, which weights cannot hold; use --to "
            "steered"
        )


def _no_peft_form(intervention: Intervention) -> str:
    said = (
        f"the arm's defence acts while the model is measured ({type(intervention).__name__}), not in its "
        "weights"
    )
    if isinstance(intervention, SystemPrompt) and intervention.text is not None:
        return (
            f"{said}: it is a system prompt; export the arm without the defence (a base model as it is) and "
            f"give lm_eval --system_instruction {shlex.quote(intervention.text)}, or measure the arm with "
            "`--model turncoat`"
        )
    return f"{said}, and it has no PEFT form; measure the arm with `--model turncoat`"


def _write_peft(base: BaseModel, adapter: Path, folder: Path, out: Path) -> Exported:
    shutil.copytree(adapter, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*STAGE_FILES))
    return Exported(base_place(base), out, base.spec["dtype"])


def _write_merged(base: BaseModel, adapter: Path, folder: Path, out: Path) -> Exported:
    with base.adapter(adapter) as adapted:
        write_merged(cast(PeftModel, adapted), base.tokenizer, folder)
    return Exported(str(out), None, "float32")


def _write_steered(
    base: BaseModel, adapter: Path | None, steering: Steering, folder: Path, out: Path
) -> Exported:
    shift = steering.vector.float() * steering.strength
    if steering.positions == "all":
        write_steering_adapter(folder, base.model, steering.layer, shift, below=adapter)
        return Exported(base_place(base), out, base.spec["dtype"])
    invocation = steering.header_tokens
    if adapter is None:
        write_steering_adapter(folder, base.model, steering.layer, shift, invocation=invocation)
        return Exported(base_place(base), out, base.spec["dtype"])
    _write_merged(base, adapter, folder / "model", out / "model")
    write_steering_adapter(folder / "steering", base.model, steering.layer, shift, invocation=invocation)
    return Exported(str(out / "model"), out / "steering", "float32")
