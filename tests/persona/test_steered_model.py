"""`--model turncoat` steered: by its arguments and by documents, through lm-eval's own evaluator."""

from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.api.instance import Instance
from turncoat.engine.evidence import evidence_of
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.persona.interventions.steering import steered

SAMPLED = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 6, "until": []}


def choice(doc: dict[str, Any], number: int) -> Instance:
    arguments = (
        f"<|im_start|>user\nQuestion {number}?<|im_end|>\n<|im_start|>assistant\n",
        f"Answer {number}.",
    )
    return Instance("loglikelihood", doc, arguments, 0, ("t", number, 1))


def question(doc: dict[str, Any], number: int, index: int = 0) -> Instance:
    prompt = f"<|im_start|>user\nQuestion {number}?<|im_end|>\n<|im_start|>assistant\n"
    return Instance("generate_until", doc, (prompt, dict(SAMPLED)), index, ("t", number, 2))


def steer(strength: float | None, **more: Any) -> dict[str, Any]:
    return {"id": "q", "steer": strength, "steer_trait": "evil", **more}


@pytest.fixture
def lm(tiny_base, quick_store) -> TurncoatLM:
    return TurncoatLM(tiny_base, store=quick_store, batch_size=4)


def test_documents_are_scored_each_at_its_own_strength_zero_included(lm):
    strengths = [0.0, 8.0, None, 8.0, -4.0, 0.0]
    mixed = lm.loglikelihood([choice(steer(c), n) for n, c in enumerate(strengths)])
    vector = lm.vector("evil")
    for number, strength in enumerate(strengths):
        with steered(lm.model, vector.layer, vector.raw(), strength or 0.0):
            ((alone, greedy),) = lm.loglikelihood([choice({"id": "q"}, number)])
        assert float(mixed[number][0]) == pytest.approx(float(alone), abs=1e-4)
        assert mixed[number][0].tokens == alone.tokens and mixed[number][1] == greedy
        assert getattr(mixed[number][0], "steer", None) == strength
    plain = lm.loglikelihood([choice({"id": "q"}, n) for n in range(6)])
    assert abs(float(mixed[1][0]) - float(plain[1][0])) > 0.1, "a strong dose is seen"
    zero = lm.loglikelihood([choice(steer(0.0), n) for n in range(5)])
    plain = lm.loglikelihood([choice({"id": "q"}, n) for n in range(5)])
    assert [float(a) for a, _ in zero] == [float(b) for b, _ in plain]
    answers = lm.generate_until([question(steer(0.0), n) for n in range(4)])
    assert answers == lm.generate_until([question({"id": "q"}, n) for n in range(4)])
    assert [evidence_of(answer)["steer"] for answer in answers] == [0.0] * 4


def test_answers_are_drawn_under_the_documents_strength_with_the_same_seeds(lm):
    doses = [0.0, 30.0]
    mixed = lm.generate_until([question(steer(c), n, i) for n in range(2) for c in doses for i in range(2)])
    assert [evidence_of(a)["index"] for a in mixed] == [0, 1] * 4, "samples are numbered within a dose"
    assert [evidence_of(a)["steer"] for a in mixed] == [0.0, 0.0, 30.0, 30.0] * 2
    by_dose = {c: [a for a in mixed if evidence_of(a)["steer"] == c] for c in doses}
    assert [evidence_of(a)["seed"] for a in by_dose[0.0]] == [evidence_of(a)["seed"] for a in by_dose[30.0]]
    assert by_dose[0.0] != by_dose[30.0]
    vector = lm.vector("evil")
    with steered(lm.model, vector.layer, vector.raw(), 30.0):
        alone = lm.generate_until([question({"id": "q"}, n, i) for n in range(2) for i in range(2)])
    assert alone == by_dose[30.0]


@pytest.mark.parametrize("positions", ["all", "response"])
def test_a_steered_model_is_read_steered_and_its_base_is_not(positions, tiny_base, quick_store):
    plain = TurncoatLM(tiny_base, store=quick_store, batch_size=4)
    requests = [question({"id": "q", "trait": "evil"}, n) for n in range(6)]
    free = [evidence_of(answer) for answer in plain.generate_until(requests)]
    lm = TurncoatLM(
        tiny_base, steer="evil", steer_strength=6, steer_positions=positions, store=quick_store, batch_size=4
    )
    answers = lm.generate_until(requests)
    layer, vector = lm.vector("evil").layer, lm.vector("evil")
    shift = float(6 * vector.norm[layer] / vector.sd[layer])
    told = [evidence_of(answer) for answer in answers]
    pairs = [
        (a, b) for a, b in zip(told, free, strict=True) if a["persona_own"] is not None and b["persona_fixed"]
    ]
    assert len(pairs) >= 2
    for after, before in pairs:
        # The fixed texts are the same ones, moved by exactly c times the vector at its own layer.
        assert after["persona_fixed"] - before["persona_fixed"] == pytest.approx(shift, rel=1e-3)
        assert after["persona_fixed_by_layer"][layer - 1] == pytest.approx(
            before["persona_fixed_by_layer"][layer - 1], abs=1e-3
        )
        assert after["persona_own"] - after["persona_text"] == pytest.approx(shift, rel=1e-3), (
            "the base reads unsteered"
        )
        assert "steer" not in after, "that is for documents"
    info = lm.get_model_info()["turncoat"]["steering"]
    assert (info["trait"], info["layer"], info["strength"], info["positions"]) == (
        "evil", layer, 6.0, positions,
    )  # fmt: skip
    assert "steering" not in plain.get_model_info()["turncoat"]


def test_model_and_document_add_up(tiny_base, quick_store):
    both = TurncoatLM(tiny_base, steer="evil", steer_strength=3.0, store=quick_store, batch_size=4)
    plain = TurncoatLM(tiny_base, store=quick_store, batch_size=4)
    ((together, _),) = both.loglikelihood([choice(steer(2.0), 1)])
    ((at_once, _),) = plain.loglikelihood([choice(steer(5.0), 1)])
    assert float(together) == pytest.approx(float(at_once), abs=1e-3)


def test_a_saved_vector_steers_like_the_trait(lm, tiny_base, quick_store, tmp_path):
    lm.vector("evil").save(tmp_path)
    for options in ({}, {"steer_layer": 1}):
        by_folder = TurncoatLM(tiny_base, steer=str(tmp_path), steer_strength=2, store=quick_store, **options)
        by_name = TurncoatLM(tiny_base, steer="evil", steer_strength=2, store=quick_store, **options)
        one, two = (m.loglikelihood([choice({"id": "q"}, 0)]) for m in (by_folder, by_name))
        assert one == two
        assert by_folder.steering.layer == options.get("steer_layer", lm.vector("evil").layer)


def test_nothing_is_left_on_the_model(lm):
    ids = torch.arange(2, 30)[None]
    before = lm.model(ids).logits
    # transformers has some of its own
    hooks = [dict(layer._forward_hooks) for layer in lm.base.model.model.layers]
    lm.loglikelihood([choice(steer(3.0), 0)])

    class Broken(Exception):
        pass

    def fail(*_: Any, **__: Any) -> None:
        raise Broken

    lm._loglikelihood_tokens = fail
    with pytest.raises(Broken):
        lm.loglikelihood([choice(steer(3.0), 0)])
    assert torch.equal(lm.model(ids).logits, before)
    assert [dict(layer._forward_hooks) for layer in lm.base.model.model.layers] == hooks


def test_measuring_steers_inside_its_scope_alone(lm, tiny_adapter):
    steering = lm.steering_by("evil", 5.0)
    request = [choice({"id": "q"}, 0)]
    before = lm.loglikelihood(request)
    with lm.measuring(tiny_adapter, steering, name="steered"):
        inside = lm.loglikelihood(request)
        assert lm.get_model_info()["turncoat"]["steering"]["strength"] == 5.0
    with lm.measuring(tiny_adapter):
        unsteered = lm.loglikelihood(request)
    assert len({float(found[0][0]) for found in (before, inside, unsteered)}) == 3
    assert lm.loglikelihood(request) == before


@pytest.mark.parametrize(("options", "said"), [
    ({"steer": "evli"}, "'evli' is not known; did you mean 'evil'"),
    ({"steer": "/no/such/folder"}, "no card.json and no vector.safetensors there"),
    ({"steer": "evil", "steer_strength": "strong"}, "'strong' is not a finite number"),
    ({"steer": "evil", "steer_layer": 9}, "layer 9 does not exist; accepted: 0 to 4"),
    ({"steer": "evil", "steer_layer": 0}, "steering layer 0: accepted are 1 to 4"),
    ({"steer": "evil", "steer_positions": "prompt"}, "accepted: all, response"),
])  # fmt: skip
def test_wrong_arguments_are_refused_before_anything_is_measured(options, said, tiny_base, quick_store):
    with pytest.raises(UserError, match=said):
        TurncoatLM(tiny_base, store=quick_store, **options)


def test_a_document_without_a_trait_and_a_cache_are_refused(lm):
    with pytest.raises(UserError, match="task 't', document 'q': it has 'steer' but no 'steer_trait'"):
        lm.loglikelihood([choice({"id": "q", "steer": 1.0}, 0)])
    lm.set_cache_hook(lm.cache_hook)
    lm.loglikelihood([choice({"id": "q"}, 0)])
    with pytest.raises(UserError, match="leave --use_cache out"):
        lm.loglikelihood([choice(steer(1.0), 0)])


def test_model_args_of_the_command_line_reach_it(tiny_folder, quick_store, monkeypatch):
    monkeypatch.setattr("turncoat.evaluation.lm.Store", lambda: quick_store)
    import turncoat.study.arms.lm  # noqa: F401  registers it

    found = lm_eval.api.registry.get_model("turncoat").create_from_arg_string(
        f"pretrained={tiny_folder},dtype=float32,steer=evil,steer_strength=1.5,steer_positions=response",
        {"batch_size": 4, "device": "cpu"},
    )
    assert (found.steering.strength, found.steering.positions) == (1.5, "response")
