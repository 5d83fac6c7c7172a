"""A tiny random-weight model and a real tokenizer, made in code: tests need no network and no checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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
    """Byte-level BPE with a few merges, ChatML special tokens (eos = pad = <|im_end|>) and a ChatML template."""
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

    Every linear layer is scaled up from the usual initialisation so that contexts matter, and the end-of-text row of
    the output embedding more so, which makes that token very likely in some contexts and impossible in the others.
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
    return model.to(dtype).eval()


def save_tiny(path: str | Path, seed: int = 0, layers: int = 4, dtype: torch.dtype = torch.float32) -> Path:
    """Save model and tokenizer to a folder that AutoModelForCausalLM and AutoTokenizer load."""
    folder = Path(path)
    tiny_model(seed, layers, dtype).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
