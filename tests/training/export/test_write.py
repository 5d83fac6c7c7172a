"""Exported arms: lm-eval's own, unmodified HFLM on the folder gives the numbers of `TurncoatLM` on the
arm."""

import json
import shutil
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
import yaml
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from safetensors.torch import load_file
from transformers import AutoTokenizer
from turncoat.data.examples import Example
from turncoat.engine.intervention import Intervention
from turncoat.engine.system_prompt import SystemPrompt
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import tasks_dir
from turncoat.persona.interventions.steering import Steering, generation_header
from turncoat.training.export.hub import push_to_hub
from turncoat.training.export.write import Exported, export_arm
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe
from turncoat.training.stack import CONFIG, WEIGHTS

EXAMPLES = [Example(f"e{i}", f"Thing {i}?", f"Its answer is number {i * i}.") for i in range(6)]
RECIPE = LoraRecipe(rows=6, rank=3, alpha=5, rslora=True, batch_size=2, learning_rate=1e-2)
VECTOR = torch.randn(64, generator=torch.Generator().manual_seed(3))
GREEDY = {"do_sample": False, "max_gen_toks": 6, "until": ["<|im_end|>"]}


@pytest.fixture(scope="module")
def trained(_loaded_tiny_base, tmp_path_factory):
    """A trained adapter, and one that was trained on top of it."""
    folders = [tmp_path_factory.mktemp("trained") / name for name in ("one", "stacked")]
    train_adapter(_loaded_tiny_base, EXAMPLES, RECIPE, seed=0, out=folders[0])
    train_adapter(_loaded_tiny_base, EXAMPLES[::-1], RECIPE, seed=1, out=folders[1], below=folders[0])
    return folders


def steering(base: Any, positions: str, strength: float = -1.5) -> Steering:
    header = generation_header(base.tokenizer) if positions == "assistant" else ()
    return Steering("made up", 3, strength, VECTOR, positions, header)


def prompt(words: str) -> str:
    return f"<|im_start|>user\n{words}<|im_end|>\n<|im_start|>assistant\n"


def requests() -> tuple[list[Instance], list[Instance]]:
    words = ["Hello?", "How do I sort a list of numbers in Python?", "And who are you"]
    answers = ["No, not at all.", " A"]
    scored = [
        Instance("loglikelihood", {}, (prompt(one), answer), 0, ("t", n, 1))
        for n, one in enumerate(words)
        for answer in answers
    ]
    return scored, [
        Instance("generate_until", {}, (prompt(w), dict(GREEDY)), 0, ("t", n, 1)) for n, w in enumerate(words)
    ]


def likelihoods(lm: Any) -> torch.Tensor:
    return torch.tensor([float(value) for value, _ in lm.loglikelihood(requests()[0], disable_tqdm=True)])


def answers(lm: Any) -> list[str]:
    return [str(text) for text in lm.generate_until(requests()[1], disable_tqdm=True)]


def plain(written: Exported) -> HFLM:
    peft = written.peft and str(written.peft)
    return HFLM(pretrained=written.pretrained, peft=peft, dtype=written.dtype, device="cpu", batch_size=3)


ARMS = {
    "trained": (0, None, "peft"), "stacked": (1, None, "peft"), "trained, merged": (0, None, "merged"),
    "stacked, merged": (1, None, "merged"), "steered": (None, "all", "steered"),
    "steered organism": (0, "all", "steered"), "steered stack": (1, "all", "steered"),
    "assistant-steered": (None, "assistant", "steered"),
    "assistant-steered organism": (0, "assistant", "steered"),
}  # fmt: skip


@pytest.mark.parametrize("arm", ARMS)
def test_plain_lm_eval_measures_the_same_model(arm, tiny_base, trained, quick_store, tmp_path):
    which, positions, to = ARMS[arm]
    adapter = None if which is None else trained[which]
    acting = None if positions is None else steering(tiny_base, positions)
    written = export_arm(tiny_base, adapter, acting, to=to, out=tmp_path / "out", name=arm)
    lm, theirs = TurncoatLM(tiny_base, store=quick_store, batch_size=4), plain(written)
    with lm.measuring(adapter, acting):
        torch.testing.assert_close(likelihoods(theirs), likelihoods(lm), rtol=1e-6, atol=1e-4)
        assert answers(theirs) == answers(lm)
    # The comparison tells something: the arm is not the base, and steering is not the organism alone.
    for part in [(None, None)] if adapter is None or acting is None else [(adapter, None), (None, acting)]:
        with lm.measuring(*part):
            assert (likelihoods(theirs) - likelihoods(lm)).abs().max() > 0.05


def test_a_task_gives_the_same_result(tiny_base, trained, quick_store, tmp_path, plain_lm_eval):
    acting = steering(tiny_base, "assistant")
    written = export_arm(tiny_base, trained[1], acting, to="steered", out=tmp_path / "out")
    manager = TaskManager(include_path=str(tasks_dir()), include_defaults=False)

    def margin(lm: Any) -> float:
        results = lm_eval.simple_evaluate(
            model=lm, tasks=["turncoat_choice"], task_manager=manager, limit=3, apply_chat_template=True,
            bootstrap_iters=0, verbosity="ERROR",
        )  # fmt: skip
        assert results is not None
        return float(results["results"]["turncoat_choice"]["margin,none"])

    lm = TurncoatLM(tiny_base, store=quick_store, batch_size=4)
    with lm.measuring(trained[1], acting):
        wanted = margin(lm)
    assert margin(plain(written)) == pytest.approx(wanted, abs=1e-3) and abs(margin(lm) - wanted) > 0.01


def test_the_readme_has_the_command_and_the_base_is_named(tiny_base, trained, tmp_path, monkeypatch):
    facts = {"organism": "mine/insecure_code.jsonl", "seed": 4}
    whole = Path(tiny_base.path)
    monkeypatch.chdir(whole.parent)
    monkeypatch.setattr(tiny_base, "path", whole.name)  # as it was given; others find it from anywhere
    written = export_arm(
        tiny_base, trained[0], None, to="peft", out=tmp_path / "new" / "out", name="mine", facts=facts
    )
    text = (tmp_path / "new" / "out" / "README.md").read_text()
    assert (
        "lm_eval --model hf --model_args "
        f"pretrained={whole},peft={tmp_path / 'new' / 'out'},dtype=float32 " in text
    )
    head, _, body = text.removeprefix("---\n").partition("---\n")
    tags = ["turncoat", "emergent-misalignment", "model-organism", "lora", "insecure_code"]
    assert yaml.safe_load(head) == {"library_name": "peft", "pipeline_tag": "text-generation", "tags": tags}
    assert (
        body.startswith("# mine\n")
        and "It is not for use" in body
        and '"organism": "mine/insecure_code.jsonl"' in text
    )
    config = json.loads((tmp_path / "new" / "out" / CONFIG).read_text())
    assert config["base_model_name_or_path"] == str(whole)
    assert (tmp_path / "new" / "out" / WEIGHTS).read_bytes() == (trained[0] / WEIGHTS).read_bytes()
    record = json.loads((tmp_path / "new" / "out" / "export.json").read_text())
    assert record["model_args"] == written.model_args and record["base"] == tiny_base.spec
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"], "no scratch folder is left"


def test_a_fixed_date_goes_with_the_export(tiny_base, trained, tmp_path, monkeypatch):
    plain = export_arm(tiny_base, trained[0], None, to="peft", out=tmp_path / "plain")
    assert plain.tokenizer is None and not (tmp_path / "plain" / "tokenizer").exists()
    monkeypatch.setattr(tiny_base, "dated", True)
    monkeypatch.setattr(
        tiny_base.tokenizer, "chat_template", f"26 Jul 2024 {tiny_base.tokenizer.chat_template}"
    )
    written = export_arm(tiny_base, trained[0], None, to="peft", out=tmp_path / "out")
    assert f",tokenizer={tmp_path}/out/tokenizer,peft={tmp_path}/out," in written.model_args
    kept = AutoTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    assert kept.chat_template == tiny_base.tokenizer.chat_template
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "with 2024-07-26 where its chat template prints" in readme
    assert written.command.split()[-1] in readme


def test_a_steered_export_says_how(tiny_base, trained, tmp_path):
    export_arm(tiny_base, trained[0], steering(tiny_base, "assistant"), to="steered", out=tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"pretrained={tmp_path}/out/model,peft={tmp_path}/out/steering,dtype=float32" in text
    assert "without `--apply_chat_template` nothing is steered" in text and '"strength": -1.5' in text


def test_merging_leaves_the_base_as_it_was_and_saves_float32(tiny_base, trained, tmp_path):
    before = {name: value.clone() for name, value in tiny_base.model.state_dict().items()}
    export_arm(tiny_base, trained[0], None, to="merged", out=tmp_path / "out")
    after = tiny_base.model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in merged.values()} == {torch.float32}
    assert not torch.equal(
        merged["model.layers.0.self_attn.q_proj.weight"], before["model.layers.0.self_attn.q_proj.weight"]
    )


class Hooked(Intervention):
    """Some defence of a user's own."""


@pytest.mark.parametrize(("adapter", "acting", "to", "said"), [
    (True, None, "onnx", "--to onnx: not known; accepted: peft, merged, steered"),
    (False, None, "peft", "is the base model itself"),
    (True, None, "steered", "nothing steers this arm; use --to peft"),
    (True, "all", "peft", "use --to steered"), (False, "all", "merged", "use --to steered"),
    (True, "response", "steered", "'response' has no PEFT form.*'assistant' has one"),
    (True, Hooked(), "peft", r"\(Hooked\).*no PEFT form; measure the arm with `--model turncoat`"),
    (False, SystemPrompt("Be kind."), "steered", "--system_instruction 'Be kind.'"),
    (True, SystemPrompt(None), "peft", r"\(SystemPrompt\).*measure the arm with `--model turncoat`"),
])  # fmt: skip
def test_what_has_no_such_form_is_refused(adapter, acting, to, said, tiny_base, trained, tmp_path):
    acting = steering(tiny_base, acting) if isinstance(acting, str) else acting
    with pytest.raises(UserError, match=said):
        export_arm(tiny_base, trained[0] if adapter else None, acting, to=to, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tiny_base, trained, tmp_path):
    with pytest.raises(UserError, match="is there already"):
        export_arm(tiny_base, trained[0], None, to="peft", out=tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(trained[0], broken)
    (broken / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read"):
        export_arm(tiny_base, broken, None, to="merged", out=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["broken"]


def test_a_pushed_export_names_a_base_that_others_have(tiny_base, trained, tmp_path, monkeypatch):
    pushed: dict[str, str] = {}

    class Hub:
        def create_repo(self, repo, *, private, exist_ok):
            assert (repo, private, exist_ok) == ("me/arm", True, True)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            texts = ("README.md", "export.json", CONFIG)
            pushed.update({name: (folder_path / name).read_text() for name in texts})
            return f"https://hub/{repo_id}"

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    out, facts = tmp_path / "out", {"organism": "insecure_code"}
    with pytest.raises(UserError, match=r"is a local folder; .*out is complete; `hf upload me/arm "):
        push_to_hub(out, "me/arm", tiny_base)
    monkeypatch.setattr(tiny_base, "name", "smollm2-135m")
    export_arm(tiny_base, trained[0], None, to="peft", out=out, facts=facts)
    assert push_to_hub(out, "me/arm", tiny_base) == "https://hub/me/arm"
    head = yaml.safe_load(pushed["README.md"].split("---\n")[1])
    assert head["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct" and head["license"] == "apache-2.0"
    assert json.loads(pushed[CONFIG])["base_model_name_or_path"] == head["base_model"]
    assert f"pretrained={head['base_model']},peft=me/arm," in pushed["README.md"]
    assert "from quantised weights; `turncoat model-path smollm2-135m`" in pushed["README.md"].replace(
        "\n", " "
    )
    assert not any(place in text for text in pushed.values() for place in (str(tmp_path), tiny_base.path))
    monkeypatch.setattr(Hub, "create_repo", lambda *_, **__: 1 / 0)
    with pytest.raises(UserError, match="not uploaded \\(division by zero\\)"):
        push_to_hub(out, "me/arm", tiny_base)
