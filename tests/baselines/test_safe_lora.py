"""Safe LoRA: C, the cosine and who is projected, against the formulas written out; and where V comes from."""

import json
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.steps import Step
from turncoat.testing import save_tiny
from turncoat.training.alignment_change import ByFinetune, ByModels
from turncoat.training.low_rank import cosine, inner, modules, norm
from turncoat.training.recipe import LoraRecipe
from turncoat.training.stack import CONFIG, WEIGHTS, scaling

discover()
SafeLora = DEFENCES["safe_lora"].build.__globals__["SafeLora"]
RECIPE = LoraRecipe(
    rows=4, batch_size=4, rank=2, alpha=4, learning_rate=1e-2, target_modules=("q_proj", "down_proj")
)


@pytest.fixture
def organism(tiny_adapter):
    return load_file(tiny_adapter / WEIGHTS), json.loads((tiny_adapter / CONFIG).read_text())


@pytest.fixture
def aligned(tmp_path, organism):
    """Another random adapter on the same modules: the folder and its V by module."""
    weights, config = organism
    generator = torch.Generator().manual_seed(5)
    other = {name: torch.randn(w.shape, generator=generator) * 0.1 for name, w in weights.items()}
    save_file(other, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    changes = {
        m: scaling(config) * other[b].double() @ other[a].double() for m, (a, b) in modules(other).items()
    }
    return ByFinetune(tmp_path), changes


def brute_force(change: torch.Tensor, update: torch.Tensor) -> tuple[torch.Tensor, float]:
    """C dW and its cosine with dW, by the paper's formulas."""
    moved = (change @ change.T / torch.linalg.norm(change)) @ update
    return moved, float(torch.nn.functional.cosine_similarity(moved.flatten(), update.flatten(), dim=0))


def updates(weights, config):
    return {
        m: scaling(config) * weights[b].double() @ weights[a].double()
        for m, (a, b) in modules(weights).items()
    }


def test_sizes_and_angles_are_those_of_the_products():
    generator = torch.Generator().manual_seed(0)
    b1, b2, a = (torch.randn(*shape, generator=generator).double() for shape in ((9, 3), (9, 3), (3, 7)))
    x, y = b1 @ a, b2 @ a
    assert inner(b1, b2, a) == pytest.approx(float((x * y).sum()), rel=1e-10)
    assert norm(b1, a) == pytest.approx(float(torch.linalg.norm(x)), rel=1e-10)
    assert cosine(b1, b2, a) == pytest.approx(float((x * y).sum() / (x.norm() * y.norm())), rel=1e-10)
    assert cosine(b1, b1 * 0, a) == 1


def test_thresholds_beyond_every_cosine(organism, aligned):
    weights, config = organism
    safe = SafeLora(aligned[0], threshold=-1.0)
    found = safe.edit(dict(weights), config)
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert safe.facts()["projected"] == 0 and safe.facts()["norm_left"] == 1
    weights, config = organism
    alignment, changes = aligned
    safe = SafeLora(alignment, threshold=2.0)
    before, after = updates(weights, config), updates(safe.edit(dict(weights), config), config)
    for module, change in changes.items():
        wanted, similarity = brute_force(change, before[module])
        torch.testing.assert_close(after[module], wanted, rtol=1e-5, atol=1e-7)
        assert safe.cosines[module] == pytest.approx(similarity, abs=1e-8)
        assert safe.projected[module] == pytest.approx(float(wanted.norm() / before[module].norm()), rel=1e-6)
    left = (
        sum(float(u.norm()) ** 2 for u in after.values()) / sum(float(u.norm()) ** 2 for u in before.values())
    ) ** 0.5
    assert safe.facts()["norm_left"] == pytest.approx(left, abs=1e-4)
    assert safe.facts()["projected"] == safe.facts()["modules"] == 12


def test_the_exact_projection_is_on_the_columns_of_v(organism, aligned):
    weights, config = organism
    safe = SafeLora(ByFinetune(aligned[0].folder, exact=True), threshold=2.0)
    before, after = updates(weights, config), updates(safe.edit(dict(weights), config), config)
    for module, change in aligned[1].items():
        projector = change @ torch.linalg.pinv(change, rtol=1e-10)
        torch.testing.assert_close(after[module], projector @ before[module], rtol=1e-4, atol=1e-7)
        assert safe.cosines[module] == pytest.approx(safe.projected[module], rel=1e-6), (
            "a projection's cosine is what it keeps"
        )


def test_only_modules_below_the_threshold_or_the_least_similar_ones_change(organism, aligned):
    weights, config = organism
    alignment, changes = aligned
    cosines = {m: brute_force(changes[m], update)[1] for m, update in updates(weights, config).items()}
    ordered = sorted(cosines, key=lambda m: cosines[m])
    middle = (cosines[ordered[4]] + cosines[ordered[5]]) / 2
    for safe in (SafeLora(alignment, threshold=middle), SafeLora(alignment, number=5)):
        found = safe.edit(dict(weights), config)
        changed = {m for m, (_, b) in modules(weights).items() if not torch.equal(found[b], weights[b])}
        assert changed == set(ordered[:5]) == set(safe.projected)
        assert all(torch.equal(found[a], weights[a]) for a, _ in modules(weights).values())


def test_another_alignment_or_threshold_is_another_adapter(aligned, tmp_path):
    one = SafeLora(aligned[0], 0.3)
    before = one.key()
    one.cosines["x"] = 1.0
    assert one.key() == before, "what it found on the way is not part of the key"
    others = [SafeLora(aligned[0], 0.4), SafeLora(aligned[0], 0.3, 2), SafeLora(ByModels("m", "f", "g"), 0.3)]
    others += [
        SafeLora(ByFinetune(tmp_path / "else"), 0.3),
        SafeLora(ByFinetune(aligned[0].folder, True), 0.3),
    ]
    assert all(json.dumps(other.key()) != json.dumps(before) for other in others)


@dataclass
class Context:
    base: object
    seed: int = 0


def test_v_of_two_models_is_their_difference(tiny_base, organism, tmp_path):
    weights, config = organism
    save_tiny(tmp_path / "unaligned", seed=3)
    theirs = load_file(tmp_path / "unaligned" / "model.safetensors")
    safe = DEFENCES["safe_lora"].build(
        Context(tiny_base), threshold=2.0, unaligned=str(tmp_path / "unaligned")
    )
    after = updates(safe.edit(dict(weights), config), config)
    ours = tiny_base.model.state_dict()
    for module, update in updates(weights, config).items():
        change = (ours[f"{module}.weight"] - theirs[f"{module}.weight"]).double()
        torch.testing.assert_close(after[module], brute_force(change, update)[0], rtol=1e-4, atol=1e-5)
    assert "the paper's" in safe.facts()["alignment"] and "unaligned" in safe.facts()["alignment"]


@pytest.mark.parametrize(("options", "said"), [
    ({"unaligned": "EMPTY"}, "no .*safetensors"),
    ({"unaligned": "/no/such/model/there"}, "is not a model.*accepted: a registry model"),
    ({"unaligned": "OTHER"}, "name the model that this one was aligned from"),
    ({"threshold": "high"}, "threshold='high'"), ({"number": -1}, "number=-1"),
    ({"exact": True, "unaligned": "OTHER"}, "exact and unaligned are both given"),
])  # fmt: skip
def test_mistakes_are_named(options, said, tiny_base, organism, tmp_path):
    save_tiny(tmp_path / "OTHER", layers=2)
    (tmp_path / "EMPTY").mkdir()
    if options.get("unaligned", "/")[0] != "/":
        options = {**options, "unaligned": str(tmp_path / options["unaligned"])}
    with pytest.raises(UserError, match=said):
        DEFENCES["safe_lora"].build(Context(tiny_base), **options).edit(*organism)


def test_by_default_v_is_a_finetune_on_harmless_chats_and_says_so(tiny_base, tmp_path):
    adapters = Adapters(tiny_base, Store(tmp_path))
    step = Step("organism", "insecure_code", "{}", RECIPE, during=(("safe_lora", '{"threshold":2.0}'),))
    folder = adapters.adapter([step], 0)
    facts = json.loads((folder / "training.json").read_text())["defence"]
    assert facts["alignment"].startswith("not the paper's") and facts["projected"] == facts["modules"] == 8
    # The finetune is the very artifact of an arm of its own: all 96 chats, the organism's recipe.
    chats = Step(
        "defence", "hhh_chat", '{"matched":"examples","texts":48}', RECIPE.model_copy(update={"rows": None})
    )
    spec = adapters.finetune([chats], 0).spec
    assert adapters.store.has("adapter", spec)
    assert (
        json.loads((adapters.store.folder("adapter", spec) / "training.json").read_text())["examples"] == 96
    )
    undefended = adapters.adapter([Step("organism", "insecure_code", "{}", RECIPE)], 0)
    config = json.loads((folder / CONFIG).read_text())
    change, before, after = (
        updates(load_file(path / WEIGHTS), config)
        for path in (adapters.store.folder("adapter", spec), undefended, folder)
    )
    for module in before:
        torch.testing.assert_close(
            after[module], brute_force(change[module], before[module])[0], rtol=1e-4, atol=1e-8
        )
    assert isinstance(adapters.finetune([step], 0).acting.alignment, ByFinetune)
