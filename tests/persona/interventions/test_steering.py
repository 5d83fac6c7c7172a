"""Steering: exactly c times the vector, at the right block and positions, and nothing left behind."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from persona.interventions.tiny_states import IDS, hook_count, states
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.persona.interventions.steering import SteeredLogLikelihood, Steering, generation_header, steered
from turncoat.testing import tiny_model, tiny_tokenizer

HEADER = generation_header(tiny_tokenizer())
VECTOR = torch.nn.functional.normalize(torch.linspace(-1, 2, 64), dim=0)


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("strength", [1.5, -0.7])
def test_the_state_of_that_layer_moves_by_exactly_c_v_and_those_below_not_at_all(network, layer, strength):
    plain = states(network)
    with steered(network, layer, VECTOR, strength):
        moved = states(network)
    for below in range(layer):
        assert torch.equal(moved[below], plain[below])
    assert torch.equal(moved[layer], plain[layer] + VECTOR * strength)
    for above in range(layer + 1, 5):
        assert not torch.allclose(moved[above], plain[above], atol=1e-3)


def test_it_acts_at_the_block_that_transformers_calls_layer_minus_one(network):
    """The off-by-one that peers fell into: index L is the output of `layers[L - 1]`, hidden_states[L] of
    transformers."""
    seen = {}
    handle = network.model.layers[1].register_forward_hook(
        lambda module, args, output: seen.update(own=output)
    )
    with steered(network, 2, VECTOR, 3.0), torch.inference_mode():
        hidden = network(IDS, output_hidden_states=True).hidden_states
    handle.remove()
    with torch.inference_mode():
        plain = network(IDS, output_hidden_states=True).hidden_states
    assert torch.equal(hidden[2], plain[2] + VECTOR * 3.0) and torch.equal(hidden[1], plain[1])
    assert torch.equal(seen["own"], hidden[2]), "a hook set earlier sees the steered state"


def test_zero_is_the_unsteered_model_and_scopes_add_up(network):
    before, hooks = network(IDS).logits, hook_count(network)
    with steered(network, 2, VECTOR, 0.0):
        assert hook_count(network) == hooks and torch.equal(network(IDS).logits, before)
    plain = states(network)[2]
    with steered(network, 2, VECTOR, 1.0), steered(network, 2, VECTOR.flip(0), 2.0):
        torch.testing.assert_close(states(network)[2], plain + VECTOR + 2 * VECTOR.flip(0))
    with pytest.raises(KeyError), steered(network, 2, VECTOR, 1.0):
        raise KeyError
    with pytest.raises(KeyboardInterrupt), steered(network, 2, VECTOR, 1.0):
        raise KeyboardInterrupt


def test_blocks_that_return_tuples_keep_the_rest(network):
    class Tupled(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **kwargs):
            return (self.inner(*args, **kwargs), "attention")

    seen = {}
    inner = network.model.layers[3]
    network.model.layers[3] = Tupled(inner)
    handle = network.model.layers[3].register_forward_hook(
        lambda m, a, out: (seen.update(out=out), out[0])[1]
    )
    with steered(network, 4, VECTOR, 2.0), torch.inference_mode():
        network(IDS)
    handle.remove()
    network.model.layers[3] = inner
    assert seen["out"][1] == "attention" and torch.equal(seen["out"][0], states(network)[4] + VECTOR * 2)


def test_half_precision_and_adapters():
    model = get_peft_model(tiny_model(dtype=torch.bfloat16), LoraConfig(target_modules=["v_proj"]))
    plain = states(model)
    with steered(model, 2, VECTOR, 1.5):
        moved = states(model)
    assert moved[2].dtype == torch.bfloat16 and torch.equal(moved[2], plain[2] + (VECTOR * 1.5).bfloat16())


@pytest.mark.parametrize(("arguments", "said"), [
    ({"layer": 0}, "steering layer 0: accepted are 1 to 4"), ({"layer": 5}, "accepted are 1 to 4"),
    ({"layer": 2.0}, r"steering layer 2\.0"),
    ({"vector": torch.ones(3)}, r"shape \(3,\) does not fit a model of width 64"),
    ({"strength": float("nan")}, "is not a finite number"),
    ({"positions": "prompt"}, "'prompt' are not known; accepted: all, response, assistant"),
    ({"positions": "assistant"}, r"need header_tokens; give generation_header\(tokenizer\)"),
])  # fmt: skip
def test_mistakes_are_named(network, arguments, said):
    with (
        pytest.raises(UserError, match=said),
        steered(network, **{"layer": 2, "vector": VECTOR, **arguments}),
    ):
        pytest.fail("the scope was entered")


@pytest.mark.parametrize("positions", ["all", "response", "assistant"])
def test_reading_a_steered_answer_sees_what_its_generation_saw(network, positions):
    newline = tuple(tiny_tokenizer()("\n")["input_ids"])
    prompts = [(*p, *HEADER, *newline) for p in ((5, 9, 200), (61, 300, 12, 8, 4, 77, 31, 90), (14,))]
    requests = [
        SampleRequest(prompt_ids=prompt, seed=seed, max_new_tokens=9, temperature=1.0, key=seed)
        for seed, prompt in enumerate(prompts * 2)
    ]
    with steered(network, 2, 40 * VECTOR, 1.0, positions, header_tokens=HEADER):
        drawn = Sampler(network, tiny_tokenizer(), batch_size=2, capture=True, refill=True).run(requests)
        readings = read_texts(
            network, 1, [(r.prompt_ids, d.token_ids) for r, d in zip(requests, drawn, strict=True)]
        )
    unsteered = Sampler(network, tiny_tokenizer(), batch_size=2).run(requests)
    assert [d.token_ids for d in drawn] != [d.token_ids for d in unsteered]
    compared = 0
    for one, reading in zip(drawn, readings, strict=True):
        if one.activation is not None:
            torch.testing.assert_close(one.activation, reading.activation, rtol=0, atol=1e-4)
            compared += 1
    assert compared >= 4


def test_all_and_response_differ_in_the_prompt_alone(network):
    item = [((5, 9, 200, 33), (14, 7, 61))]
    found = {}
    for positions in ("all", "response"):
        with steered(network, 2, 40 * VECTOR, 1.0, positions):
            found[positions] = read_texts(network, 1, item)[0]
    plain = read_texts(network, 1, item)[0]
    for reading in found.values():
        torch.testing.assert_close(
            reading.activation[2], plain.activation[2] + 40 * VECTOR, rtol=0, atol=1e-3
        )
    assert (found["all"].activation[4] - found["response"].activation[4]).abs().max() > 1e-3
    plain = states(network)[2]
    with steered(network, 2, VECTOR, 2.0, "response"):
        prefill, decoding = states(network)[2], states(network, IDS[:, :1])[2]
    with steered(network, 2, VECTOR, 2.0, "response", prompt_lengths=[2, 5]):
        whole = states(network)[2]
    torch.testing.assert_close(prefill[:, :-1], plain[:, :-1], rtol=0, atol=0)
    assert torch.equal(prefill[:, -1], plain[:, -1] + VECTOR * 2)
    assert torch.equal(decoding, states(network, IDS[:, :1])[2] + VECTOR * 2)
    for row, first in ((0, 1), (1, 4)):
        assert torch.equal(whole[row, :first], plain[row, :first])
        assert torch.equal(whole[row, first:], plain[row, first:] + VECTOR * 2)


def test_from_the_assistant_header_on_everything_moves_and_before_it_nothing(network):
    twice = [9, *HEADER, 4, 7, *HEADER, 8, 5]  # the last header of a row counts
    once = [5, 9, 200, *HEADER]
    ids = torch.tensor([twice, once + [33] * (len(twice) - len(once))])
    plain, alone = states(network, ids)[2], states(network, IDS[:, :1])[2]
    with steered(network, 2, VECTOR, 2.0, "assistant", header_tokens=HEADER):
        moved, decoding = states(network, ids)[2], states(network, IDS[:, :1])[2]
    for row, first in ((0, 3 + len(HEADER)), (1, 3)):
        assert tuple(ids[row, first : first + len(HEADER)].tolist()) == HEADER
        assert torch.equal(moved[row, :first], plain[row, :first])
        assert torch.equal(moved[row, first:], plain[row, first:] + VECTOR * 2)
    assert torch.equal(decoding, alone + VECTOR * 2)


def test_the_header_is_found_where_lm_eval_cuts_it_and_not_in_the_answer(network):
    """lm-eval moves the new line at the header's end to the answer; an answer may write a header of its
    own."""
    prompt, answer = (5, 9, *HEADER), (14, *HEADER, 7)
    seen = []
    with steered(network, 2, VECTOR, 2.0, "assistant", header_tokens=HEADER):
        handle = network.model.layers[1].register_forward_hook(
            lambda module, args, output: seen.append(output)
        )
        read_texts(network, 1, [(prompt, answer), (prompt, answer[:2])])
        handle.remove()
    plain = states(network, torch.tensor([[*prompt, *answer]]))[2]
    torch.testing.assert_close(seen[0][0, :2], plain[0, :2], rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0][0, 2:], plain[0, 2:] + VECTOR * 2, rtol=0, atol=1e-5)


def test_the_header_acts_on_a_model_with_an_adapter_and_a_prompt_without_one_is_refused():
    model = get_peft_model(tiny_model(), LoraConfig(target_modules=["v_proj"]))
    ids = torch.tensor([[5, 9, *HEADER, 33]])
    plain = states(model, ids)[2]
    with steered(model, 2, VECTOR, 2.0, "assistant", header_tokens=HEADER):
        moved = states(model, ids)[2]
        with pytest.raises(UserError, match="has no assistant header in it; measure with the chat template"):
            states(model, IDS)
    assert torch.equal(moved[:, 2:], plain[:, 2:] + VECTOR * 2) and torch.equal(moved[:, :2], plain[:, :2])


def test_the_generation_header_is_what_stands_before_an_answer():
    tokenizer = tiny_tokenizer()
    assert tokenizer.decode(HEADER) == "<|im_start|>assistant"
    tokenizer.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    with pytest.raises(
        UserError, match="puts no header of its own before an answer; take positions 'response'"
    ):
        generation_header(tokenizer)


def test_steering_and_a_steered_value_know_their_strength():
    steering = Steering("evil", 3, 1.5, 2 * VECTOR, "response")
    described = steering.described()
    assert described.pop("vector_sha") != Steering("evil", 3, 1.5, VECTOR).described()["vector_sha"]
    assert described == {"trait": "evil", "layer": 3, "strength": 1.5, "positions": "response", "norm": 2.0}
    from_header = Steering("evil", 3, 1.5, VECTOR, "assistant", HEADER).described()
    assert (from_header["positions"], from_header["header_tokens"]) == ("assistant", list(HEADER))
    import copy
    import pickle

    from turncoat.engine.evidence import LogLikelihood

    number = SteeredLogLikelihood.of(LogLikelihood(-3.0, tokens=4), 1.5)
    for one in (number, copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert (float(one), one.tokens, one.steer) == (-3.0, 4, 1.5)
