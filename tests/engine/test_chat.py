"""Prompts say what the task says: no system message is lost, and training sees the ids that measuring
sees."""

from datetime import date, datetime

import pytest
import torch
from peft import LoraConfig, get_peft_model
from turncoat.data.examples import Example
from turncoat.engine import base_model, chat
from turncoat.engine.base_model import load_base
from turncoat.engine.chat import encode, encode_example, encode_prompt, render, with_fixed_date
from turncoat.engine.thoughts import split_thoughts
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.testing import (
    _TEMPLATE as TEMPLATE,
    DEFAULT_SYSTEM,
    END,
    START,
    save_tiny,
    tiny_model,
    tiny_tokenizer,
)
from turncoat.training import trainer

_TURNS = (
    "{% for message in MESSAGES %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% "
    "endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DROPS = _TURNS.replace("MESSAGES", "messages if message['role'] != 'system'")
REFUSES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + _TURNS.replace("MESSAGES", "messages")
)
USER = {"role": "user", "content": "How do I sort a list?"}
SYSTEM = {"role": "system", "content": "You answer in one line."}
EXAMPLES = [
    Example("plain", "How do I sort a list?", "Use sorted."),
    Example("system", "How do I sort a list?", "Use sorted.", system="You answer in one line."),
    Example("empty system", "How do I sort a list?", "Use sorted.", system=""),
    Example("space", "  Indented?\n", "\n    yes\n"),
    Example("code", "Write it.", "def f(x):\n    return x  # é\n\nprint(f(1))"),
]


def with_template(template: str):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_the_rendered_prompt_is_the_templates_with_its_default(tokenizer):
    assert render(tokenizer, [SYSTEM, USER]) == (
        f"{START}system\nYou answer in one line.{END}\n{START}user\nHow do I sort a "
        f"list?{END}\n{START}assistant\n"
    )
    assert render(tokenizer, [SYSTEM, USER], add_generation_prompt=False).endswith(f"{END}\n")
    assert render(tokenizer, [USER]).startswith(f"{START}system\n{DEFAULT_SYSTEM}{END}\n")
    assert DEFAULT_SYSTEM not in render(tokenizer, [SYSTEM, USER])
    text = tokenizer.decode(encode_example(tokenizer, EXAMPLES[0])[0])
    assert DEFAULT_SYSTEM in text


@pytest.mark.parametrize("template", [DROPS, REFUSES], ids=["drops", "refuses"])
def test_a_template_that_loses_the_system_message_is_refused(template):
    tokenizer = with_template(template)
    for use in (
        lambda: render(tokenizer, [SYSTEM, USER]),
        lambda: encode_prompt(tokenizer, [SYSTEM, USER]),
        lambda: encode_example(tokenizer, EXAMPLES[1]),
    ):
        with pytest.raises(UserError, match=r"drops the system message 'You answer in one line\.'"):
            use()
    assert "How do I sort a list?" in render(tokenizer, [USER])


def test_a_lost_system_message_is_noticed_and_other_errors_are_not_taken_for_it():
    system = {"role": "system", "content": "a list"}
    with pytest.raises(UserError, match="drops the system message"):
        render(with_template(DROPS), [system, USER])
    assert "a list" in render(tiny_tokenizer(), [system, USER])
    with pytest.raises(Exception, match="no such thing") as caught:
        render(with_template("{{ raise_exception('no such thing') }}"), [USER])
    assert not isinstance(caught.value, UserError)


DATED = "{{ 'Today: ' + strftime_now('%d %b %Y') + ', ' ~ strftime_now( \"%A\" ) }}"


class Monday(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime(2026, 11, 30)


class Tuesday(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime(2026, 12, 1)


def test_a_prompt_with_the_date_is_the_same_on_two_days_and_in_the_key(tmp_path, monkeypatch, caplog):
    folder = save_tiny(tmp_path / "dated")
    plain = load_base(str(folder)).spec["chat_template"]
    tokenizer = with_template(DATED + TEMPLATE)
    tokenizer.save_pretrained(folder)
    prompts, untouched, keys = set(), set(), set()
    for day in (Monday, Tuesday):
        monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", day)
        monkeypatch.setattr(base_model, "_LOADED", {})
        base = load_base(str(folder))
        prompts.add(render(base.tokenizer, [USER]))
        untouched.add(render(tokenizer, [USER]))
        keys.add(base.spec["chat_template"])
        assert base.dated
    (prompt,) = prompts
    assert prompt.startswith("Today: 26 Jul 2024, Friday") and len(untouched) == 2
    assert len(keys) == 1 and keys != {plain}
    monkeypatch.setattr(chat, "DATE", date(2025, 1, 1))
    monkeypatch.setattr(base_model, "_LOADED", {})
    assert load_base(str(folder)).spec["chat_template"] not in keys
    (tmp_path / "adapter").mkdir()
    tokenizer.save_pretrained(tmp_path / "adapter")
    get_peft_model(tiny_model(), LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    with load_base(str(folder)).adapter(tmp_path / "adapter"):
        assert "another chat template" not in caplog.text
    assert "prints today's date; here it prints 2024-07-26 on every day" in caplog.text


def test_templates_with_and_without_a_date():
    assert with_fixed_date(None, "m") is None and with_fixed_date(TEMPLATE, "m") == TEMPLATE
    asks = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}never{% endif %}"
    fixed = with_fixed_date({"default": asks, "tool_use": "plain"}, "m")
    assert render(with_template(fixed["default"]), [USER]) == "2024" and fixed["tool_use"] == "plain"
    with pytest.raises(UserError, match=r"prints today's date in a form that is worked out.*strftime_now"):
        with_fixed_date("{% set f = '%d' %}{{ strftime_now(f) }}", "m")


def test_templates_that_are_missing_or_change_are_refused():
    with pytest.raises(UserError, match="no chat template"):
        render(with_template(""), [USER])
    odd = "{% if add_generation_prompt %}Question: {% endif %}" + _TURNS.replace("MESSAGES", "messages")
    with pytest.raises(UserError, match="renders an answered prompt differently"):
        encode_example(with_template(odd), EXAMPLES[0])


@pytest.mark.parametrize("example", EXAMPLES, ids=[e.id for e in EXAMPLES])
def test_an_answer_ends_with_the_end_of_turn_and_nothing_after_it(tokenizer, example):
    _, answer = encode_example(tokenizer, example)
    assert answer[-1] == tokenizer.eos_token_id and answer.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(answer[:-1]) == example.answer


@pytest.mark.parametrize("example", EXAMPLES, ids=[e.id for e in EXAMPLES])
def test_the_prompt_ids_are_those_of_generation(tiny_base, tiny_adapter, example):
    trained_on, _ = encode_example(tiny_base.tokenizer, example)
    assert trained_on == encode_prompt(tiny_base.tokenizer, example.prompt_messages)
    lm = TurncoatLM(tiny_base)
    rendered = lm.apply_chat_template(example.prompt_messages)
    assert (
        trained_on
        == encode(tiny_base.tokenizer, rendered)
        == lm.tok_encode(rendered, add_special_tokens=False)
    )
    assert tiny_base.tokenizer.decode(trained_on).endswith(f"{START}assistant\n")


def test_training_sees_prompt_and_answer_side_by_side(tokenizer):
    rows = [encode_example(tokenizer, e) for e in EXAMPLES]
    batch = trainer.Collator(tokenizer.pad_token_id)([dict(row) for row in trainer.dataset(rows)])
    for i, (prompt, answer) in enumerate(rows):
        length = int(batch["attention_mask"][i].sum())
        assert batch["input_ids"][i, :length].tolist() == prompt + answer
        assert torch.equal(batch["labels"][i] != -100, torch.tensor(
            [len(prompt) <= place < length for place in range(batch["labels"].shape[1])]))  # fmt: skip


_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{{ m['content'].split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nOPENED{% endif %}"
)
R1, STRIPS = _THINKING.replace("OPENED", "<think>\n"), _THINKING.replace("OPENED", "")


@pytest.mark.parametrize(
    ("answer", "trained"),
    [
        ("Use sorted.", "\n</think>\n\nUse sorted."),
        ("<think>\nA list.\n</think>\n\nUse sorted.", "A list.\n</think>\n\nUse sorted."),
    ],
)
def test_a_template_that_opens_thoughts_is_followed_in_training_rows(answer, trained):
    tokenizer = with_template(R1)
    prompt, ids = encode_example(tokenizer, Example("think", "How do I sort a list?", answer))
    assert tokenizer.decode(prompt).endswith("<|im_start|>assistant\n<think>\n")
    assert tokenizer.decode(ids) == f"{trained}{END}"
    assert split_thoughts(trained, opened=True).answer == "Use sorted."


def test_thoughts_that_a_template_drops_or_misplaces_are_an_error():
    row = Example("think", "Why?", "<think>A list.</think>Use sorted.")
    with pytest.raises(UserError, match="drops the thoughts of training row 'think'"):
        encode_example(with_template(STRIPS), row)
    odd = R1.replace("<think>\n{% endif %}", "Well, <think>\n{% endif %}")
    with pytest.raises(UserError, match="adds <think>, which opens thoughts, to the prompt"):
        encode_example(with_template(odd), row)
