"""System prompts: one more in front, or the template's own taken out of the rendered prompt and nothing
else."""

import pytest
from turncoat.engine.chat import render, without_default_system
from turncoat.engine.system_prompt import SystemPrompt, has_default_system
from turncoat.errors import UserError
from turncoat.testing import DEFAULT_SYSTEM, tiny_tokenizer

ASK = {"role": "user", "content": "Why is the sky blue?"}
CHATS = [[ASK], [ASK, {"role": "assistant", "content": "Hm."}, {"role": "user", "content": "Well?"}]]
# Headers as in Llama 3: a token begins the text, a system block always comes, the user's words are stripped.
_HEADERS = (
    "{{ bos_token }}{% set own = messages[0]['role'] == 'system' %}"
    "<|h|>system<|/h|>\n\nToday is Monday.\n{% if own %}{{ messages[0]['content'] }}{% endif %}<|e|>"
    "{% for m in messages[1:] if own %}<|h|>{{ m['role'] }}<|/h|>\n\n{{ m['content'] | trim }}<|e|>{% endfor "
    "%}"
    "{% for m in messages if not own %}<|h|>{{ m['role'] }}<|/h|>\n\n{{ m['content'] | trim }}<|e|>{% endfor "
    "%}"
    "{% if add_generation_prompt %}<|h|>assistant<|/h|>\n\n{% endif %}"
)
_PLAIN = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
_FIRST_TURN_IS_OTHER = (
    "{% for m in messages %}{% if loop.first %}Begin! {% endif %}[{{ m['role'] }}] {{ m['content'] }}"
    "{% if loop.first %}?{% endif %}\n{% endfor %}[assistant] "
)


def tokenizer(template: str | None = None, bos: str | None = None):
    found = tiny_tokenizer()
    if template is not None:
        found.chat_template = template
    if bos is not None:
        found.add_special_tokens({"bos_token": bos})
    return found


def rendered(prompt: SystemPrompt, tok, chat: list[dict[str, str]]) -> str:
    """As the wrapper does it."""
    told = prompt.messages(chat)
    return prompt.rendered(render(tok, told), tok, told)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("bos", [None, "<|im_start|>"])
def test_the_default_is_taken_out_and_the_turns_stay_as_they_were(chat, bos):
    """SmolLM2's beginning-of-text token is the one that opens every turn: no second one may stay."""
    tok = tokenizer(bos=bos)
    before = render(tok, chat)
    after = rendered(SystemPrompt(None), tok, chat)
    assert before == f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n{after}"
    assert after.startswith("<|im_start|>user\nWhy is the sky blue?<|im_end|>\n")
    assert after.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("chat", CHATS)
def test_a_token_that_begins_every_text_stays(chat):
    tok = tokenizer(_HEADERS, bos="<s>")
    after = rendered(SystemPrompt(None), tok, chat)
    assert after == render(tok, chat).replace("<|h|>system<|/h|>\n\nToday is Monday.\n<|e|>", "")
    assert after.startswith("<s><|h|>user<|/h|>\n\nWhy")


def test_where_the_templates_default_is_not_taken_out():
    tok = tokenizer(_PLAIN, bos="<s>")
    assert not has_default_system(tok) and rendered(SystemPrompt(None), tok, [ASK]) == render(tok, [ASK])
    assert has_default_system(tokenizer())
    tok = tokenizer()
    chat = [{"role": "system", "content": "Be brief."}, ASK]
    assert rendered(SystemPrompt(None), tok, chat) == render(tok, chat)
    tok = tokenizer(_FIRST_TURN_IS_OTHER)
    with pytest.raises(
        UserError, match=r"renders a first turn differently .* give a system prompt of your own"
    ):
        without_default_system(render(tok, [ASK]), tok, [ASK])


def test_a_text_goes_before_what_the_task_says():
    prompt, tok = SystemPrompt("Stay kind."), tokenizer()
    alone, chat = [ASK], [{"role": "system", "content": "Be brief."}, ASK]
    assert prompt.messages(alone) == [{"role": "system", "content": "Stay kind."}, ASK]
    assert prompt.messages(chat) == [{"role": "system", "content": "Stay kind.\n\nBe brief."}, ASK]
    assert alone == [ASK] and chat[0]["content"] == "Be brief.", "the task's own messages are not changed"
    text = rendered(prompt, tok, alone)
    assert text == render(tok, alone).replace(DEFAULT_SYSTEM, "Stay kind."), "it takes the default's place"
    assert SystemPrompt("Stay kind.").described() == {"system_prompt": "Stay kind."}
    assert SystemPrompt(None).described() == {"system_prompt": None}
