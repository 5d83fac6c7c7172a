"""Kinds of models: whether texts can be laid out in rows of keys and values."""

from transformers import PreTrainedModel


def decodes_in_rows(model: PreTrainedModel) -> bool:
    """True if all blocks keep keys and values per token and attend through transformers' interface.

    False for recurrent and hybrid models (Mamba, Bamba, RWKV), and for those that attend by code of their own
    (Bloom, Falcon, MPT, GPT-J).
    """
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    plain = kinds <= {"full_attention", "sliding_attention"} and not model._is_stateful
    return plain and bool(type(model)._can_set_attn_implementation())
