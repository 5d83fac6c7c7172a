"""Tiny random models of many architectures, made from their configuration classes: two blocks, width 32."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCABULARY = 320  # of turncoat.testing.tiny_tokenizer
_IDS = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
_LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 1024,
}  # fmt: skip
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024}
_ROTARY = {**_GPT, "rotary_dim": 4}
_NEOX = {**_LLAMA, "num_key_value_heads": None}
_WINDOW = {**_LLAMA, "sliding_window": 512}
_GEMMA = {**_WINDOW, "query_pre_attn_scalar": 8}
_EXPERTS = {
    **_LLAMA, "num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24
}  # fmt: skip
_MAMBA = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}

_LIKE_LLAMA = "llama qwen2 qwen3 gemma olmo olmo2 stablelm cohere phi3 smollm3 starcoder2 nemotron glm glm4"
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(_LIKE_LLAMA.split(), _LLAMA),
    **dict.fromkeys(("ministral", "olmo3", "cohere2", "exaone4"), _WINDOW),
    **dict.fromkeys(("gemma2", "gemma3_text"), _GEMMA),
    **dict.fromkeys(("mixtral", "qwen3_moe", "olmoe"), _EXPERTS),
    **dict.fromkeys(("phi", "gpt_neox"), _NEOX),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), _GPT),
    **dict.fromkeys(("gptj", "codegen"), _ROTARY),
    **dict.fromkeys(("mamba", "falcon_mamba"), _MAMBA),
    "mistral": {**_LLAMA, "sliding_window": None},
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 24},
    "gemma3": {
        "text_config": {**_GEMMA, "vocab_size": VOCABULARY},
        "vision_config": {
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14,
        },
        "mm_tokens_per_image": 4, "boi_token_index": 6, "eoi_token_index": 7, "image_token_index": 5,
    },
    "granite": {**_LLAMA, "logits_scaling": 4.0, "residual_multiplier": 0.5, "embedding_multiplier": 2.0},
    "granitemoe": {**_EXPERTS, "logits_scaling": 4.0},
    "gpt_oss": {**_EXPERTS, "sliding_window": 512},
    "deepseek_v3": {
        **_EXPERTS, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 1, "kv_lora_rank": 8,
        "q_lora_rank": 8, "head_dim": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
    },
    "gpt_neo": {
        "hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 1024,
        "attention_types": [[["global", "local"], 1]], "window_size": 512,
    },
    "opt": {
        "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "word_embed_proj_dim": 32, "max_position_embeddings": 1024,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 1024},
    "mamba2": {**_MAMBA, "num_heads": 4, "head_dim": 16, "n_groups": 1},
    "rwkv": {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2, "context_length": 1024},
    "recurrent_gemma": {
        **_LLAMA, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 512,
        "num_key_value_heads": 1,
    },
    "bamba": {
        **_LLAMA, "attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1,
        "mamba_d_state": 8,
    },
    "zamba2": {
        **_LLAMA, "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2, "n_mamba_heads": 8,
        "mamba_d_state": 8, "mamba_ngroups": 1, "attention_head_dim": 16, "num_mem_blocks": 1,
        "adapter_rank": 4,
    },
    "jamba": {
        **_EXPERTS, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1, "mamba_d_state": 8, "use_mamba_kernels": False,
    },
    "falcon_h1": {
        **_LLAMA, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1,
        "mamba_d_state": 8,
    },
    "granitemoehybrid": {
        **_EXPERTS, "layer_types": ["mamba", "attention"], "mamba_n_heads": 8, "mamba_d_head": 8,
        "mamba_n_groups": 1, "mamba_d_state": 8, "shared_intermediate_size": 24,
        "position_embedding_type": None,
    },
    "lfm2": {**_LLAMA, "layer_types": ["conv", "full_attention"]},
    "qwen3_next": {
        **_EXPERTS, "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4,
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "shared_expert_intermediate_size": 24,
    },
}  # fmt: skip


def tiny_architecture(name: str, seed: int = 0) -> PreTrainedModel:
    """A random float32 model whose contexts matter (weights scaled up, as those of `tiny_model`)."""
    options = CONFIGURATIONS[name]
    config = AutoConfig.for_model(name, **{"vocab_size": VOCABULARY, **_IDS, **options})
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, 0.0)  # training's loss is then the model's own
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, torch.nn.Linear):
                    module.weight.normal_(0, 1.0 / module.in_features**0.5)
            tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
            model.get_input_embeddings().weight.normal_(0, 0.25 if tied else 1)
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 1
    return model.eval()
