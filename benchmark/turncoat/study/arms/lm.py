"""`--model turncoat`: any arm for lm-eval, trained on the way if it is not there yet.

    turncoat lm-eval --model turncoat --tasks turncoat \\
        --model_args pretrained=smollm2-135m,organism=insecure_code,defence=sgtr,setting=prevention,seed=0
    turncoat lm-eval --model turncoat --model_args study=demo,arm=sgtr,seed=0 --tasks turncoat_choice

The same arm in a study's YAML is the same artifact.
"""

import inspect
from typing import Any

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import simple_parse_args_string

from turncoat.data.availability import check_model
from turncoat.engine.base_model import LOAD_OPTIONS, BaseModel, load_base
from turncoat.errors import UserError, accepted
from turncoat.evaluation.lm import TurncoatLM
from turncoat.store import Store
from turncoat.study.arms.spec import build_arm, parse_arm
from turncoat.study.training_bar import TrainingBar

_ARM = ("organism", "defence", "setting", "seed", "training", "defence_options", "defence_training",
        "defence_texts", "more_defences", "system", "study", "arm")  # fmt: skip


@register_model("turncoat")
class ArmLM(TurncoatLM):
    """A base model, one's own adapter on it (`peft=`), or an arm by its names.

    Args:
        pretrained: As in `TurncoatLM`; a study names it itself.
        organism: What the base is finetuned on (`turncoat list organisms`, or a .jsonl).
        defence: A defence (`turncoat list defences`).
        setting: When it acts: prevention, in_training, reversal or inference.
        seed: Training seed.
        training: The organism's recipe as in a study's `training:`; a mapping (give `--model_args` as JSON).
        defence_options, defence_training, defence_texts, more_defences: As in a study's arm; give
            `--model_args` as JSON.
        system: System prompt while it is measured: default, none, identity or a text.
        study, arm: Instead: an arm of a study that ships or of a YAML.
        dtype, device, store, options: As in `TurncoatLM`.

    Raises:
        UserError: The arm is not one, `peft=` is given beside it, or an argument is unknown.
    """

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Any = None) -> "ArmLM":
        """As `create_from_arg_obj`, from the text of `--model_args`."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: Any = None) -> "ArmLM":
        """The model of `--model_args`; lm-eval passes `additional_config` (its own options) beside them.

        Raises:
            UserError: Both hold an option.
        """
        for key, value in (additional_config or {}).items():
            if value is not None and key in arg_dict:
                raise UserError(
                    f"--model_args {key}={arg_dict[key]}: lm_eval has an option of its own for it (now "
                    f"{value}); leave it out there and give --{key} {arg_dict[key]}"
                )
        return super().create_from_arg_obj(arg_dict, additional_config)

    def __init__(
        self,
        pretrained: str | BaseModel | None = None,
        *,
        dtype: str = "auto",
        device: str | None = None,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        _check(options)
        given = {key: options.pop(key) for key in _ARM if key in options}
        if all(given.get(key) is None for key in ("organism", "defence", "system", "study")):
            if pretrained is None:
                raise UserError(
                    "--model turncoat needs pretrained= (`turncoat list models`), or study= and arm="
                )
            if given.get("arm") is not None:
                raise UserError(f"arm={given['arm']}: an arm of which study? give study=, a name or a path")
            if isinstance(pretrained, str) and "revision" not in options:
                check_model(pretrained)
            super().__init__(pretrained, dtype=dtype, device=device, store=store, **options)
            return
        if options.get("peft") is not None:
            raise UserError(
                f"peft={options['peft']} and an arm are both given; an arm has its own adapter: leave one out"
            )
        if "steer" in options:
            raise UserError(
                "steer= and an arm are both given; use defence=steering,setting=inference instead"
            )
        loaded = pretrained if isinstance(pretrained, BaseModel) else None
        given["pretrained"] = loaded.name if loaded else pretrained
        choice = parse_arm({**given, "dtype": dtype if dtype != "auto" else None})
        from_pretrained = {key: options.pop(key) for key in LOAD_OPTIONS if key in options}
        if loaded is None and "revision" not in from_pretrained:
            check_model(choice.pretrained)
        base = loaded or load_base(
            choice.pretrained, dtype=choice.dtype, device=self.usable(device), **from_pretrained
        )
        store = store or Store()
        with TrainingBar() as bar:
            resolved = build_arm(choice, base, store=store, progress=bar.step, log=bar.say)
        super().__init__(
            base, peft=None if resolved.adapter is None else str(resolved.adapter), store=store, **options
        )
        self.arm = {**self.arm, "name": resolved.name, **resolved.facts}
        self.steering = resolved.intervention


_OWN = {*_ARM, *LOAD_OPTIONS, *inspect.signature(TurncoatLM.__init__).parameters} - {"self", "options"}
_HF = set(inspect.signature(HFLM.__init__).parameters) - {"self", "kwargs"} - _OWN
_THINKING = {"enable_thinking", "think_end_token", "chat_template_args"}


def _check(options: dict[str, Any]) -> None:
    """Refuse arguments that nobody would read, before a model is loaded."""
    for name, value in options.items():
        if name in _OWN:
            continue
        if name == "token":
            raise UserError(
                "--model_args token=...: lm_eval keeps its arguments in files; set HF_TOKEN instead"
            )
        shown = f"--model_args {name}={value}"
        if name in _THINKING:
            raise UserError(
                f"{shown}: --model turncoat renders prompts with the model's chat template as it is saved; "
                "save a copy of the model whose chat template begins with, say, "
                "{%- set enable_thinking = false %}"
            )
        if name in _HF:
            raise UserError(f"{shown} is an argument of --model hf, not of --model turncoat; leave it out")
        hidden = {"store", "progress", "max_batch_size"}
        raise UserError(f"{shown} is not an argument of --model turncoat; {accepted(_OWN - hidden, name)}")
