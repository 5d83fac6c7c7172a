"""The random adapter: as large as the organism's, module by module, and nothing like it."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.steps import Step
from turncoat.training.low_rank import modules
from turncoat.training.recipe import LoraRecipe
from turncoat.training.stack import CONFIG, WEIGHTS

discover()


def random_adapter(seed: int = 0, draw: int = 0):
    return DEFENCES["random_adapter"].build(SimpleNamespace(seed=seed), draw=draw)


def updates(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {module: weights[b].double() @ weights[a].double() for module, (a, b) in modules(weights).items()}


@pytest.fixture
def organism(tiny_adapter):
    return load_file(tiny_adapter / WEIGHTS), json.loads((tiny_adapter / CONFIG).read_text())


def test_each_modules_norm_is_the_organisms_and_its_direction_is_not(organism):
    weights, config = organism
    found = updates(random_adapter().edit(dict(weights), config))
    before = updates(weights)
    assert len(found) == 12
    for module, update in found.items():
        size = before[module].norm()
        assert float(update.norm()) == pytest.approx(float(size), rel=1e-5)
        # Two independent updates of thousands of entries: a cosine beyond 0.2 does not happen by chance.
        assert abs(float((update * before[module]).sum() / size**2)) < 0.2
    a, b = (found[f"model.layers.{i}.self_attn.q_proj"] for i in (0, 1))
    assert abs(float((a * b).sum() / (a.norm() * b.norm()))) < 0.2, "modules of one shape differ"


def test_seeds_and_draws_differ_and_an_untrained_module_stays(organism):
    weights, config = organism
    one, again, seed, draw = (
        random_adapter(*which).edit(dict(weights), config) for which in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert all(torch.equal(one[name], again[name]) for name in weights)
    for other in (weights, seed, draw):
        assert not any(torch.equal(one[name], other[name]) for name in weights)
    weights, config = organism
    name = next(n for n in weights if ".lora_B." in n)
    weights[name] = torch.zeros_like(weights[name])
    assert float(random_adapter().edit(dict(weights), config)[name].abs().max()) == 0


def test_the_arm_is_an_adapter_of_the_organisms_size(tiny_base, tmp_path):
    adapters = Adapters(tiny_base, Store(tmp_path))
    recipe = LoraRecipe(
        rows=4, batch_size=2, rank=2, alpha=4, rslora=True, target_modules=("q_proj", "down_proj")
    )
    undefended = Step("organism", "insecure_code", "{}", recipe)
    step = Step("organism", "insecure_code", "{}", recipe, during=(("random_adapter", '{"draw":0}'),))
    folders = [adapters.adapter([s], 0) for s in (undefended, step)]
    trained, random = (updates(load_file(folder / WEIGHTS)) for folder in folders)
    assert trained.keys() == random.keys()
    for module, update in random.items():
        assert float(update.norm()) == pytest.approx(float(trained[module].norm()), rel=1e-5)
    facts = json.loads((folders[1] / "training.json").read_text())["defence"]
    total = sum(float(u.norm()) ** 2 for u in trained.values()) ** 0.5 * 4 / 2**0.5
    assert facts == {"edited": "RandomAdapter", "modules": 8, "update_norm": pytest.approx(total, abs=1e-4)}
    assert adapters.finetune([step], 0).spec != adapters.finetune([step], 1).spec
