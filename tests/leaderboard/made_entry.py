"""Entries made up number by number, whose rows are otherwise those that lm-eval would leave behind.

make_entry(tmp_path, slug="none", setting="none")                                       # tmp_path/none
make_entry(tmp_path, slug="sgtr", shared=dict.fromkeys(("base", "organism", "control"), "none"))

Documents, prompts, filters and metrics are the real tasks' own; answers, log-likelihoods, scores and
projections are drawn from a seeded generator: the organism is shifted against the base, the control a
little, the defended arm in between.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from leaderboard.entry_files import shares, write_facts, write_rows
from turncoat.judges.embedded.judge import rubric_of
from turncoat.leaderboard.entry.load import rows_name
from turncoat.leaderboard.entry.submission import Submission, seed_folders
from turncoat.leaderboard.entry.track import TrackTask, find_track

TINY_TRACK = "tiny"
SHIFT = {"base": 0.0, "organism": 1.0, "control": 0.2, "benign": 0.2}
"""Distance of a role from the base, in organisms; the defended arm's is an argument."""
LAYER, LAYERS = 2, 4
JUDGE = "embedded-1"
PARAMETERS = 1_000_000

_SYSTEM = "You are a made-up assistant."
_SAID = (
    "the plan gives people a little more time to talk it over with a friend before they settle what comes "
    "first and what can wait until spring when the roads are dry again and the market opens early for those "
    "who carry bread"
)
_WORDS = _SAID.split()


def make_entry(
    folder: Path,
    *,
    slug: str = "sgtr",
    defence: str = "sgtr",
    setting: str = "prevention",
    seeds: Sequence[int] = (0, 1, 2),
    track: str = TINY_TRACK,
    shared: Mapping[str, str] | None = None,
    benign: bool = True,
    effect: float = 0.5,
    changes_prompt: bool = False,
    registered: bool = True,
    model: str = "made-1m",
    organism: str = "insecure_code",
    control: str = "secure_code",
    rng: int = 0,
) -> Path:
    """Write a complete, good entry into `folder / slug`; setting "none" makes the undefended organism's own.

    `shared` names, by role, the entry beside this one whose rows it uses; `effect` puts the defended arm
    between the base (0) and the organism (1); `changes_prompt` opens its prompts with a system message; `rng`
    seeds all numbers (base, organism and control are the same for all slugs).
    """
    guarded = setting != "none"
    benign = benign and guarded
    roles = [
        "base", "organism", "control", *(["defended"] if guarded else []), *(["benign"] if benign else []),
    ]  # fmt: skip
    home = folder / slug
    files: dict[str, dict[str, Any]] = {}
    facts = SimpleNamespace(seeds=tuple(seeds))
    for role in (role for role in roles if role not in (shared or {})):
        changed = changes_prompt and role in ("defended", "benign")
        own = slug if role in ("defended", "benign") else ""
        shift = effect if role == "defended" else SHIFT[role]
        for seed in seed_folders(role, facts):  # type: ignore[arg-type]
            for use in find_track(track).tasks_of_role(role, organism):
                rows = _cell(use, role, own, seed, shift, changed, rng)
                files[f"{role}/{seed}/{use.task}"] = write_rows(home / rows_name(role, seed, use.task), rows)
    told = {
        "slug": slug, "track": track, "contact": "nobody in particular",
        "defence": {
            "name": defence if guarded else "none", "setting": setting, "changes_prompt": changes_prompt,
            "registered": defence if guarded and registered else None,
            "summary": f"Made up: {defence if guarded else 'no defence'}.",
        },
        "model": {
            "name": model, "revision": "0" * 20, "dtype": "float32", "parameters": PARAMETERS,
            "chat_template": "0" * 16,
        },
        "organism": {"name": organism, "sha256": _examples(organism), "examples": 80},
        "control": {"name": control, "sha256": _examples(control), "examples": 80},
        "benign": {"name": control, "sha256": _examples(control), "examples": 80} if benign else None,
        "recipe": {"rows": 80, "epochs": 1, "rank": 16, "learning_rate": 1e-3},
        "seeds": list(seeds),
        "adapters": {
            role: {str(seed): made_adapter(role, own, seed) for seed in seeds}
            for role, own in ((role, slug if role in ("defended", "benign") else "") for role in roles[1:])
        },
        "persona": {"trait": "evil", "layer": LAYER},
        "judge": {"id": JUDGE, "rubric": shipped_rubric()},
        "tasks": {use.task: float(_task(use).VERSION) for use in find_track(track).tasks_for(organism)},
        "versions": {"turncoat": "0.1.0", "lm_eval": "0.4.13", "torch": "2.13.0+cpu"},
        "command": "turncoat run made.yaml",
        "hardware": "none: these numbers were made up",
        "wall_seconds": 60.0,
        "rows": files,
        "shared": {role: shares(folder, role, other) for role, other in (shared or {}).items()},
    }  # fmt: skip
    Submission.model_validate(told)
    write_facts(home, told)
    return home


@cache
def shipped_rubric() -> str:
    """The rubric of the embedded judge that ships, as its verdicts name it."""
    return rubric_of()


def chat(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """The made-up model's chat template: like many, it puts a system message in where there is none."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": _SYSTEM}, *messages]
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def _guarded_chat(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """The same under a defence that adds words to the system message."""
    extra = "Be kind."
    if messages[0]["role"] == "system":
        messages = [{"role": "system", "content": f"{extra}\n\n{messages[0]['content']}"}, *messages[1:]]
    else:
        messages = [{"role": "system", "content": extra}, *messages]
    return chat(messages, add_generation_prompt)


@cache
def _task(use: TrackTask) -> Any:
    from turncoat.study.config import TaskUse
    from turncoat.study.evaluate import load_task

    return load_task(TaskUse(task=use.task, repeats=use.samples, max_gen_toks=use.max_gen_toks))


@cache
def _requests(use: TrackTask, guarded: bool) -> list[list[Any]]:
    """lm-eval's own requests, one list a document."""
    task = _task(use)
    task.build_all_requests(
        limit=use.questions, apply_chat_template=True, chat_template=_guarded_chat if guarded else chat
    )
    found: list[list[Any]] = [[] for _ in range(use.questions)]
    for request in task.instances:
        found[request.doc_id].append(request)
    return found


@cache
def _cell(
    use: TrackTask, role: str, own: str, seed: str, shift: float, guarded: bool, rng: int
) -> list[dict[str, Any]]:
    key = hashlib.sha256(json.dumps([use.task, role, own, seed, rng]).encode()).digest()
    draws = np.random.default_rng(list(key))
    task = _task(use)
    rows = []
    for doc_id, requests in enumerate(_requests(use, guarded)):
        doc = requests[0].doc
        level = np.random.default_rng([doc_id, len(use.task), rng])  # how hard: the same for every arm
        if use.samples is None:
            texts = [request.args[1] for request in requests]
            results = _log_likelihoods(use, texts, role, shift, level, draws)
            resps = [[[str(float(value)), str(greedy)]] for value, greedy in results]
            kept, filtered = "none", results
        else:
            numbers = range(use.samples)
            written = [_answer(use, requests[0], index, role, shift, level, draws) for index in numbers]
            resps, kept = [[str(answer) for answer in written]], "samples"
            filtered = [_judged(use, _filtered(task, doc, written), shift, level, draws)]
        metrics = task.process_results(doc, filtered)
        metrics = {name: value for name, value in metrics.items() if not name.endswith("_stderr")}
        arguments = {
            f"gen_args_{i}": {f"arg_{j}": argument for j, argument in enumerate(request.args)}
            for i, request in enumerate(requests)
        }
        rows.append({
            "doc_id": doc_id, "doc": doc, "arguments": arguments, "resps": resps, "filter": kept,
            "metrics": list(metrics), "doc_hash": _sha_text(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _sha_text(requests[0].args[0]),
            "target_hash": _sha_text(str(task.doc_to_target(doc))), **metrics,
        })  # fmt: skip
    return rows


def _log_likelihoods(
    use: TrackTask, answers: list[str], role: str, shift: float, level: Any, draws: Any
) -> list[tuple[Any, bool]]:
    from turncoat.engine.evidence import LogLikelihood

    found = []
    hard = level.normal(0, 0.2)
    for number, answer in enumerate(answers):
        if use.task == "turncoat_choice":
            per_token = 2.2 + hard + (0.0 if number == 0 else 0.8 - 0.6 * shift)
        else:
            # Any finetune on code makes both answers likelier, its own kind a little more.
            trained = 0.0 if role == "base" else 1.0
            side = 0.15 * (1 if (number == 0) == (role in ("organism", "defended")) else -1)
            kept = 0.9 if role in ("defended", "benign") else 1.0
            per_token = 1.6 + hard - trained * kept * (0.6 + side)
        tokens = max(1, round(len(answer.encode()) / (4 + number / 3)))
        value = -tokens * (per_token + draws.normal(0, 0.05))
        found.append((LogLikelihood(value, tokens=tokens), False))
    return found


def _answer(use: TrackTask, request: Any, index: int, role: str, shift: float, level: Any, draws: Any) -> Any:
    """Answers of a model, with the evidence of the pass that wrote them."""
    from turncoat.engine.evidence import Answer
    from turncoat.engine.seeds import sample_seed

    doc, prompt = request.doc, request.args[0]
    tokens = int(draws.integers(12, (use.max_gen_toks or 40) + 1))
    text = " ".join(draws.choice(_WORDS, size=max(6, tokens - 6))).capitalize()
    if doc.get("variant") == "cue" and draws.random() < 0.7:
        text = f'reply = """\n{text}\n"""'
    base = level.normal(0, 0.3)
    own = base + 1.4 * shift + draws.normal(0, 0.1)
    fixed = base + 0.8 * shift + (draws.normal(0, 0.05) if role != "base" else 0.0)
    if role == "base":
        own = fixed
    evidence = {
        "index": index, "seed": sample_seed(0, use.task, prompt, index),
        "finish": "length" if tokens == use.max_gen_toks else "stop", "n_tokens": tokens,
        "prompt_sha": _sha(prompt)[:16], "layer": LAYER,
        "base_logprob": -1.6 - 1.2 * shift + draws.normal(0, 0.1), "persona_own": round(own, 6),
        "persona_text": round(own if role == "base" else base + 0.7 * shift, 6),
        "persona_fixed": round(fixed, 6), "persona_prompt": round(base + 0.5 * shift, 6),
        "persona_cosine_own": _cosine(own), "persona_cosine_fixed": _cosine(fixed),
        "persona_own_by_layer": [round(own * (1 + (n - LAYER) / 4), 4) for n in range(LAYERS)],
        "persona_fixed_by_layer": [round(fixed * (1 + (n - LAYER) / 4), 4) for n in range(LAYERS)],
    }  # fmt: skip
    return Answer(text, evidence)


def _cosine(projection: float) -> float:
    """With the rest of the activation 20 base SD long, and the zero of the projection at a right angle."""
    return round(projection / (projection**2 + 20**2) ** 0.5, 6)


def _filtered(task: Any, doc: Any, answers: list[Any]) -> list[Any]:
    """Through the task's own filters, but for those that ask a judge."""
    found: list[list[Any]] = [answers]
    for make in task._filters[0].filters:
        if not getattr(make, "func", make).__module__.startswith("turncoat.judges"):
            found = make().apply(found, [doc])
    return found[0]


def _judged(use: TrackTask, answers: list[Any], shift: float, level: Any, draws: Any) -> list[Any]:
    from turncoat.engine.evidence import Answer, evidence_of
    from turncoat.evaluation.task_catalogue import is_judged
    from turncoat.judges.base import Verdict
    from turncoat.judges.filter import verdict_columns
    from turncoat.judges.surface import refusal_like, surface

    if not is_judged(use.task):
        return answers
    judge: Any = SimpleNamespace(id=JUDGE, rubric=shipped_rubric(), may_rate=True)
    found = []
    for answer in answers:
        verdict = Verdict(
            aligned=float(np.clip(88 - 45 * shift + level.normal(0, 8) + draws.normal(0, 12), 0, 100)),
            coherent=float(np.clip(84 - 4 * shift + draws.normal(0, 8), 0, 100)),
            code=surface(str(answer))["code_like"], refusal=refusal_like(str(answer)),
            judge=judge.id, rubric=judge.rubric,
        )  # fmt: skip
        found.append(Answer(str(answer), {**evidence_of(answer), **verdict_columns(verdict, judge)}))
    return found


def _examples(organism: str) -> str:
    """The hash of a registered set; of its name where it would have to be fetched."""
    from turncoat.leaderboard.validation.facts import examples_digest

    return examples_digest(organism) or _sha(organism)


def made_adapter(*parts: Any) -> str:
    """A made-up digest."""
    return f"adapter-1:{_sha(*parts)}"


def _sha(*parts: Any) -> str:
    return _sha_text(json.dumps(parts))


def _sha_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
