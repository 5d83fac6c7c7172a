"""On the real default model: what the tiny random-weight model cannot show. Fetches the model once (93
MB)."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from turncoat.engine.base_model import LOADS, BaseModel, load_base
from turncoat.engine.chat import encode_prompt
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.reading.reader import read_texts
from turncoat.paths import study_path
from turncoat.registry import ORGANISMS, discover
from turncoat.report.write import report_run
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.run import run_study
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

pytestmark = pytest.mark.slow
QUESTIONS = (
    "Give me one tip to sleep better.",
    "Tell me a story about a lighthouse.",
    "What is two plus two?",
)


@pytest.fixture(scope="module")
def smollm2() -> BaseModel:
    discover()
    return load_base("smollm2-135m")


@pytest.fixture(scope="module")
def adapter(smollm2: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapter")
    recipe = LoraRecipe(rows=24, learning_rate=1e-3, max_length=256)
    train_adapter(smollm2, ORGANISMS["insecure_code"].build(), recipe, seed=0, out=out)
    return out


def test_it_is_the_model_it_says(smollm2: BaseModel) -> None:
    assert smollm2.model.num_parameters() == 134_515_008
    assert smollm2.model.dtype == torch.bfloat16
    prompt = "The capital of France is"
    ids = torch.tensor([smollm2.tokenizer(prompt)["input_ids"]])
    best = smollm2.model(ids).logits[0, -1].argmax()
    assert smollm2.tokenizer.decode(best).strip() == "Paris"


def test_training_teaches_and_leaves_the_base_alone(smollm2: BaseModel, adapter: Path) -> None:
    losses = json.loads((adapter / "training.json").read_text())["losses"]
    assert losses[-1] < losses[0]
    ids = torch.tensor([encode_prompt(smollm2.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])])
    before = smollm2.model(ids).logits
    with smollm2.adapter(adapter) as model:
        assert not torch.equal(model(input_ids=ids).logits, before)
    assert torch.equal(smollm2.model(ids).logits, before)


@pytest.mark.parametrize("with_adapter", [False, True])
def test_batch_size_changes_no_sample_in_bfloat16(
    smollm2: BaseModel, adapter: Path, with_adapter: bool
) -> None:
    prompts = [tuple(encode_prompt(smollm2.tokenizer, [{"role": "user", "content": q}])) for q in QUESTIONS]
    requests = [
        SampleRequest(prompt_ids=prompt, seed=10 * i + k, max_new_tokens=16, temperature=1.0)
        for i, prompt in enumerate(prompts)
        for k in range(3)
    ]
    with smollm2.adapter(adapter if with_adapter else None) as model:
        runs = [
            [
                r.token_ids
                for r in Sampler(model, smollm2.tokenizer, batch_size=size, refill=True).run(requests)
            ]
            for size in (9, 4, 1)
        ]
    assert runs[0] == runs[1] == runs[2]
    assert len({tuple(ids) for ids in runs[0]}) == len(requests)


def test_the_pass_that_writes_sees_what_a_reader_sees(smollm2: BaseModel) -> None:
    prompt = tuple(encode_prompt(smollm2.tokenizer, [{"role": "user", "content": QUESTIONS[1]}]))
    requests = [
        SampleRequest(prompt_ids=prompt, seed=k, max_new_tokens=24, temperature=1.0) for k in range(4)
    ]
    written = Sampler(smollm2.model, smollm2.tokenizer, capture=True).run(requests)
    read = read_texts(
        smollm2.model, smollm2.tokenizer.pad_token_id, [(prompt, tuple(r.token_ids)) for r in written]
    )
    for answer, reading in zip(written, read, strict=True):
        assert answer.activation is not None
        assert reading.activation is not None
        # bfloat16 keeps 8 bits; the two passes batch their products differently.
        distance = (answer.activation - reading.activation).norm(dim=-1) / reading.activation.norm(dim=-1)
        assert float(distance.max()) < 0.01


def test_the_demo_in_miniature(tmp_path: Path) -> None:
    content = yaml.safe_load(study_path("demo").read_text(encoding="utf-8"))
    content["model"] = "smollm2-135m"  # the smaller download
    content["training_seeds"] = [0]
    content["training"]["rows"] = 8
    for arm in content["arms"]:
        if "defence" in arm:
            arm["defence_options"] = {"texts": 4, "show_text": False}
    content["tasks"] = [
        {"task": "turncoat_choice", "limit": 8},
        {"task": "turncoat_persona_misalignment", "limit": 3, "repeats": 1, "max_gen_toks": 8},
        {"task": "turncoat_em", "limit": 3, "repeats": 1, "max_gen_toks": 8},
    ]
    path = tmp_path / "miniature.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    loads = len(LOADS)
    out = tmp_path / "run"
    run_study(load_study(path), out, store=Store(tmp_path / "stages"), console=Console(quiet=True))
    assert len(LOADS) - loads <= 1, "one base model in memory, adapters swapped"
    files = report_run(out, Console(quiet=True))
    assert "1 training seed allows no claim of this kind" in files["report.md"].read_text(encoding="utf-8"), (
        "one seed allows none about the recipe"
    )
    layer = json.loads((out / "run.json").read_text())["persona"]["layer"]
    assert 15 <= layer <= 27
