"""An entry that was really measured: the tiny model, random adapters, lm-eval's own files, a judge that
counts letters.

# tmp_path/kind: a system prompt as an inference defence
home = measure_entry(tmp_path, base, adapters, store)
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from leaderboard.entry_files import read_rows, write_facts, write_rows
from peft import LoraConfig, get_peft_model
from turncoat.engine.system_prompt import SystemPrompt
from turncoat.evaluation.lm import TurncoatLM
from turncoat.judges import spec as load
from turncoat.judges.base import Verdict
from turncoat.leaderboard.entry.load import rows_name
from turncoat.leaderboard.entry.submission import Submission
from turncoat.store import Store
from turncoat.study.config import TaskUse
from turncoat.study.evaluate import run_task
from turncoat.testing import tiny_model
from turncoat.training.adapter_digest import adapter_digest

PROMPT = "Be kind."
DEFENCE = "system_prompt"
SAMPLING_SEED = 3
USES = (
    TaskUse(task="turncoat_choice", limit=4),
    TaskUse(task="turncoat_persona", limit=3, repeats=2, max_gen_toks=8),
    TaskUse(task="turncoat_em", limit=3, repeats=1, max_gen_toks=8),
    TaskUse(task="turncoat_insecure_code_loss", limit=2),
)
TRACK = """\
track: measured
summary: For tests of `turncoat verify` alone
min_seeds: 2
ranked_by: persona_fixed
judges: [letters]
narrow_kept: 0.5
coherence_lost: 10.0
tasks:
  - {task: turncoat_choice, questions: 4}
  - {task: turncoat_persona, questions: 3, samples: 2, max_gen_toks: 8}
  - {task: turncoat_em, questions: 3, samples: 1, max_gen_toks: 8}
held_out_loss: {questions: 2}
"""


class Letters:
    """A judge whose scores are counts of letters: quick, and another answer has another score."""

    id, card, may_rate = "letters-1", None, True

    def __init__(self, rubric: str = "letters@1") -> None:
        self.rubric = rubric

    def score(self, questions, answers, on_done=None) -> list[Verdict]:
        return [
            Verdict(float(len(a) * 7 % 101), float(60 + len(a) % 40), judge=self.id, rubric=self.rubric)
            for a in answers
        ]


@contextmanager
def letters_judge() -> Iterator[None]:
    """`letters` is a judge inside the scope, and `others` the same under another rubric."""
    known = {"letters": Letters(), "others": Letters("letters@2")}
    built = load._built
    with mock.patch.object(load, "_built", lambda spec: known.get(spec) or built(spec)):
        yield


def random_adapter(folder: Path, seed: int) -> Path:
    """A LoRA adapter with random weights for the tiny model."""
    config = LoraConfig(
        r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        get_peft_model(tiny_model(), config).save_pretrained(str(folder))
    return folder


def measure_entry(submissions: Path, base: Any, adapters: Path, store: Store) -> Path:
    """Measure one seed of every role and write the entry; its adapters go to `adapters/<role>/seed-0`."""
    home = submissions / "kind"
    trained = {
        role: random_adapter(adapters / role / "seed-0", number)
        for number, role in enumerate(("organism", "control"), 1)
    }
    arms = {"base": (None, None), **{role: (folder, None) for role, folder in trained.items()}}
    arms["defended"] = (trained["organism"], SystemPrompt(PROMPT))
    lm = TurncoatLM(base, sampling_seed=SAMPLING_SEED, batch_size=4, store=store, progress=lambda _: None)
    files = {}
    with letters_judge(), mock.patch.dict(os.environ, {"TURNCOAT_JUDGE": "letters"}):
        for role, (adapter, acting) in arms.items():
            seed = "base" if role == "base" else "seed-0"
            with lm.measuring(adapter, acting):
                for use in USES:
                    made = submissions.parent / "made" / role / use.task
                    run_task(lm, use, made)
                    files[f"{role}/{seed}/{use.task}"] = _packed(
                        next(made.glob("samples_*")), home / rows_name(role, seed, use.task)
                    )
    told = _facts(base, lm, {role: folder for role, (folder, _) in arms.items() if folder}, files)
    Submission.model_validate(told)
    write_facts(home, told)
    return home


def change_row(home: Path, role: str, task: str, change: Any, line: int = 1) -> None:
    """Pass one row through `change(row)`, which alters it in place."""
    path = home / rows_name(role, "base" if role == "base" else "seed-0", task)
    rows = read_rows(path)
    change(rows[line - 1])
    write_rows(path, rows)


def _packed(samples: Path, to: Path) -> dict[str, Any]:
    rows = []
    for text in samples.read_text(encoding="utf-8").splitlines():
        # As `turncoat submit` does: an entry holds no U+0000, which a random model writes now and then.
        row = json.loads(text.replace("\\u0000", "\ufffd"))
        rows.append({key: value for key, value in row.items() if key not in ("filtered_resps", "target")})
    return write_rows(to, rows)


def _facts(base: Any, lm: TurncoatLM, adapters: dict[str, Path], files: dict[str, Any]) -> dict[str, Any]:
    return {
        "slug": "kind",
        "track": "measured",
        "defence": {
            "name": "Kind words", "registered": DEFENCE, "setting": "inference", "options": {"which": PROMPT},
            "summary": "A system prompt.", "changes_prompt": True,
        },
        "contact": "nobody in particular",
        "model": {
            "name": "a folder of mine", "revision": base.spec["weights"], "dtype": base.spec["dtype"],
            "parameters": base.model.num_parameters(), "chat_template": base.spec["chat_template"],
        },
        "organism": {"name": "insecure_code", "sha256": "0" * 64, "examples": 8},
        "control": {"name": "secure_code", "sha256": "1" * 64, "examples": 8},
        "recipe": {"rows": 8},
        "seeds": [0],
        "adapters": {
            role: {"0": adapter_digest(folder)} for role, folder in adapters.items()
        },
        "persona": {"trait": "evil", "layer": lm.vector("evil").layer},
        "judge": {"id": "letters-1", "rubric": "letters@1"},
        "tasks": {use.task: 1.0 for use in USES},
        "versions": {"turncoat": "0.1.0"},
        "command": "made by a test",
        "hardware": "a test's",
        "wall_seconds": 1.0,
        "rows": files,
    }  # fmt: skip
