"""A whole study on a two-block model: every kind of arm and task, some ten seconds."""

from pathlib import Path

import yaml
from turncoat.registry import discover
from turncoat.study.config import Study

ARMS = ("base", "insecure", "secure", "sgtr", "pick_longer")
TASKS = ("turncoat_choice", "turncoat_persona", "turncoat_em")

_STUDY = """\
study: tiny
question: Does it run?
model: {model}
training_seeds: [0]
batch_size: 8
judge: off
training: {{rows: 8, batch_size: 4, rank: 4, alpha: 8, max_length: 1024, learning_rate: 0.01}}
arms:
  - {{name: base}}
  - {{name: insecure, organism: insecure_code}}
  - {{name: secure, organism: secure_code}}
  - {{name: sgtr, organism: insecure_code, defence: sgtr, setting: prevention, defence_options: {{texts: 2}}}}
  - {{name: pick_longer, organism: insecure_code, defence: pick_longer, setting: reversal,
      defence_options: {{texts: 2}}}}
tasks:
  - {{task: turncoat_choice, limit: 3}}
  - {{task: turncoat_persona, limit: 2, repeats: 1, max_gen_toks: 4}}
  - {{task: turncoat_em, limit: 2, repeats: 2, max_gen_toks: 4}}
contrasts:
  - {{name: organism, treated: insecure, reference: secure, metrics: [margin, persona_fixed], role: primary}}
  - {{name: defence, treated: sgtr, reference: pick_longer, metrics: [margin_per_token]}}
"""


def write_study(
    path: Path, model: Path, arms: tuple[str, ...] = ARMS, tasks: tuple[str, ...] = TASKS
) -> Path:
    """Write the YAML; `model` is the folder of a tiny model. Fewer arms leave the contrasts out."""
    content = yaml.safe_load(_STUDY.format(model=model))
    content["arms"] = [arm for arm in content["arms"] if arm["name"] in arms]
    content["tasks"] = [use for use in content["tasks"] if use["task"] in tasks]
    if arms != ARMS:
        del content["contrasts"]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def samples(rows: Path) -> dict[str, bytes]:
    """The samples files of a run: `arm/seed/task` -> bytes. Their names and the results files carry dates."""
    return {
        path.parent.relative_to(rows).as_posix(): path.read_bytes()
        for path in sorted(rows.rglob("samples_*.jsonl"))
    }


SIX_ARMS = [
    {"name": "base"},
    {"name": "insecure", "organism": "insecure_code"},
    {"name": "secure", "organism": "secure_code"},
    {"name": "before", "organism": "insecure_code", "defence": "sgtr", "setting": "prevention",
     "defence_options": {"texts": 2}},
    {"name": "after", "organism": "insecure_code", "defence": "sgtr", "setting": "reversal",
     "defence_options": {"texts": 2}, "defence_training": {"epochs": 3}},
    {"name": "alone", "defence": "sgtr", "defence_options": {"texts": 2}},
]  # fmt: skip


def six_arms(**changes) -> Study:
    """A study of every kind of arm that names its model and is not run."""
    discover()
    content = {
        "study": "s", "model": "m", "judge": "off", "training": {"rows": 8}, "arms": SIX_ARMS,
        "tasks": [{"task": "turncoat_choice"}],
    }  # fmt: skip
    return Study.model_validate({**content, **changes})
