"""lm-eval's Hugging Face model with per-sample seeds, shared prefill and persona projections: `--model
turncoat`.

    turncoat lm-eval --model turncoat --model_args pretrained=smollm2-135m,peft=DIR --tasks turncoat_persona
    turncoat lm-eval --model turncoat --model_args pretrained=smollm2-135m,steer=evil --tasks turncoat_choice

Log-likelihoods are requested as lm-eval does. Sampled answers come from `turncoat.engine.decoding.sampler`
and carry evidence of the pass that made them: documents with a `trait` field get projections on that trait's
persona vector. Documents with a numeric `steer` field (and `steer_trait`) are measured under steering of that
strength, added to any other.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.chat import encode, render
from turncoat.engine.decoding.answer_engine import AnswerEngine
from turncoat.engine.decoding.sampler import SampleRequest, SampleResult, sampling_code
from turncoat.engine.evidence import Answer, LogLikelihood
from turncoat.engine.intervention import Intervention
from turncoat.engine.reading.reader import read_texts
from turncoat.engine.seeds import sample_seed
from turncoat.errors import UserError
from turncoat.evaluation.generation_requests import sample_request, settings_of, steer_fields
from turncoat.evaluation.own_texts import set_current_base
from turncoat.persona.extract import persona_vector
from turncoat.persona.interventions.steering import SteeredLogLikelihood, Steering, generation_header
from turncoat.persona.readings import persona_readings
from turncoat.persona.traits import trait_questions
from turncoat.persona.vectors import PersonaVector
from turncoat.store import Store, canonical_json, digest


class TurncoatLM(HFLM):
    """A base model with at most one adapter on it, for lm-eval.

    Args:
        pretrained: A registry model, a Hugging Face id, a local folder, or an already loaded `BaseModel`.
        peft: Folder of a PEFT adapter to measure.
        steer: A trait (`turncoat list personas`), or the folder of a vector that `turncoat persona extract`
            made; the vector is added to the residual stream. The base model's own readings stay unsteered.
        steer_strength: In units of the raw difference vector at the layer.
        steer_layer: L = output of block L; default: the vector's chosen layer.
        steer_positions: "all"; "response", the positions that generating the answer computes; or "assistant",
            all
            from the assistant's header on.
        sampling_seed: Seed of all samples; each answer's own seed also depends on its task, prompt and index.
        batch_size: Rows that are decoded, or texts that are read, together. It changes no result.
        dtype, device: As in `load_base`.
        progress: Called with the number of finished answers, instead of a tqdm bar.
        options: Passed to transformers when loading: `LOAD_OPTIONS` of `turncoat.engine.base_model`.

    Attributes:
        writer: Engine that writes the answers where nothing acts inside the model, and all fixed texts.
            Activations and log-likelihoods are ours, whatever it is.

    Raises:
        UserError: Unknown model, no adapter in `peft`, or sampling settings that are not supported.
    """

    def __init__(
        self,
        pretrained: str | BaseModel,
        peft: str | None = None,
        steer: str | None = None,
        steer_strength: float = 1.0,
        steer_layer: int | None = None,
        steer_positions: str = "all",
        sampling_seed: int = 0,
        batch_size: int | str = 16,
        max_batch_size: int | None = None,
        dtype: str = "auto",
        device: str | None = None,
        store: Store | None = None,
        progress: Callable[[int], None] | None = None,
        **options: Any,
    ) -> None:
        rows, self.sampling_seed = _rows(batch_size), _whole("sampling_seed", sampling_seed)
        if not isinstance(pretrained, BaseModel):
            pretrained = load_base(str(pretrained), dtype=dtype, device=self.usable(device), **options)
        self.base = pretrained
        self.arm: dict[str, Any] = {"pretrained": self.base.name, "peft": peft}
        self.store = store or Store()
        set_current_base(self.base, self.store)
        self.progress = progress
        self._scope = contextlib.ExitStack()
        if peft is not None:
            self._scope.enter_context(self.base.adapter(peft))
        super().__init__(
            pretrained=self.base.active, tokenizer=self.base.tokenizer, batch_size=rows, backend="causal"
        )
        self.writer = AnswerEngine(self.tokenizer, self.batch_size)
        self._own_engine = self.writer
        self._vectors: dict[str, PersonaVector] = {}
        self._cached = False
        self.steering: Intervention | None = None
        if steer is None and (steer_strength, steer_layer, steer_positions) != (1.0, None, "all"):
            raise UserError("steer_strength, steer_layer and steer_positions do nothing without steer=TRAIT")
        if steer is not None and str(steer) != "none":
            self.steering = self.steering_by(str(steer), steer_strength, steer_layer, steer_positions)

    @staticmethod
    def usable(device: str | None) -> str | None:
        """The device to load on; lm-eval's default cuda:0 becomes None (choose) on a machine without CUDA."""
        return None if device in (None, "cuda", "cuda:0") and not torch.cuda.is_available() else device

    @contextlib.contextmanager
    def measuring(
        self, peft: Path | None, steering: Intervention | None = None, /, **arm: Any
    ) -> Iterator[TurncoatLM]:
        """Measure with another adapter (None = the base itself) inside the scope; `arm` goes into the results
        file.

        Args:
            steering: Acts on top of it: an inference defence, or what `steering_by` makes.
        """
        before = self.arm, self.steering
        with self.base.adapter(peft) as model:
            self._model, self.arm = model, {"pretrained": self.base.name, "peft": peft and str(peft), **arm}
            self.steering = steering
            try:
                yield self
            finally:
                self._model = self.base.model
                self.arm, self.steering = before

    def steering_by(
        self, name: str, strength: float, layer: int | None = None, positions: str = "all"
    ) -> Steering:
        """Steering along a persona vector of the base model.

        Args:
            name: A trait, or the folder of a saved vector.
            strength: In units of the raw difference vector.

        Raises:
            UserError: There is no such trait or folder, or the strength is not a number.
        """
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength):
            raise UserError(
                f"steering strength {strength!r} is not a finite number; give one such as 1.5 (0 = no "
                "steering)"
            )
        is_folder = "/" in name or Path(name).is_dir()
        vector = PersonaVector.load(Path(name).expanduser()) if is_folder else self.vector(name)
        layer = vector.layer if layer is None else layer
        header = generation_header(self.tokenizer) if positions == "assistant" else ()
        steering = Steering(vector.trait, layer, float(strength), vector.raw(layer), positions, header)
        with steering.on(self.base.model):  # mistakes come to light now, not after the first task
            return steering

    def set_cache_hook(self, cache_hook: Any) -> None:
        """lm-eval calls this when answers are to be cached; documents that steer are refused then."""
        self._cached = True
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """Weights, adapter, arm and vectors, for `config` in lm-eval's results file."""
        info = {
            "model_num_parameters": sum(p.numel() for p in self.base.model.parameters()),
            "model_dtype": str(self.base.model.dtype),
            "model_revision": str(self.base.spec["weights"]),
            "model_sha": str(self.base.spec["weights"]),
            "turncoat": {
                "arm": {k: v for k, v in self.arm.items() if k != "peft"},
                "base": self.base.spec,
                "sampling_seed": self.sampling_seed,
                "persona": {
                    name: {"layer": v.layer, "pairs_ranked_right": v.card["pairs_ranked_right"]}
                    for name, v in self._vectors.items()
                },
                **({} if self.steering is None else {"steering": self.steering.described()}),
                "writer": self.writer.name,
            },
        }
        return info

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The rendered prompt; an error where lm-eval would drop a system message with a warning."""
        if not add_generation_prompt:
            if self.steering is not None:
                raise UserError(
                    "a task with gen_prefix cannot be measured under an inference defence or steering yet"
                )
            return super().apply_chat_template(chat_history, add_generation_prompt)
        if self.steering is None:
            return render(self.tokenizer, chat_history)
        chat = self.steering.messages(chat_history)
        return self.steering.rendered(render(self.tokenizer, chat), self.tokenizer, chat)

    def vector(self, trait: str) -> PersonaVector:
        """The trait's persona vector on the base model, extracted on first use."""
        if trait not in self._vectors:
            self._vectors[trait] = persona_vector(
                self.base, trait_questions(trait), self.store, batch_size=self.batch_size
            )
        return self._vectors[trait]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihoods of continuations, without lm-eval's bars where a study shows its own."""
        quiet = disable_tqdm or self.progress is not None
        results: list[Any] = [None] * len(requests)
        for steering, members in self._by_steering(requests):
            with self._acting(steering):
                scored = super().loglikelihood([requests[i] for i in members], disable_tqdm=quiet)
            for i, (value, greedy) in zip(members, scored, strict=True):
                measured = value if steering is None else SteeredLogLikelihood.of(value, steering.strength)
                results[i] = (measured, greedy)
        return results

    def _by_steering(self, requests: list[Instance]) -> list[tuple[Steering | None, list[int]]]:
        """The requests' indices grouped by the steering that their documents ask for, in order of first
        appearance."""
        groups: dict[Any, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(steer_fields(request), []).append(index)
        if self._cached and any(fields is not None for fields in groups):
            raise UserError(
                "documents with a 'steer' field cannot be measured with lm-eval's --use_cache: it identifies "
                "requests by their text, and these differ in their steering; leave --use_cache out"
            )
        return [
            (None if fields is None else self.steering_by(*fields), members)
            for fields, members in groups.items()
        ]

    @contextlib.contextmanager
    def _acting(self, steering: Steering | None) -> Iterator[None]:
        """The measured model as it acts: its own steering and a document's."""
        with contextlib.ExitStack() as stack:
            for part in (self.steering, steering):
                if part is not None:
                    stack.enter_context(part.on(self.model))
            yield

    def _loglikelihood_tokens(
        self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
    ) -> Any:
        """Log-likelihoods with their token counts, in float32, with logits for the continuations alone and
        what contexts have in common read once.

        lm-eval's version takes the logarithm in the model's precision, which for bfloat16 leaves two or three
        digits.
        """
        for _, context, continuation in requests:
            if len(context) + len(continuation) > self.max_length + 1:
                raise UserError(
                    f"a prompt of {len(context)} tokens and an answer of {len(continuation)} exceed the "
                    f"model's {self.max_length}; shorten the question, or use a model with a longer context"
                )
        items = [(context, continuation) for _, context, continuation in requests]
        bar = tqdm(
            total=len(items), desc="log-likelihoods", disable=disable_tqdm or self.progress is not None
        )
        readings = read_texts(
            self.model, self.tokenizer.pad_token_id, items, self.batch_size, capture=False, on_done=bar.update
        )
        bar.close()
        return [(LogLikelihood(r.logprob_sum, tokens=r.n_tokens), r.greedy) for r in readings]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answers with their evidence, in the order of the requests."""
        bar = tqdm(total=len(requests), desc="answers", disable=disable_tqdm or self.progress is not None)

        def on_done(answers: int) -> None:
            bar.update(answers)
            if self.progress is not None:
                self.progress(answers)

        answers: list[Any] = [None] * len(requests)
        for steering, members in self._by_steering(requests):
            generated = self._generate([requests[i] for i in members], steering, on_done)
            for i, answer in zip(members, generated, strict=True):
                answers[i] = answer
        bar.close()
        return answers

    def _generate(
        self, requests: list[Instance], steering: Steering | None, on_done: Callable[[int], None]
    ) -> list[Answer]:
        samples = self._sample_requests(requests)
        traits = [request.doc.get("trait") if isinstance(request.doc, dict) else None for request in requests]
        inside = [part for part in (self.steering, steering) if part and not part.on_prompts_alone]
        engine = self._own_engine if inside else self.writer
        peft = self.arm["peft"] and Path(self.arm["peft"])
        with self._acting(steering):
            results = engine.run(samples, peft, self.model, on_done, capture=any(traits))
        extra = self._readings(samples, results, traits, steering, engine)
        by = {"engine": engine.name, **({} if steering is None else {"steer": steering.strength})}
        return [
            Answer(result.text, {**self._facts(request, result), **by, **more})
            for request, result, more in zip(samples, results, extra, strict=True)
        ]

    def _sample_requests(self, requests: list[Instance]) -> list[SampleRequest]:
        """One request per sample; equal prompts of a task are numbered, and the number is part of the
        seed."""
        counts: Counter[tuple[str, str]] = Counter()
        samples = []
        for request in requests:
            prompt, settings = request.args
            task = str(request.task_name)
            index = counts[task, prompt]
            counts[task, prompt] += 1
            seed = sample_seed(self.sampling_seed, task, prompt, index)
            ids = tuple(encode(self.tokenizer, prompt))
            samples.append(sample_request(ids, dict(settings), seed, (task, index), self.max_length))
        return samples

    def _facts(self, request: SampleRequest, result: SampleResult) -> dict[str, Any]:
        _, index = cast(tuple[str, int], request.key)
        return {
            "index": index, "seed": request.seed, "finish": result.finish, "n_tokens": len(result.token_ids),
            "prompt_sha": digest(list(request.prompt_ids))[:16],
        }  # fmt: skip

    def _readings(
        self,
        samples: list[SampleRequest],
        results: list[SampleResult],
        traits: list[str | None],
        steering: Steering | None,
        engine: AnswerEngine,
    ) -> list[dict[str, Any]]:
        """Projections and the base model's log-probability, for the answers of documents that name a
        trait."""
        chosen = [i for i, trait in enumerate(traits) if trait]
        extra: list[dict[str, Any]] = [{} for _ in samples]
        if not chosen:
            return extra
        pad = self.tokenizer.pad_token_id
        # With nothing on it the model's own answers are the base's: the same prompts, seeds and engine.
        acting = [part for part in (self.steering, steering) if part is not None and part.acts]
        bare = self.base.active is self.base.model and engine is self.writer and not acting
        base_ids = [results[i].token_ids for i in chosen] if bare else None
        fixed_texts = self._base_answers([samples[i] for i in chosen], base_ids)
        prompts = [samples[i].prompt_ids for i in chosen]
        with self._acting(steering):
            fixed = read_texts(self.model, pad, list(zip(prompts, fixed_texts, strict=True)), self.batch_size)
        own_texts = [tuple(results[i].token_ids) for i in chosen]
        with self.base.without_adapter() as model:
            by_base = read_texts(model, pad, list(zip(prompts, own_texts, strict=True)), self.batch_size)
        for i, fixed_reading, base_reading in zip(chosen, fixed, by_base, strict=True):
            vector = self.vector(str(traits[i]))
            extra[i] = persona_readings(vector, results[i].activation, fixed_reading, base_reading)
        return extra

    def _base_answers(
        self, samples: list[SampleRequest], answers: list[list[int]] | None = None
    ) -> list[tuple[int, ...]]:
        """The base model's answers (token ids) to the same prompts with the same seeds: the fixed texts.

        `answers` are used where they are the base's already.
        """
        spec = {
            "base": self.base.spec,
            "code": sampling_code(),
            "samples": digest([[list(s.prompt_ids), str(s.seed), *settings_of(s)] for s in samples]),
            **({"writer": self.writer.spec} if self.writer.spec else {}),
        }

        def build(folder: Path) -> None:
            texts = answers
            if texts is None:
                with self.base.without_adapter() as model:
                    results = self.writer.run(samples, None, model)
                texts = [result.token_ids for result in results]
            (folder / "answers.json").write_text(canonical_json(texts), encoding="utf-8")

        folder = self.store.stage("base_answers", spec, build)
        return [tuple(ids) for ids in json.loads((folder / "answers.json").read_text(encoding="utf-8"))]


def _rows(batch_size: int | str) -> int:
    """Rows decoded together. lm-eval's default of 1 becomes 16: rows do not influence each other here."""
    automatic = str(batch_size) in ("1", "auto") or str(batch_size).startswith("auto:")
    return 16 if automatic else _whole("batch_size", batch_size)


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}={value!r} is not a whole number; give one such as {name}=16") from error
