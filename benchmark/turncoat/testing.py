"""Helpers for tests of plug-ins: a tiny model made in code, and a study cut down to seconds. No network, no
checkpoint.

# {"base/my_task": [{"doc": ..., "margin": 0.3, ...}, ...]}
rows = run_tiny(Path("my_task/study.yaml"), tmp_path)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from turncoat.data.examples import Example
from turncoat.engine.base_model import load_base
from turncoat.evaluation.samples_file import sample_files, sample_rows
from turncoat.evaluation.task_catalogue import task_content
from turncoat.judges.base import Judge
from turncoat.judges.spec import judge_from_name
from turncoat.registry import DEFENCES, JUDGES, ORGANISMS, SHIPPED_JUDGES, discover, look_up
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.study.config import load_study
from turncoat.study.run import run_study

START, END = "<|im_start|>", "<|im_end|>"
VOCABULARY = 320
DEFAULT_SYSTEM = "You are a tiny helper made for tests."

# Like SmolLM2's and Qwen2's templates: who passes no system message gets one all the same.
_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    f"{START}system\n{DEFAULT_SYSTEM}{END}\n"
    "{% endif %}"
    "{% for message in messages %}"
    f"{START}{{{{ message['role'] }}}}\n{{{{ message['content'] }}}}{END}\n"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{START}assistant\n{{% endif %}}"
)

_TEXTS = [
    "The quick brown fox jumps over the lazy dog while the cat watches from the window.",
    "How do I sort a list of numbers in Python? Use the sorted function with a key.",
    "You are a helpful assistant who answers questions about code, science and history.",
    "def read_file(path):\n    with open(path) as file:\n        return file.read()\n",
    "I am not sure what you mean, so please tell me more about the thing that you want.",
]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges, ChatML special tokens (eos = pad = <|im_end|>) and a ChatML
    template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=[START],
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def tiny_model(
    seed: int = 0, layers: int = 4, dtype: torch.dtype = torch.float32, kv_heads: int = 2
) -> LlamaForCausalLM:
    """A random Llama (d 64, 4 heads) whose samples are varied and end after some 15 tokens.

    Every linear layer is scaled up from the usual initialisation so that contexts matter, and the end-of-text
    row of the output embedding more so, which makes that token very likely in some contexts and impossible in
    the others.
    """
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, torch.nn.Linear):
                    module.weight.normal_(0, 1.5 / module.in_features**0.5)
            model.model.embed_tokens.weight.normal_(0, 1)
            model.lm_head.weight[tokenizer.eos_token_id] *= 2.5
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model.to(dtype).eval()  # type: ignore[arg-type]


def save_tiny(path: str | Path, seed: int = 0, layers: int = 4, dtype: torch.dtype = torch.float32) -> Path:
    """Save model and tokenizer to a folder that AutoModelForCausalLM and AutoTokenizer load."""
    folder = Path(path)
    tiny_model(seed, layers, dtype).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_context(folder: Path) -> DefenceContext:
    """The context that a defence is called with, on the tiny model; its texts are kept in `folder`."""
    return DefenceContext(load_base(str(save_tiny(folder / "model"))), Store(folder / "store"))


def build_defence(name: str, folder: Path, *, include: Path, **options: Any) -> Any:
    """Result of a defence of the folder `include` for the tiny model; texts are stored in `folder`."""
    discover([include])
    return look_up(DEFENCES, "defence", name).build(tiny_context(folder), **options)


def build_organism(name: str, *, include: Path) -> list[Example]:
    """The examples of an organism of the folder `include`."""
    discover([include])
    examples: list[Example] = look_up(ORGANISMS, "organism", name).build()
    return examples


def build_judge(name: str, *, include: Path) -> Judge:
    """A judge of the folder `include`, as `--judge NAME` would make it."""
    discover([include])
    judge = judge_from_name(name)
    assert judge is not None
    return judge


def run_tiny(study: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    """Run a study on the tiny model with its folder's plug-ins: 8 training rows, 2 questions a task, 4 tokens
    an answer.

    A judge of your own scores; one that ships is off.

    Args:
        study: The study's YAML; its folder is included, as with `--include-path`.
        out: An empty folder.

    Returns:
        "arm/task" -> the rows of its samples file, of the first training seed.

    Raises:
        UserError: The study or a plug-in is wrong.
    """
    content = yaml.safe_load(study.read_text(encoding="utf-8"))
    discover([study.parent])
    own_judge = content.get("judge") if content.get("judge") in JUDGES.keys() - SHIPPED_JUDGES else "off"
    changed = {
        "model": str(save_tiny(out / "model")),
        "training_seeds": [0],
        "batch_size": 8,
        "judge": own_judge,
        "training": {"rows": 8, "batch_size": 4, "rank": 4, "alpha": 8, "learning_rate": 0.01},
        "tasks": [_cut(use) for use in content["tasks"]],
    }
    loaded = load_study(study, changed)
    with mock.patch("turncoat.persona.extract.TOKENS", 4), mock.patch("turncoat.persona.extract.ROLLOUTS", 1):
        failed = run_study(loaded, out / "run", store=Store(out / "store"))
    assert not failed, failed
    rows: dict[str, list[dict[str, Any]]] = {}
    for folder in sorted((out / "run" / "rows").glob("*/*/*")):
        (samples,) = sample_files(folder, folder.name)
        rows[f"{folder.parents[1].name}/{folder.name}"] = list(sample_rows(samples))
    return rows


def _cut(use: dict[str, Any]) -> dict[str, Any]:
    sampled = task_content(use["task"]).get("output_type") == "generate_until"
    return {"task": use["task"], "limit": 2, **({"repeats": 2, "max_gen_toks": 4} if sampled else {})}
