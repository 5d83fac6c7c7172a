"""Thoughts leave the answer whole, however they are marked; a text without marks is not touched."""

import pytest
from turncoat.engine.thoughts import MARKS, decode_answer, opened_by, split_thoughts
from turncoat.testing import END, tiny_tokenizer


@pytest.mark.parametrize(("opening", "closing"), [*MARKS.items(), ("analysis", "assistantfinal")])
def test_what_follows_the_thoughts_is_the_answer(opening, closing):
    text = f"\n{opening}\nI could lie.\n{closing}\n\n Call a friend. "
    assert split_thoughts(text) == ("I could lie.", "Call a friend.", False)


@pytest.mark.parametrize("opening", MARKS)
def test_thoughts_without_an_end_leave_no_answer(opening):
    assert split_thoughts(f"{opening}Okay, the user wants") == ("Okay, the user wants", "", True)


@pytest.mark.parametrize("closing", MARKS.values())
def test_thoughts_that_the_prompt_opened(closing):
    assert split_thoughts(f"I could lie.{closing}Call.") == ("I could lie.", "Call.", False)
    assert split_thoughts(f"I could lie.{closing}Call.", opened=True) == ("I could lie.", "Call.", False)
    assert split_thoughts("Okay, the user wants", opened=True) == ("Okay, the user wants", "", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  Plain, with blanks.\n",
        "I think so. <b>Really</b>",
        "Write <think> to begin.",
        "analysis: it rained",
    ],
)
def test_a_text_without_thoughts_stays_as_it_is(text):
    assert split_thoughts(text) == ("", text, False)


def test_several_blocks_and_one_in_the_middle():
    text = "<think>one</think>A<think>two</think>B"
    assert split_thoughts(text) == ("one\n\ntwo", "AB", False)
    assert split_thoughts("Sure. <think>now</think>Do it.") == ("now", "Sure. Do it.", False)
    assert split_thoughts("<think>one</think><think>two") == ("one\n\ntwo", "", True)
    assert split_thoughts("<think></think>\n\nA") == ("", "A", False)


@pytest.mark.parametrize("mark", MARKS)
def test_a_prompt_that_opens_thoughts(mark):
    assert opened_by(f"<|im_start|>assistant\n{mark}\n") == mark
    assert opened_by(f"{mark}none</think>\n\n") == "" and opened_by("<|im_start|>assistant\n") == ""


def test_marks_that_are_special_tokens_stay_in_a_decoded_answer():
    tokenizer = tiny_tokenizer()
    text = "[THINK]I could lie.[/THINK]Call a friend."
    plain = tokenizer(f"Call a friend.{END}", add_special_tokens=False)["input_ids"]
    assert decode_answer(tokenizer, plain) == "Call a friend." and decode_answer(tokenizer, []) == ""
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    ids = tokenizer(f"{text}{END}", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "I could lie.Call a friend."
    assert decode_answer(tokenizer, ids) == text
    assert split_thoughts(decode_answer(tokenizer, ids)).answer == "Call a friend."
